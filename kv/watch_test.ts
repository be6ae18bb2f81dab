import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import { isJsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { EntryDecodeError } from "./entry_decode_error.ts";
import { brief, type WatchGround, withWatchGround } from "./testdata/watch_ground.ts";
import { openStore } from "./open_store.ts";
import type { Store } from "./store.ts";
import type { Watch, WatchOptions } from "./watch.ts";

/** A bucket and a ground with it, for tests that need no more. */
async function withStore(
  config: Parameters<typeof withWatchGround>[0],
  use: (ground: WatchGround, store: Store<string>, client: Client) => Promise<void>,
): Promise<void> {
  await withWatchGround(config, async (ground) => {
    await ground.withStore((store, client) => use(ground, store, client));
  });
}

/** The first changes of a watch, in short; then it is closed. */
async function first(watch: Watch<string>, count: number): Promise<string[]> {
  const seen: string[] = [];
  if (count === 0) return seen;
  for await (const change of watch) {
    seen.push(brief(change));
    if (seen.length === count) break;
  }
  return seen;
}

test("the state comes first, then changes, each kind told apart", async () => {
  await withStore({}, async (ground, store) => {
    await ground.put("b", "1");
    await ground.put("a", "1");
    await ground.put("b", "2");
    await ground.put("c", "1");
    await ground.mark("c", "DEL");
    const watch = store.watch();
    const seen = first(watch, 7);
    await watch.ready;
    await ground.put("a", "2");
    await ground.mark("a", "DEL");
    await ground.mark("b", "PURGE");
    await ground.put("d", "1");
    assert.deepEqual(await seen, [
      "*a=1",
      "*b=2",
      "*c delete",
      "a=2",
      "a delete",
      "b purge",
      "d=1",
    ]);
    await watch.closed;
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("a change carries key, revision, time and value", async () => {
  await withStore({}, async (ground, store) => {
    const before = Date.now();
    const revision = await ground.put("an odd.kéy", "1");
    for await (const change of store.watch()) {
      assert.ok(Math.abs(change.time.getTime() - before) < 60_000);
      assert.deepEqual(change, {
        key: "an odd.kéy",
        revision,
        time: change.time,
        operation: "put",
        value: "1",
        initial: true,
      });
      break;
    }
  });
});

test("the state of an empty bucket is complete at once", async () => {
  await withStore({}, async (ground, store) => {
    const watch = store.watch();
    await watch.ready;
    const seen = first(watch, 1);
    await ground.put("a", "1");
    assert.deepEqual(await seen, ["a=1"]);
  });
});

test("it begins with the history, with what is new, or behind a revision", async () => {
  await withStore({ max_msgs_per_subject: 5 }, async (ground, store) => {
    await ground.put("a", "1");
    await ground.put("b", "1");
    await ground.put("a", "2");
    const starts: [WatchOptions["from"], string[]][] = [
      ["state", ["*b=1", "*a=2", "c=1"]],
      ["history", ["*a=1", "*b=1", "*a=2", "c=1"]],
      ["new", ["c=1"]],
      [{ afterRevision: 0 }, ["*a=1", "*b=1", "*a=2", "c=1"]],
      [{ afterRevision: 2 }, ["*a=2", "c=1"]],
      [{ afterRevision: 3 }, ["c=1"]],
    ];
    const watches = starts.map(([from]) => store.watch({ from }));
    const seen = watches.map((watch, index) => first(watch, starts[index]![1].length));
    await Promise.all(watches.map((watch) => watch.ready));
    await ground.put("c", "1");
    assert.deepEqual(await Promise.all(seen), starts.map(([, expected]) => expected));
  });
});

test("only what was asked for is reported", async () => {
  await withStore({}, async (ground, store) => {
    const selections: [WatchOptions, string[]][] = [
      [{ key: "carts.7" }, ["*carts.7=1"]],
      [{ key: "" }, ["*=1"]],
      [{ prefix: "ca" }, ["*carts.7=1", "*cars=1", "*carts.8 delete"]],
      [{ prefix: "carts." }, ["*carts.7=1", "*carts.8 delete"]],
      [{ prefix: "carts.", removals: false }, ["*carts.7=1"]],
      [{ filter: "*.7" }, ["*carts.7=1", "*a b.7=1"]],
      [{ filter: "*.7", prefix: "a " }, ["*a b.7=1"]],
    ];
    for (const key of ["carts.7", "cars", "a b.7", "__proto__", ""]) await ground.put(key, "1");
    await ground.mark("carts.8", "DEL");
    await ground.observer.jetstream.publish("$KV.b.other=zz", "written by other software");
    for (const [options, expected] of selections) {
      const watch = store.watch(options);
      const seen: string[] = [];
      const reading = (async () => {
        for await (const change of watch) seen.push(brief(change));
      })();
      await watch.ready;
      await watch.close();
      await reading;
      assert.deepEqual(seen, expected, JSON.stringify(options));
    }
  });
});

const endings: Record<string, (watch: Watch<string>, abort: () => void) => Promise<unknown>> = {
  break: async (watch) => {
    for await (const _ of watch) break;
  },
  throw: async (watch) => {
    await assert.rejects(async () => {
      for await (const _ of watch) throw new Error("mine");
    }, /mine/);
  },
  abort: async (watch, abort) => {
    await assert.rejects(async () => {
      for await (const _ of watch) abort();
    }, /enough/);
    await assert.rejects(watch.closed, /enough/);
  },
  "abort while waiting": async (watch, abort) => {
    const iterator = watch[Symbol.asyncIterator]();
    assert.equal((await iterator.next()).done, false);
    const waiting = iterator.next();
    abort();
    await assert.rejects(waiting, /enough/);
    assert.equal((await iterator.next()).done, true);
    await assert.rejects(watch.closed, /enough/);
  },
  close: async (watch) => {
    for await (const _ of watch) await watch.close();
    await watch.closed;
  },
  "close while waiting": async (watch) => {
    const iterator = watch[Symbol.asyncIterator]();
    await iterator.next();
    const waiting = [iterator.next(), iterator.next()];
    await watch.close();
    for (const result of await Promise.all(waiting)) assert.equal(result.done, true);
  },
  "close at once": async (watch) => {
    await watch.close();
    assert.equal((await watch[Symbol.asyncIterator]().next()).done, true);
    await assert.rejects(watch.ready, (error) => isJsflowError(error, "connection_closed"));
  },
  "throw into it": async (watch) => {
    const iterator = watch[Symbol.asyncIterator]();
    await assert.rejects(iterator.throw!(new Error("mine")), /mine/);
  },
};

for (const [name, end] of Object.entries(endings)) {
  test(`${name} leaves nothing behind`, async () => {
    await withStore({}, async (ground, store) => {
      await ground.put("a", "1");
      const controller = new AbortController();
      const watch = store.watch({ signal: controller.signal });
      await end(watch, () => controller.abort(new Error("enough")));
      await watch.close();
      assert.deepEqual(await ground.consumers(), []);
      assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    });
  });
}

test("a signal that has aborted ends it before anything is asked", async () => {
  await withStore({}, async (ground, store) => {
    const watch = store.watch({ signal: AbortSignal.abort(new Error("enough")) });
    await assert.rejects(watch.ready, /enough/);
    await assert.rejects(first(watch, 1), /enough/);
    await assert.rejects(watch.closed, /enough/);
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("a watch is read once", async () => {
  await withStore({}, async (_, store) => {
    const watch = store.watch();
    watch[Symbol.asyncIterator]();
    assert.throws(() => watch[Symbol.asyncIterator](), TypeError);
    await watch.close();
  });
});

test("a reader that is away has little waiting for it, and misses nothing", async () => {
  await withStore({ max_msgs_per_subject: 64 }, async (ground, store) => {
    const watch = store.watch({ from: "history", maxPending: 8 });
    await watch.ready;
    const expected: string[] = [];
    for (let n = 0; n < 40; n++) {
      await ground.put("a", `${n}`);
      expected.push(`a=${n}`);
    }
    const [consumer = ""] = await ground.consumers();
    const info = () => ground.manager.consumers.info("KV_b", consumer);
    await waitUntil(async () => (await info()).num_waiting === 0, { what: "it asks no more" });
    assert.ok((await info()).num_pending >= 32, `${(await info()).num_pending} wait at the server`);
    await ground.deleteConsumers(); // as the server does when nobody pulls for long
    assert.deepEqual(await first(watch, 40), expected);
  });
});

test("with room for one change, they come one by one", async () => {
  await withStore({}, async (ground, store) => {
    for (const key of ["a", "b", "c"]) await ground.put(key, "1");
    const watch = store.watch({ maxPending: 1 });
    assert.deepEqual(await first(watch, 3), ["*a=1", "*b=1", "*c=1"]);
  });
});

test("a function gets one change after the other, and ready waits for it", async () => {
  await withStore({}, async (ground, store) => {
    await ground.put("a", "1");
    await ground.put("b", "1");
    const log: string[] = [];
    const gate = Promise.withResolvers<void>();
    const handle = store.watch({}, async (change) => {
      log.push(`begin ${brief(change)}`);
      if (change.key === "b") await gate.promise;
      log.push(`end ${brief(change)}`);
    });
    const ready = handle.ready.then(() => log.push("ready"));
    await waitUntil(() => log.length === 3, { what: "it is called for b" });
    await ground.put("c", "1");
    gate.resolve();
    await ready;
    await waitUntil(() => log.includes("end c=1"), { what: "it is called for c" });
    await handle.close();
    await handle.closed;
    const expected = ["begin *a=1", "end *a=1", "begin *b=1", "end *b=1", "ready"];
    assert.deepEqual(log, [...expected, "begin c=1", "end c=1"]);
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("what the function throws ends the watch", async () => {
  await withStore({}, async (ground, store) => {
    await ground.put("a", "1");
    for (const fail of [() => Promise.reject(new Error("mine")), () => assert.fail("mine")]) {
      const handle = store.watch({}, fail);
      await assert.rejects(handle.closed, /mine/);
      await assert.rejects(handle.ready, /mine/);
      await handle.close();
    }
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("the function may end its own watch", async () => {
  await withStore({}, async (ground, store) => {
    await ground.put("a", "1");
    await ground.put("b", "1");
    let calls = 0;
    const handle = store.watch({}, async () => {
      calls++;
      await handle.close();
    });
    await handle.closed;
    assert.equal(calls, 1);
  });
});

test("a value that is not what the codec expects ends it with its key and revision", async () => {
  await withStore({}, async (ground, _, client) => {
    const store = await openStore(client, { bucket: "b", codec: json<number>() });
    await ground.put("a", "1");
    const revision = await ground.put("b", "{");
    await ground.put("c", "3");
    const seen: string[] = [];
    let error: unknown;
    try {
      for await (const change of store.watch()) seen.push(brief(change));
    } catch (thrown) {
      error = thrown;
    }
    assert.ok(error instanceof EntryDecodeError, String(error));
    assert.deepEqual([error.code, error.bucket, error.key, error.revision], [
      "decode_failed",
      "b",
      "b",
      revision,
    ]);
    assert.match(error.message, /revision 2 of "b" in bucket b/);
    const handle = store.watch({}, () => {});
    await assert.rejects(handle.closed, EntryDecodeError);
    await ground.untilNoConsumers();
    const rest = store.watch({ from: { afterRevision: error.revision } });
    for await (const change of rest) {
      assert.equal(brief(change), "*c=3");
      break;
    }
  });
});

test("closing the client ends its watches", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    const gate = Promise.withResolvers<void>();
    let watch: Watch<string> | undefined;
    let isDone = false;
    await ground.withStore(async (store) => {
      watch = store.watch();
      await first(store.watch(), 1);
      const handle = store.watch({}, async () => {
        gate.resolve();
        await waitUntil(() => ground.consumers().then(({ length }) => length === 0));
        isDone = true;
      });
      await gate.promise;
      void handle.closed.then(() => assert.ok(isDone));
    });
    assert.ok(isDone, "a call that is under way may end");
    await watch?.closed;
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("a client that is closed opens no watch", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.withStore(async (store, client) => {
      await client.close();
      assert.throws(
        () => store.watch(),
        (error) => isJsflowError(error, "connection_closed"),
      );
    });
  });
});

test("expired values are reported where the server can", async (context) => {
  await withWatchGround({}, async (ground) => {
    if (!ground.observer.server.supports("message_ttl")) {
      return context.skip("the server reports no expiry");
    }
    await ground.remove();
    const config = {
      max_age: 1e9,
      allow_msg_ttl: true,
      subject_delete_marker_ttl: 60e9,
    };
    const { config: stored } = await ground.manager.streams.add({
      name: "KV_b",
      subjects: ["$KV.b.>"],
      max_msgs_per_subject: 1,
      allow_rollup_hdrs: true,
      ...config,
    });
    assert.equal(stored.subject_delete_marker_ttl, 60e9);
    await ground.withStore(async (store) => {
      const watch = store.watch();
      await watch.ready;
      await ground.put("a", "1");
      assert.deepEqual(await first(watch, 2), ["a=1", "a expire"]);
    });
  });
});

test("misuse is refused before anything is asked", async () => {
  await withStore({}, async (ground, store) => {
    const wrong: [unknown, typeof TypeError | typeof RangeError][] = [
      [{ keys: "a" }, TypeError],
      [{ key: 7 }, TypeError],
      [{ key: "a", prefix: "a" }, TypeError],
      [{ prefix: 7 }, TypeError],
      [{ filter: "a.>.b" }, TypeError],
      [{ from: "start" }, TypeError],
      [{ from: { revision: 7 } }, TypeError],
      [{ from: { afterRevision: -1 } }, RangeError],
      [{ from: { afterRevision: "7" } }, TypeError],
      [{ removals: "no" }, TypeError],
      [{ maxPending: 0 }, RangeError],
      [{ maxPending: 1e9 }, RangeError],
      [{ maxPending: NaN }, RangeError],
      [{ signal: {} }, TypeError],
    ];
    for (const [options, kind] of wrong) {
      assert.throws(() => store.watch(options as WatchOptions), kind);
    }
    assert.throws(() => store.watch({}, "no" as never), TypeError);
    assert.deepEqual(await ground.consumers(), []);
  });
});
