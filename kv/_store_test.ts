import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { Kvm } from "@nats-io/kv";
import { coreOf } from "../client/core.ts";
import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { waitUntil } from "../testing/wait_until.ts";
import {
  isConflict,
  isNotFound,
  KeyExistsError,
  KeyNotFoundError,
  RevisionConflictError,
} from "./errors.ts";
import { openStore } from "./open_store.ts";
import { BUCKET, collect, isAtLeast, openAny, withStore } from "./testdata/store_ground.ts";

const coded = (code: JsflowErrorCode) => (error: unknown) => isJsflowError(error, code);

test("what is put is read", async () => {
  await withStore({ history: 3 }, async ({ store }) => {
    assert.equal(await store.get("k"), undefined);
    assert.equal(await store.entry("k"), undefined);
    const revision = await store.put("k", { n: 1 });
    assert.deepEqual(await store.get("k"), { n: 1 });
    assert.deepEqual(await store.getOrThrow("k"), { n: 1 });
    const entry = await store.entry("k");
    assert.ok(entry?.operation === "put" && Math.abs(entry.time.getTime() - Date.now()) < 60_000);
    assert.deepEqual({ ...entry, time: 0 }, {
      key: "k",
      operation: "put",
      revision,
      time: 0,
      value: { n: 1 },
    });
  });
});

test("a write goes on in the trace that it was called in", async () => {
  await withStore({}, async ({ store, client }) => {
    const revision = await store.put("k", 1);
    const stored = await (await client.manager()).streams.getMessage(`KV_${BUCKET}`, {
      seq: revision,
    });
    assert.match(stored?.header.get("traceparent") ?? "", /^00-[0-9a-f]{32}-/);
  });
});

test("any string is a key", async () => {
  const keys = [
    "",
    ".",
    "a..b",
    "é",
    "\u{1f600}",
    "__proto__",
    "constructor",
    "a b",
    "*",
    ">",
    "=",
  ];
  keys.push("\ud800", "x".repeat(1_024), Array(500).fill("t").join("."), "a/b", "\0\r\n", "a.>");
  await withStore({}, async ({ store }) => {
    for (const [index, key] of keys.entries()) await store.put(key, index);
    for (const [index, key] of keys.entries()) assert.equal(await store.get(key), index);
    assert.deepEqual((await collect(store.keys())).sort(), [...keys].sort());
    const found = await store.getMany(keys);
    assert.deepEqual([...found].sort(), keys.map((key, index) => [key, index]).sort());
  });
});

test("a removal is no value", async () => {
  await withStore({ history: 10 }, async ({ store }) => {
    await store.put("d", 1);
    await store.delete("d");
    await store.put("p", 1);
    await store.put("p", 2);
    await store.purge("p");
    for (const [key, operation] of [["d", "delete"], ["p", "purge"]] as const) {
      assert.equal(await store.get(key), undefined);
      const entry = await store.entry(key);
      assert.equal(entry?.operation, operation);
      assert.ok(entry !== undefined && !("value" in entry));
      await assert.rejects(store.getOrThrow(key), (error: Error) => {
        assert.deepEqual([isNotFound(error), isConflict(error)], [true, false]);
        assert.ok(error instanceof KeyNotFoundError);
        return error.key === key && error.bucket === BUCKET;
      });
    }
    assert.deepEqual((await store.history("d")).map(({ operation }) => operation), [
      "put",
      "delete",
    ]);
    assert.deepEqual((await store.history("p")).map(({ operation }) => operation), ["purge"]);
    assert.deepEqual(await store.history("none"), []);
    assert.deepEqual(await collect(store.keys()), []);
    assert.equal((await store.getMany(["d", "p", "none"])).size, 0);
  });
});

test("a key is created once, and again after it was removed", async () => {
  await withStore({}, async ({ store, client }) => {
    const first = await store.create("k", 1);
    await assert.rejects(store.create("k", 2), (error: Error) => {
      assert.deepEqual([isNotFound(error), isConflict(error)], [false, true]);
      assert.ok(error instanceof KeyExistsError);
      return error.key === "k";
    });
    await store.delete("k");
    assert.ok(await store.create("k", 3) > first);
    await store.purge("k");
    await store.create("k", 4);
    assert.equal(await store.get("k"), 4);
    const other = await openAny(client);
    const racing = Array.from({ length: 20 }, (_, n) => (n % 2 ? store : other).create("r", n));
    const outcomes = await Promise.allSettled(racing);
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  });
});

