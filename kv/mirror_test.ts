import assert from "node:assert/strict";
import { test } from "node:test";
import { headers, nanos } from "@nats-io/nats-core";
import { isJsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { untilLost, withProxy } from "../client/testdata/server_ground.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { EntryDecodeError } from "./entry_decode_error.ts";
import type { Mirror, MirrorOptions } from "./mirror.ts";
import { openStore } from "./open_store.ts";
import type { Store } from "./store.ts";
import { isAtLeast } from "./testdata/store_ground.ts";
import { brief, PREFIX, type WatchGround, withWatchGround } from "./testdata/watch_ground.ts";

async function withMirror(
  options: MirrorOptions,
  use: (
    scene: { ground: WatchGround; store: Store<string>; mirror: Mirror<string> },
  ) => Promise<void>,
): Promise<void> {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    await ground.put("b", "1");
    await ground.mark("b", "DEL");
    await ground.withStore(async (store) => {
      const mirror = await store.mirror(options);
      try {
        await use({ ground, store, mirror });
      } finally {
        await mirror.close();
      }
    });
    assert.deepEqual(await ground.consumers(), []);
  });
}

test("a mirror holds the state, and follows it", async () => {
  await withMirror({}, async ({ ground, mirror }) => {
    assert.deepEqual([...mirror], [["a", "1"]]);
    assert.equal(mirror.revision, 3);
    await mirror.waitFor(await ground.put("c", "1"));
    await mirror.waitFor(await ground.put("a", "2"));
    assert.deepEqual(Object.fromEntries(mirror.entries()), { a: "2", c: "1" });
    assert.deepEqual([[...mirror.keys()].sort(), [...mirror.values()].sort()], [
      ["a", "c"],
      ["1", "2"],
    ]);
    assert.deepEqual([mirror.size, mirror.get("a"), mirror.has("a"), mirror.revisionOf("a")], [
      2,
      "2",
      true,
      5,
    ]);
    await mirror.waitFor(await ground.mark("a", "DEL"));
    await mirror.waitFor(await ground.mark("c", "PURGE"));
    assert.deepEqual([mirror.size, mirror.get("a"), mirror.has("c"), mirror.revisionOf("c")], [
      0,
      undefined,
      false,
      undefined,
    ]);
    assert.equal(mirror.revision, 7);
  });
});

test("keys that are names of properties are keys like others", async () => {
  await withMirror({}, async ({ ground, mirror }) => {
    for (const key of ["__proto__", "constructor", "toString"]) {
      assert.equal(mirror.get(key), undefined);
      await mirror.waitFor(await ground.put(key, "1"));
      assert.equal(mirror.get(key), "1");
    }
  });
});

test("a mirror of a part holds no more", async () => {
  await withMirror({ prefix: "ca" }, async ({ ground, mirror }) => {
    assert.equal(mirror.size, 0);
    await ground.put("b", "1");
    await mirror.waitFor(await ground.put("carts.7", "1"));
    assert.deepEqual([...mirror.keys()], ["carts.7"]);
  });
});

test("onChange is called once the map has the change", async () => {
  const seen: string[] = [];
  let mirror: Mirror<string> | undefined;
  const onChange: MirrorOptions["onChange"] = (change) => {
    if (mirror !== undefined) assert.equal(mirror.get(change.key), change.value);
    seen.push(brief(change));
  };
  await withMirror({ onChange }, async (scene) => {
    mirror = scene.mirror;
    await mirror.waitFor(await scene.ground.put("a", "2"));
    assert.deepEqual(seen, ["*a=1", "*b delete", "a=2"]);
  });
});

test("what onChange throws ends the mirror, which stays readable", async () => {
  const onChange: MirrorOptions["onChange"] = ({ value }) => {
    if (value === "2") throw new Error("mine");
  };
  await withMirror({ onChange }, async ({ ground, mirror }) => {
    await ground.put("a", "2");
    await assert.rejects(mirror.closed, /mine/);
    assert.equal(mirror.get("a"), "2");
    await assert.rejects(mirror.waitFor(1_000), /mine/);
  });
});

test("waitFor gives up with its signal, after its time, and when the mirror ends", async () => {
  await withMirror({}, async ({ ground, mirror }) => {
    await mirror.waitFor(0);
    await mirror.waitFor(mirror.revision);
    await assert.rejects(
      mirror.waitFor(1_000, { timeoutMs: 20 }),
      (error) => isJsflowError(error, "timeout"),
    );
    const signal = AbortSignal.timeout(20);
    await assert.rejects(mirror.waitFor(1_000, { signal }), (error) => error === signal.reason);
    const waiting = mirror.waitFor(1_000);
    await mirror.close();
    await assert.rejects(waiting, (error) => isJsflowError(error, "connection_closed"));
    await mirror.closed;
    await ground.put("a", "2");
    assert.equal(mirror.get("a"), "1");
    await mirror.waitFor(3);
  });
});

test("a mirror goes on after its connection was lost", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    await ground.put("b", "1");
    await withProxy({ target: { port: ground.server.port } }, async (proxy) => {
      await ground.withStore(async (store, client) => {
        const mirror = await store.mirror();
        proxy.cut();
        await untilLost(client);
        await ground.put("a", "2");
        await ground.mark("b", "PURGE");
        const last = await ground.put("c", "1");
        assert.equal(mirror.get("a"), "1");
        proxy.heal();
        await mirror.waitFor(last, { timeoutMs: 30_000 });
        assert.deepEqual([...mirror], [["a", "2"], ["c", "1"]]);
        await mirror.close();
      }, proxy.url);
    });
  });
});

