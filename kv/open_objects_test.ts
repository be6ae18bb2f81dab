import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import { connect } from "../client/connect.ts";
import { isJsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { text } from "../client/text.ts";
import { startTestNats, type TestNats } from "../testing/test_nats.ts";
import { defineObject, migrateFrom, type ObjectDefinition } from "./define_object.ts";
import { encrypted } from "./encrypted.ts";
import { EntryDecodeError } from "./entry_decode_error.ts";
import type { ObjectStore, OpenObjectsOptions } from "./object_store.ts";
import { ObjectVersionError } from "./object_version_error.ts";
import { openObjects } from "./open_objects.ts";

interface Cart {
  readonly items: Readonly<Record<string, number>>;
}
interface Add {
  readonly add: string;
  readonly count: number;
}

/** The first program knew names only, the second one counts. */
const First = defineObject<readonly string[], string>({
  scope: "cart",
  version: 1,
  codec: json<readonly string[]>(),
  key: (id) => id,
  initial: () => [],
  apply: (names, name) => [...names, name],
});
const SECOND: ObjectDefinition<Cart, Add> = {
  scope: "cart",
  version: 2,
  codec: json<Cart>(),
  key: (id) => id,
  initial: () => ({ items: {} }),
  apply: ({ items }, { add, count }) => ({
    items: { ...items, [add]: (items[add] ?? 0) + count },
  }),
  migrations: [
    migrateFrom(1, {
      codec: json<readonly string[]>(),
      migrate: (names) => ({ items: Object.fromEntries(names.map((name) => [name, 1])) }),
    }),
  ],
};

const OPTIONS: OpenObjectsOptions = { bucket: "b", storage: "memory", history: 5 };

async function withNats(use: (client: Client, nats: TestNats) => Promise<void>): Promise<void> {
  const nats = await startTestNats();
  try {
    await use(nats.client, nats);
  } finally {
    await nats.close();
  }
}

/** What is stored at a key, as other clients see it. */
async function stored(nats: TestNats, key: string): Promise<string | undefined> {
  return (await (await nats.bucket("b")).get(key))?.string();
}

function unreadable(reason: ObjectVersionError["reason"]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ObjectVersionError, String(error));
    assert.equal(error.name, "ObjectVersionError");
    assert.equal(error.code, "decode_failed");
    assert.equal(error.reason, reason);
    assert.deepEqual([error.bucket, error.key], ["b", "cart.c1"]);
    return true;
  };
}

test("changes lead from the initial state to others", async () => {
  await withNats(async (client, nats) => {
    const carts = await openObjects(client, SECOND, OPTIONS);
    assert.deepEqual([carts.bucket, carts.scope], ["b", "cart"]);
    const nothing = { state: { items: {} }, revision: 0, storedVersion: undefined };
    assert.deepEqual(await carts.read("c1"), nothing);
    const updated = await carts.update("c1", { add: "apple", count: 2 });
    assert.deepEqual(updated.state, { items: { apple: 2 } });
    assert.deepEqual(await carts.read("c1"), updated);
    assert.equal(updated.storedVersion, 2);
    const again = await carts.update("c1", { add: "apple", count: 1 });
    assert.deepEqual(again.state.items, { apple: 3 });
    assert.ok(again.revision > updated.revision);
    assert.equal(await stored(nats, "cart.c1"), 'v2\n{"items":{"apple":3}}');
    const reset = await carts.reset("c1");
    assert.deepEqual(reset.state, { items: {} });
    assert.deepEqual(await carts.read("c1"), reset);
    await carts.update("c1", { add: "pear", count: 1 });
    await carts.delete("c1");
    assert.deepEqual(await carts.read("c1"), nothing);
    const anew = await carts.update("c1", { add: "fig", count: 1 });
    assert.deepEqual(anew.state.items, { fig: 1 });
  });
});