test("a write at a revision needs that revision", async () => {
  await withStore({}, async ({ store }) => {
    const first = await store.updateAt("k", 1, { revision: 0 });
    const second = await store.updateAt("k", 2, { revision: first });
    for (const revision of [0, first, second + 1]) {
      await assert.rejects(store.updateAt("k", 3, { revision }), (error) => {
        assert.ok(error instanceof RevisionConflictError && isConflict(error));
        return error.expected === revision && error.key === "k";
      });
    }
    await assert.rejects(store.delete("k", { revision: first }), RevisionConflictError);
    await assert.rejects(store.purge("k", { revision: first }), RevisionConflictError);
    assert.equal(await store.get("k"), 2);
    await store.delete("k", { revision: second });
    await store.purge("k", { revision: (await store.entry("k"))!.revision });
    assert.equal((await store.entry("k"))?.operation, "purge");
  });
});

test("keys are listed by prefix and by filter", async () => {
  await withStore({}, async ({ store }) => {
    const keys = ["orders.eu.1", "orders.eu.2", "orders.us.1", "order", "orders", "été.1"];
    for (const key of keys) await store.put(key, 1);
    const list = async (options: Parameters<typeof store.keys>[0]) =>
      (await collect(store.keys(options))).sort();
    assert.deepEqual(await list({ prefix: "orders.eu." }), ["orders.eu.1", "orders.eu.2"]);
    assert.deepEqual(await list({ prefix: "orders.e" }), ["orders.eu.1", "orders.eu.2"]);
    assert.deepEqual(await list({ prefix: "order" }), keys.slice(0, 5).sort());
    assert.deepEqual(await list({ prefix: "é" }), ["été.1"]);
    assert.deepEqual(await list({ filter: "orders.*.1" }), ["orders.eu.1", "orders.us.1"]);
    assert.deepEqual(await list({ filter: "été.*" }), ["été.1"]);
    assert.deepEqual(await list({ filter: "orders.>", prefix: "orders.u" }), ["orders.us.1"]);
    assert.deepEqual(await list({ prefix: "none" }), []);
  });
});

test("a key that is overwritten while keys are listed is listed", async () => {
  await withStore({}, async ({ store }) => {
    const keys = Array.from({ length: 100 }, (_, n) => `k.${n}`);
    await Promise.all(keys.map((key) => store.put(key, 0)));
    let isListing = true;
    const writing = (async () => {
      while (isListing) await Promise.all(keys.map((key) => store.put(key, 1)));
    })();
    for (let round = 0; round < 3; round++) {
      assert.deepEqual((await collect(store.keys())).sort(), [...keys].sort());
    }
    isListing = false;
    await writing;
  });
});

test("many keys, and long histories, come by few requests where the server can", async () => {
  await withStore({ history: 64, timeoutMs: 30_000 }, async ({ store }) => {
    const keys = Array.from({ length: 600 }, (_, n) => `k.${n}`);
    await Promise.all(keys.map((key, n) => store.put(key, n)));
    const found = await store.getMany([...keys, ...keys, "none"]);
    assert.equal(found.size, keys.length);
    for (const [index, key] of keys.entries()) assert.equal(found.get(key), index);
    assert.equal((await store.getMany([])).size, 0);
    for (let n = 0; n < 70; n++) await store.put("h", n);
    const values = (await store.history("h")).map(({ value }) => value);
    assert.deepEqual(values, Array.from({ length: 64 }, (_, n) => n + 6));
  });
});

test("large values come in many answers", async () => {
  await withStore({ history: 20 }, async ({ store }) => {
    const large = "-".repeat(900_000);
    const keys = Array.from({ length: 12 }, (_, n) => `k.${n}`);
    for (const key of keys) await store.put(key, key + large);
    const found = await store.getMany(keys);
    for (const key of keys) assert.ok(found.get(key) === key + large);
    for (let n = 0; n < 12; n++) await store.put("h", n + large);
    const values = (await store.history("h")).map(({ value }) => value);
    assert.deepEqual(values.map((value) => parseInt(value as string)), [...Array(12).keys()]);
  });
});