test("a mirror whose bucket is deleted ends, and stays readable", async () => {
  await withMirror({}, async ({ store, ground, mirror }) => {
    await ground.remove();
    const isGone = (error: unknown) => isJsflowError(error, "bucket_not_found");
    await assert.rejects(mirror.closed, isGone);
    assert.equal(mirror.get("a"), "1");
    await assert.rejects(mirror.waitFor(1_000), isGone);
    await assert.rejects(store.mirror(), isGone);
    await ground.make();
    await assert.rejects(store.mirror(), isGone);
  });
});

test("a value that does not decode ends a mirror, or keeps it from being opened", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    await ground.withClient(async (client) => {
      const store = await openStore(client, { bucket: "b", codec: json<number>() });
      const mirror = await store.mirror();
      await ground.put("b", "{");
      await assert.rejects(mirror.closed, EntryDecodeError);
      assert.equal(mirror.get("a"), 1);
      const opening = store.mirror();
      await assert.rejects(opening, EntryDecodeError);
    });
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("opening gives up with its signal, or after its time", async () => {
  await withWatchGround({}, async (ground) => {
    await withProxy({ target: { port: ground.server.port } }, async (proxy) => {
      await ground.withStore(async (store) => {
        const signal = AbortSignal.abort(new Error("enough"));
        const opening = store.mirror({ signal });
        await assert.rejects(opening, /enough/);
        proxy.stall();
        await assert.rejects(
          store.mirror({ timeoutMs: 100 }),
          (error) => isJsflowError(error, "timeout"),
        );
        proxy.heal();
      }, proxy.url);
    });
    await ground.untilNoConsumers();
  });
});

test("closing the client ends its mirrors", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    let mirror: Mirror<string> | undefined;
    await ground.withStore(async (store) => {
      mirror = await store.mirror();
    });
    await mirror?.closed;
    assert.equal(mirror?.get("a"), "1");
  });
});

test("values that expire without a word leave the mirror", async () => {
  await withWatchGround({ max_age: 1e9, duplicate_window: 1e9 }, async (ground) => {
    await ground.put("a", "1");
    await ground.put("b", "1");
    await ground.withStore(async (store) => {
      const mirror = await store.mirror();
      assert.deepEqual([...mirror.keys()], ["a", "b"]);
      await waitUntil(() => mirror.size === 0, { what: "both are gone" });
      await mirror.waitFor(await ground.put("a", "2"));
      assert.equal(mirror.get("a"), "2");
      await waitUntil(() => mirror.size === 0, { what: "it is gone again" });
      await mirror.close();
    });
  });
});

test("values of other software that have a lifetime of their own leave the mirror", async (t) => {
  await withWatchGround({ allow_msg_ttl: true, max_age: nanos(3_600_000) }, async (ground) => {
    if (!isAtLeast(ground.server, 2, 11)) return t.skip("the server knows no lifetimes");
    await ground.put("a", "1");
    await putFor(ground, "early", "3s");
    await ground.withStore(async (store) => {
      const seen: string[] = [];
      const mirror = await store.mirror({ onChange: ({ key }) => void seen.push(key) });
      await putFor(ground, "longer", "3s");
      await putFor(ground, "short", "2");
      await putFor(ground, "overwritten", "2");
      const last = await ground.put("overwritten", "2");
      await mirror.waitFor(await putFor(ground, "never", "never"));
      for (const key of ["longer", "short", "overwritten"]) assert.ok(seen.includes(key), key);
      for (const key of ["short", "longer", "early"]) {
        await waitUntil(() => !mirror.has(key), { what: `${key} is gone` });
      }
      assert.deepEqual([...mirror.keys()], ["a", "overwritten", "never"]);
      assert.equal(mirror.revisionOf("overwritten"), last);
      await mirror.close();
    });
  });
});

/** Writes text with a lifetime, as the server reads it. */
async function putFor({ observer }: WatchGround, key: string, lifetime: string): Promise<number> {
  const own = headers();
  own.set("Nats-TTL", lifetime);
  const options = { headers: own, timeout: 5_000 };
  const answer = await observer.connection.request(PREFIX + key, "1", options);
  return answer.json<{ seq: number }>().seq;
}

test("misuse is refused before anything is asked", async () => {
  await withMirror({}, async ({ store, mirror }) => {
    const wrong: [unknown, typeof TypeError | typeof RangeError][] = [
      [{ from: "new" }, TypeError],
      [{ prefix: 7 }, TypeError],
      [{ onChange: "no" }, TypeError],
      [{ signal: {} }, TypeError],
      [{ timeoutMs: 0 }, RangeError],
      [{ timeoutMs: NaN }, RangeError],
    ];
    for (const [options, kind] of wrong) {
      await assert.rejects(store.mirror(options as never), kind);
    }
    await assert.rejects(mirror.waitFor(-1), RangeError);
    await assert.rejects(mirror.waitFor("1" as never), TypeError);
    await assert.rejects(mirror.waitFor(1, { timeoutMs: -1 }), RangeError);
    await assert.rejects(mirror.waitFor(1, { within: 1 } as never), TypeError);
  });
});