test("changes at the same time are all applied, each once", async () => {
  await withNats(async (client, nats) => {
    const second = await connect(nats.server.connectOptions);
    try {
      const stores = [
        await openObjects(client, SECOND, OPTIONS),
        await openObjects(second, SECOND, OPTIONS),
      ];
      await Promise.all(
        Array.from(
          { length: 40 },
          (_, index) => stores[index % 2]!.update("c1", { add: "n", count: 1 }),
        ),
      );
      assert.deepEqual((await stores[0]!.read("c1")).state.items, { n: 40 });
    } finally {
      await second.close();
    }
  });
});

test("classes that share a bucket never meet", async () => {
  await withNats(async (client) => {
    const numbers = (scope: string) =>
      defineObject<number, number, { a: string; b: string }>({
        scope,
        version: 1,
        codec: json<number>(),
        key: ({ a, b }) => `${a}.${b}`,
        initial: ({ a }) => a.length,
        apply: (sum, change) => sum + change,
      });
    const one = await openObjects(client, numbers("x"), OPTIONS);
    const other = await openObjects(client, numbers("x_y"), OPTIONS);
    const third = await openObjects(client, numbers("x-y"), OPTIONS);
    for (const id of [{ a: "y", b: "z" }, { a: "", b: "" }, { a: "_y", b: "é *" }]) {
      await one.update(id, 1);
      await other.update(id, 10);
      const initial = id.a.length;
      assert.equal((await one.read(id)).state, initial + 1);
      assert.equal((await other.read(id)).state, initial + 10);
      assert.equal((await third.read(id)).state, initial);
    }
    const keys = new Set<string>();
    for await (const { key, state } of other.watch()) {
      assert.ok(state! >= 10);
      keys.add(key);
      if (keys.size === 3) break;
    }
    assert.deepEqual(keys, new Set(["y.z", ".", "_y.é *"]));
  });
});

test("a state of an older version is migrated, and stored anew by the next update", async () => {
  await withNats(async (client, nats) => {
    const first = await openObjects(client, First, OPTIONS);
    await first.update("c1", "apple");
    await first.update("c1", "pear");
    const second = await openObjects(client, SECOND, OPTIONS);
    const read = await second.read("c1");
    assert.deepEqual(read.state, { items: { apple: 1, pear: 1 } });
    assert.equal(read.storedVersion, 1);
    assert.equal(await stored(nats, "cart.c1"), 'v1\n["apple","pear"]');
    await second.update("c1", { add: "pear", count: 1 });
    assert.equal(await stored(nats, "cart.c1"), 'v2\n{"items":{"apple":1,"pear":2}}');
    assert.equal((await second.read("c1")).storedVersion, 2);
  });
});

test("a state of a newer version is an error, and stays as it is", async () => {
  await withNats(async (client, nats) => {
    const second = await openObjects(client, SECOND, OPTIONS);
    await second.update("c1", { add: "apple", count: 1 });
    const before = await stored(nats, "cart.c1");
    const first = await openObjects(client, First, OPTIONS);
    await assert.rejects(first.read("c1"), unreadable("newer"));
    await assert.rejects(first.update("c1", "pear"), unreadable("newer"));
    await assert.rejects(first.reset("c1"), unreadable("newer"));
    assert.equal(await stored(nats, "cart.c1"), before);
    await first.delete("c1");
    assert.deepEqual((await first.read("c1")).state, []);
  });
});