test("a value that is too large is refused before it is sent", async () => {
  await withStore({ maxValueBytes: 100 }, async ({ store, client }) => {
    await store.put("k", "x".repeat(98));
    const tooLarge = "x".repeat(99);
    const refused = coded("payload_too_large");
    await assert.rejects(store.put("k", tooLarge), refused);
    await assert.rejects(store.create("new", tooLarge), refused);
    await assert.rejects(store.updateAt("k", tooLarge, { revision: 1 }), refused);
    await assert.rejects(store.update("k", () => tooLarge), refused);
    const huge = await openStore(client, {
      bucket: "huge",
      codec: json<string>(),
      maxValueBytes: 64 * 1_048_576,
    });
    await assert.rejects(huge.put("k", "x".repeat(1_048_576)), refused);
    assert.equal(client.status, "connected");
    assert.equal(await store.get("k"), "x".repeat(98));
  });
});

test("values that JSON would change are refused", async () => {
  await withStore({}, async ({ store }) => {
    await assert.rejects(store.put("k", 2 ** 53), coded("encode_failed"));
    await assert.rejects(store.put("k", undefined), coded("encode_failed"));
    await assert.rejects(store.update("k", () => 2 ** 53), coded("encode_failed"));
    assert.equal(await store.entry("k"), undefined);
  });
});

test("a value that can't be decoded is an error that names it", async () => {
  await withStore({}, async ({ store, client }) => {
    await coreOf(client).jetstream.publish(`$KV.${BUCKET}.k`, "{");
    await assert.rejects(store.get("k"), coded("decode_failed"));
    await assert.rejects(store.entry("k"), coded("decode_failed"));
    await assert.rejects(store.getMany(["k"]), coded("decode_failed"));
    await assert.rejects(store.history("k"), coded("decode_failed"));
    await assert.rejects(store.update("k", () => 1), coded("decode_failed"));
    await store.put("k", 1);
    assert.equal(await store.get("k"), 1);
  });
});

test("a bucket that is gone is an error that says so", async () => {
  await withStore({}, async ({ store, client }) => {
    const other = await openAny(client);
    await store.destroy();
    const gone = (error: unknown) => isNotFound(error) && coded("bucket_not_found")(error);
    await assert.rejects(other.get("k"), gone);
    await assert.rejects(other.getMany(["a", "b"]), gone);
    await assert.rejects(other.put("k", 1), gone);
    await assert.rejects(other.create("k", 1), gone);
    await assert.rejects(other.update("k", () => 1), gone);
    await assert.rejects(other.delete("k"), gone);
    await assert.rejects(other.history("k"), gone);
    await assert.rejects(collect(other.keys()), gone);
    await other.destroy(); // it is gone, which is what was wanted
  });
});

test("a store that is closed does nothing more", async () => {
  await withStore({}, async ({ store, client }) => {
    const watch = store.watch();
    await watch.ready;
    await Promise.all([store.close(), store.close(), store[Symbol.asyncDispose]()]);
    await watch.closed;
    const closed = coded("connection_closed");
    await assert.rejects(store.get("k"), closed);
    await assert.rejects(store.put("k", 1), closed);
    await assert.rejects(store.update("k", () => 1), closed);
    assert.throws(() => store.keys(), closed);
    assert.throws(() => store.watch(), closed);
    const again = await openAny(client);
    await again.put("k", 1);
  });
});

test("one revision can have a lifetime of its own where the server can", async (t) => {
  await withStore({}, async ({ store, server, client }) => {
    await assert.rejects(store.put("k", 1, { ttlMs: 1_000 }), coded("unsupported"));
    await assert.rejects(store.create("k", 1, { ttlMs: 1_000 }), coded("unsupported"));
    await assert.rejects(store.update("k", () => 1, { ttlMs: 1_000 }), coded("unsupported"));
    const opening = openAny(client, { bucket: "t", perKeyTtl: true });
    if (!isAtLeast(server, 2, 11)) {
      await assert.rejects(opening, coded("unsupported"));
      return t.diagnostic("this server knows no lifetimes");
    }
    const timed = await opening;
    await timed.put("put", 1, { ttlMs: 1_000 });
    await timed.create("create", 1, { ttlMs: 600 + 500 });
    await timed.update("update", () => 1, { ttlMs: 1_000 });
    await timed.put("stays", 1);
    const native = await new Kvm(client.jetstream).create("n", { history: 2, markerTTL: 1_000 });
    await native.put("k", "1");
    const uncovering = (await openAny(client, { bucket: "n" })).put("k", 2, { ttlMs: 1_000 });
    await assert.rejects(uncovering, coded("unsupported"), "1 would come back");
    for (const key of ["put", "create", "update"]) {
      const isExpired = async () => (await timed.entry(key))?.operation === "expire";
      await waitUntil(isExpired, { what: `${key} expires`, timeoutMs: 20_000 });
      assert.equal(await timed.get(key), undefined);
      await timed.create(key, 2);
    }
    assert.equal(await timed.get("stays"), 1);
  });
});