test("a migration that fails or is missing loses nothing", async () => {
  await withNats(async (client, nats) => {
    const first = await openObjects(client, First, OPTIONS);
    await first.update("c1", "apple");
    const cause = new Error("no such fruit");
    const fails = migrateFrom<readonly string[], Cart>(1, {
      codec: json<readonly string[]>(),
      migrate: () => {
        throw cause;
      },
    });
    const later = migrateFrom<readonly string[], Cart>(1, {
      codec: json<readonly string[]>(),
      migrate: () => Promise.resolve({ items: {} }) as never,
    });
    for (const migration of [fails, later]) {
      const broken = await openObjects(client, { ...SECOND, migrations: [migration] }, OPTIONS);
      await assert.rejects(broken.read("c1"), unreadable("failed"));
      await assert.rejects(broken.update("c1", { add: "x", count: 1 }), (error) => {
        unreadable("failed")(error);
        if (migration === fails) assert.equal((error as Error).cause, cause);
        return true;
      });
    }
    const without = await openObjects(client, { ...SECOND, migrations: [] }, OPTIONS);
    await assert.rejects(without.update("c1", { add: "x", count: 1 }), unreadable("no_migration"));
    assert.equal(await stored(nats, "cart.c1"), 'v1\n["apple"]');
    const mended = await openObjects(client, SECOND, OPTIONS);
    assert.deepEqual((await mended.read("c1")).state, { items: { apple: 1 } });
    assert.deepEqual((await without.reset("c1")).state, { items: {} });
  });
});

test("what is no stored object is an error, and stays as it is", async () => {
  await withNats(async (client, nats) => {
    const carts = await openObjects(client, SECOND, OPTIONS);
    const bucket = await nats.bucket("b");
    for (const raw of ["", "{}", "v2", "v0\n{}", "v02\n{}", "v2 {}", "v2\n{", "v1\nx", "\n"]) {
      await bucket.put("cart.c1", raw);
      const failed = (error: unknown) => isJsflowError(error, "decode_failed");
      await assert.rejects(carts.read("c1"), failed, raw);
      await assert.rejects(carts.update("c1", { add: "x", count: 1 }), failed, raw);
      assert.equal(await stored(nats, "cart.c1"), raw);
    }
    await carts.reset("c1");
    assert.deepEqual((await carts.read("c1")).state, { items: {} });
  });
});

test("a watch tells of states, and ends at one that it can't read", async () => {
  await withNats(async (client) => {
    const first = await openObjects(client, First, OPTIONS);
    await first.update("c1", "apple");
    const second = await openObjects(client, SECOND, OPTIONS);
    await second.update("c2", { add: "pear", count: 2 });
    const watch = second.watch();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { key, operation, state, initial } of watch) {
        seen.push(`${initial} ${operation} ${key} ${JSON.stringify(state?.items)}`);
        if (operation === "delete") break;
      }
    })();
    await watch.ready;
    await second.update("c1", { add: "fig", count: 1 });
    await second.delete("c2");
    await reading;
    assert.deepEqual(seen, [
      'true put c1 {"apple":1}',
      'true put c2 {"pear":2}',
      'false put c1 {"apple":1,"fig":1}',
      "false delete c2 undefined",
    ]);
    await watch.closed;
    const old = first.watch({ id: "c1" });
    const closed = assert.rejects(old.closed, EntryDecodeError);
    const iterator = old[Symbol.asyncIterator]();
    await assert.rejects(iterator.next(), (error) => {
      assert.ok(error instanceof EntryDecodeError);
      return unreadable("newer")(error.cause);
    });
    assert.equal((await iterator.next()).done, true);
    await closed;
    const controller = new AbortController();
    const aborted = second.watch({ id: "c3", signal: controller.signal });
    const next = aborted[Symbol.asyncIterator]().next();
    controller.abort(new Error("enough"));
    await assert.rejects(next, /enough/);
    const last = second.watch();
    await second.close();
    await last.closed;
  });
});

test("what the functions throw or return wrongly reaches the caller, and nothing is stored", async () => {
  await withNats(async (client, nats) => {
    const open = (part: Partial<ObjectDefinition<Cart, Add>>): Promise<ObjectStore<Cart, Add>> =>
      openObjects(client, { ...SECOND, ...part }, OPTIONS);
    const change = { add: "x", count: 1 };
    const cause = new Error("not allowed");
    const strict = await open({
      apply: () => {
        throw cause;
      },
    });
    await assert.rejects(strict.update("c1", change), cause);
    const later = await open({ apply: () => Promise.resolve({ items: {} }) as never });
    await assert.rejects(later.update("c1", change), TypeError);
    const slow = await open({ initial: () => Promise.resolve({ items: {} }) as never });
    await assert.rejects(slow.update("c1", change), TypeError);
    await assert.rejects(slow.read("c1"), TypeError);
    const keyless = await open({ key: () => 1 as never });
    await assert.rejects(keyless.read("c1"), TypeError);
    const unsafe = await open({ apply: () => ({ items: { n: 2 ** 60 } }) });
    await assert.rejects(
      unsafe.update("c1", change),
      (error) => isJsflowError(error, "encode_failed"),
    );
    assert.equal(await stored(nats, "cart.c1"), undefined);
  });
});

test("states can be encrypted, also from some version on", async () => {
  await withNats(async (client, nats) => {
    const first = await openObjects(client, First, OPTIONS);
    await first.update("c1", "apple");
    const keys = { current: "k", keys: { k: new Uint8Array(32).fill(7) } };
    const secret = { ...SECOND, codec: encrypted(json<Cart>(), keys) };
    const carts = await openObjects(client, secret, OPTIONS);
    await carts.update("c1", { add: "pear", count: 1 });
    assert.deepEqual((await carts.read("c1")).state, { items: { apple: 1, pear: 1 } });
    const raw = await stored(nats, "cart.c1");
    assert.match(raw!, /^v2\n/);
    assert.ok(!raw!.includes("pear"));
    // What is copied to another key is not taken for that key's.
    const bucket = await nats.bucket("b");
    await bucket.put("cart.c2", (await bucket.get("cart.c1"))!.value);
    await assert.rejects(carts.read("c2"), (error) => isJsflowError(error, "decode_failed"));
  });
});

test("definitions that make no sense are refused", async () => {
  const wrong: readonly [Partial<ObjectDefinition<Cart, Add>>, typeof TypeError][] = [
    [{ scope: "a.b" }, TypeError],
    [{ scope: "" }, TypeError],
    [{ scope: "x".repeat(65) }, RangeError],
    [{ version: 0 }, RangeError],
    [{ version: 1 }, RangeError], // whose migration is from 1
    [{ codec: {} as never }, TypeError],
    [{ key: "id" as never }, TypeError],
    [{ initial: {} as never }, TypeError],
    [{ apply: undefined as never }, TypeError],
    [{ migrations: {} as never }, TypeError],
    [{ migrations: [{ version: 1 }] as never }, TypeError],
    [{ migrations: [...SECOND.migrations!, ...SECOND.migrations!] }, TypeError],
    [{ schema: 1 } as never, TypeError],
  ];
  for (const [part, error] of wrong) {
    assert.throws(() => defineObject({ ...SECOND, ...part }), error, JSON.stringify(part));
  }
  assert.throws(() => defineObject(undefined as never), TypeError);
  assert.throws(() => migrateFrom(0, { codec: text(), migrate: () => 1 }), RangeError);
  assert.throws(() => migrateFrom(1, { codec: text() } as never), TypeError);
  assert.throws(() => migrateFrom(1, undefined as never), TypeError);
  await withNats(async (client) => {
    await assert.rejects(openObjects(client, SECOND, undefined as never), TypeError);
    await assert.rejects(openObjects(client, SECOND, { bucket: "a.b" }), TypeError);
    await assert.rejects(
      openObjects(client, SECOND, { ...OPTIONS, codec: text() } as never),
      TypeError,
    );
    const carts = await openObjects(client, SECOND, OPTIONS);
    await assert.rejects(
      carts.update("a", { add: "", count: 1 }, { ttlMs: 1 } as never),
      TypeError,
    );
    assert.throws(() => carts.watch({ prefix: "a" } as never), TypeError);
  });
});