test("all revisions of a bucket can have one lifetime", async () => {
  await withStore({ ttlMs: 500 }, async ({ store }) => {
    const first = await store.put("k", 1);
    const isGone = async () => await store.get("k") === undefined;
    await waitUntil(isGone, { what: "it expires", timeoutMs: 20_000 });
    assert.ok(await store.create("k", 2) > first);
  });
});

test("what makes no sense is refused before anything is sent", async () => {
  await withStore({}, async ({ store, server }) => {
    await server.stop(); // whatever would be sent would be another error
    const misuse = async (kind: typeof TypeError | typeof RangeError, calls: (() => unknown)[]) => {
      for (const call of calls) {
        await assert.rejects(async () => await call(), kind, String(call));
      }
    };
    const k = "k";
    const never = undefined as never;
    const wrong = (value: unknown) => value as never;
    await misuse(TypeError, [
      () => store.get(never),
      () => store.get(wrong(1)),
      () => store.put(wrong({}), 1),
      () => store.get(k, wrong({ timeout: 1 })),
      () => store.get(k, wrong(1)),
      () => store.get(k, { timeoutMs: wrong("1") }),
      () => store.get(k, { signal: wrong({}) }),
      () => store.put(k, 1, { ttlMs: wrong("1") }),
      () => store.put(k, 1, wrong({ revision: 1 })),
      () => store.updateAt(k, 1, never),
      () => store.updateAt(k, 1, { revision: wrong("1") }),
      () => store.update(k, never),
      () => store.update(k, () => 1, { retry: wrong(3) }),
      () => store.update(k, () => 1, { retry: wrong({ attempt: 3 }) }),
      () => store.getMany(wrong("keys")),
      () => store.getMany(wrong(undefined)),
      () => store.getMany([wrong(1)]),
      () => store.keys({ prefix: wrong(1) }),
      () => store.keys(wrong({ pattern: "a" })),
      () => store.delete(k, wrong({ ttlMs: 1 })),
    ]);
    await misuse(RangeError, [
      () => store.get("x".repeat(2_000)),
      () => store.get(k, { timeoutMs: 0 }),
      () => store.get(k, { timeoutMs: NaN }),
      () => store.get(k, { timeoutMs: 2 ** 31 }),
      () => store.updateAt(k, 1, { revision: -1 }),
      () => store.updateAt(k, 1, { revision: 1.5 }),
      () => store.updateAt(k, 1, { revision: NaN }),
      () => store.delete(k, { revision: 0 }),
      () => store.put(k, 1, { ttlMs: 999 }),
      () => store.put(k, 1, { ttlMs: Infinity }),
      () => store.update(k, () => 1, { retry: { attempts: 0 } }),
    ]);
  });
});

test("a call gives up when its signal aborts, and leaves nothing behind", async () => {
  await withStore({}, async ({ store, server }) => {
    const { signal } = new AbortController();
    await store.put("k", 1, { signal });
    await store.update("k", () => 2, { signal });
    await store.getMany(["k", "l"], { signal });
    await collect(store.keys({ signal }));
    assert.equal(getEventListeners(signal, "abort").length, 0);
    server.pause();
    try {
      const calls = [
        (signal: AbortSignal) => store.get("k", { signal }),
        (signal: AbortSignal) => store.put("k", 1, { signal }),
        (signal: AbortSignal) => store.create("k", 1, { signal }),
        (signal: AbortSignal) => store.update("k", () => 1, { signal }),
        (signal: AbortSignal) => store.getMany(["k", "l"], { signal }),
        (signal: AbortSignal) => collect(store.keys({ signal })),
      ];
      const controller = new AbortController();
      const reason = new Error("enough");
      const going = calls.map((call) => call(controller.signal));
      const settled = Promise.allSettled(going);
      controller.abort(reason);
      for (const outcome of await settled) {
        assert.ok(outcome.status === "rejected" && outcome.reason === reason);
      }
      assert.equal(getEventListeners(controller.signal, "abort").length, 0);
      for (const call of calls) {
        await assert.rejects(call(AbortSignal.abort(reason)), (error) => error === reason);
      }
    } finally {
      server.continue();
    }
  });
});
