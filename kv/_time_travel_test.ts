import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { systemClock } from "../client/clock.ts";
import { coreOf } from "../client/core.ts";
import { isJsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { streamInfo } from "../client/streams.ts";
import { startTestNats, type TestNats } from "../testing/test_nats.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Bounds, Bucket } from "./_bucket.ts";
import { factsOf } from "./_ensure_bucket.ts";
import { escapedKeyNames } from "./_key_names.ts";
import { StreamBucket } from "./_stream_bucket.ts";
import { createTimeTravel, type TimeTravel, type TimeTravelSettings } from "./_time_travel.ts";
import type { Entry } from "./entry.ts";
import { openStore } from "./open_store.ts";
import type { Store } from "./store.ts";

interface Value {
  n: number;
}

const BOUNDS: Bounds = { signal: undefined, timeoutMs: 5_000 };
const SETTINGS: TimeTravelSettings = { historyCacheKeys: 10, historyCacheMs: 60_000 };

interface Ground {
  readonly nats: TestNats;
  readonly store: Store<Value>;
  readonly travel: TimeTravel<Value>;
  /** Requests that the time travel made, by kind. */
  readonly asked: Record<"last" | "lastOfMany" | "history", number>;
}

async function withTravel(
  use: (ground: Ground) => Promise<void>,
  settings: Partial<TimeTravelSettings> & { wrap?: (bucket: Bucket) => Bucket } = {},
): Promise<void> {
  const nats = await startTestNats();
  try {
    const codec = json<Value>();
    const options = { bucket: "b", codec, history: 64, storage: "memory" } as const;
    const store = await openStore(nats.client, options);
    const asked = { last: 0, lastOfMany: 0, history: 0 };
    const { wrap = (bucket: Bucket) => bucket, ...rest } = settings;
    const bucket = wrap(counting(await bucketOf(nats), asked));
    const travel = createTimeTravel(bucket, codec, { ...SETTINGS, ...rest });
    await use({ nats, store, travel, asked });
  } finally {
    await nats.close();
  }
}

async function bucketOf({ client }: TestNats): Promise<Bucket> {
  const core = coreOf(client);
  return new StreamBucket({
    core,
    name: "b",
    stream: "KV_b",
    subjectPrefix: "$KV.b.",
    keys: escapedKeyNames,
    facts: factsOf(await streamInfo(core, "KV_b")),
    clock: systemClock,
    random: Math.random,
  });
}

function counting(bucket: Bucket, asked: Ground["asked"]): Bucket {
  const counted = Object.create(bucket) as { -readonly [K in keyof Bucket]: Bucket[K] };
  for (const kind of ["name", "stream", "subjectPrefix", "core", "keys", "facts"] as const) {
    Object.defineProperty(counted, kind, { value: bucket[kind] });
  }
  counted.last = (...args) => (asked.last++, bucket.last(...args));
  counted.lastOfMany = (...args) => (asked.lastOfMany++, bucket.lastOfMany(...args));
  counted.history = (...args) => (asked.history++, bucket.history(...args));
  return counted;
}

/** Writes with at least a millisecond in between, so that each has a time of its own. */
async function writeSome(store: Store<Value>, key: string): Promise<Entry<Value>[]> {
  const steps = [
    () => store.put(key, { n: 1 }),
    () => store.put(key, { n: 2 }),
    () => store.delete(key),
    () => store.put(key, { n: 4 }),
  ];
  for (const step of steps) {
    const { length } = await store.history(key);
    const before = Date.now();
    await waitUntil(() => Date.now() > before + 1, { intervalMs: 1 });
    await step();
    assert.equal((await store.history(key)).length, length + 1);
  }
  return await store.history(key);
}

const ms = (entry: Entry<Value> | undefined, offset = 0) =>
  new Date((entry?.time.getTime() ?? NaN) + offset);

test("a key has the value that it had then", async () => {
  await withTravel(async ({ store, travel }) => {
    const [one, two, gone, four] = await writeSome(store, "a");
    const at = (time: Date) => travel.at("a", time, BOUNDS);
    assert.equal(await at(new Date(0)), undefined);
    assert.equal(await at(ms(one, -1)), undefined);
    assert.deepEqual(await at(ms(one)), { n: 1 });
    assert.deepEqual(await at(ms(two, -1)), { n: 1 });
    assert.deepEqual(await at(ms(two)), { n: 2 });
    assert.equal(await at(ms(gone)), undefined);
    assert.equal(await at(ms(four, -1)), undefined);
    assert.deepEqual(await at(ms(four)), { n: 4 });
    assert.deepEqual(await at(new Date(Date.now() + 3_600_000)), { n: 4 });
    assert.equal(await travel.at("none", new Date(), BOUNDS), undefined);
  });
});

test("a span gives its revisions, both ends and removals included", async () => {
  await withTravel(async ({ store, travel }) => {
    const entries = await writeSome(store, "a");
    const [one, two, gone, four] = entries;
    const range = (from: Date, to: Date) => travel.range("a", { from, to }, BOUNDS);
    assert.deepEqual(await range(new Date(0), new Date()), entries);
    assert.deepEqual(await range(ms(two), ms(gone)), [two, gone]);
    assert.deepEqual(await range(ms(one), ms(one)), [one]);
    assert.deepEqual(await range(ms(one, 1), ms(two, -1)), []);
    assert.deepEqual(await range(ms(four, 1), new Date(Date.now() + 1_000)), []);
  });
});

test("many keys are answered together, those without an answer left out", async () => {
  await withTravel(async ({ store, travel, asked }) => {
    const [first, , gone] = await writeSome(store, "a");
    await writeSome(store, "b c");
    const keys = ["a", "b c", "none", "a"];
    const now = new Date(Date.now() + 1_000);
    const values = await travel.atMany(keys, now, BOUNDS);
    assert.deepEqual(Object.fromEntries(values), { a: { n: 4 }, "b c": { n: 4 } });
    assert.deepEqual([...await travel.atMany(keys, ms(first), BOUNDS)], [["a", { n: 1 }]]);
    assert.deepEqual([...await travel.atMany(keys, ms(gone), BOUNDS)], []);
    const ranges = await travel.rangeMany(keys, { from: new Date(0), to: now }, BOUNDS);
    assert.deepEqual([...ranges.keys()], ["a", "b c"]);
    assert.deepEqual(ranges.get("b c"), await store.history("b c"));
    assert.deepEqual([...await travel.atMany([], now, BOUNDS)], []);
    assert.equal(asked.history, 3); // that there is nothing is known as well
  });
});

test("many more keys than are loaded at a time", async () => {
  await withTravel(async ({ store, travel }) => {
    const keys = Array.from({ length: 50 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key, n) => store.put(key, { n })));
    const values = await travel.atMany(keys, new Date(Date.now() + 1_000), BOUNDS);
    assert.deepEqual([...values.values()].map(({ n }) => n), keys.map((_, n) => n));
    assert.equal(travel.stats.size, 10);
    assert.equal(travel.stats.evictions, 40);
  });
});

test("times that are over are answered from the cache, without a request", async () => {
  await withTravel(async ({ store, travel, asked }) => {
    const [one, , , four] = await writeSome(store, "a");
    for (let time = 0; time < 3; time++) {
      assert.deepEqual(await travel.at("a", ms(one), BOUNDS), { n: 1 });
    }
    assert.deepEqual(asked, { last: 0, lastOfMany: 0, history: 1 });
    assert.deepEqual(await travel.at("a", ms(four), BOUNDS), { n: 4 });
    assert.deepEqual(asked, { last: 1, lastOfMany: 0, history: 1 });
    const { size, maxSize, hits, misses, evictions } = travel.stats;
    assert.deepEqual({ size, maxSize, hits, misses, evictions }, {
      size: 1,
      maxSize: 10,
      hits: 3,
      misses: 1,
      evictions: 0,
    });
  });
});

test("what others write is seen", async () => {
  await withTravel(async ({ store, travel, asked }) => {
    const later = new Date(Date.now() + 3_600_000);
    assert.equal(await travel.at("a", later, BOUNDS), undefined);
    await store.put("a", { n: 1 });
    assert.deepEqual(await travel.at("a", later, BOUNDS), { n: 1 });
    await store.put("a", { n: 2 });
    await store.put("b", { n: 3 });
    const values = await travel.atMany(["a", "b"], later, BOUNDS);
    assert.deepEqual([...values.values()], [{ n: 2 }, { n: 3 }]);
    await store.purge("a");
    assert.equal(await travel.at("a", later, BOUNDS), undefined);
    assert.equal(asked.history, 5);
    assert.equal(travel.stats.hits, 0);
  });
});

test("the store's own purges are seen at once, at every time", async () => {
  await withTravel(async ({ store }) => {
    const [one] = await writeSome(store, "a");
    assert.deepEqual(await store.at("a", ms(one)), { n: 1 });
    assert.equal(store.historyCache.size, 1);
    await store.purge("a");
    assert.equal(store.historyCache.size, 0);
    assert.equal(await store.at("a", ms(one)), undefined);
    const other = await store.update("a", () => ({ n: 9 }));
    assert.deepEqual(await store.at("a", new Date(Date.now() + 1_000)), other.value);
  });
});

test("a history that was loaded while the key was written is not kept", async () => {
  const gate = Promise.withResolvers<void>();
  const reading = Promise.withResolvers<void>();
  const wrap = (bucket: Bucket): Bucket => {
    const slow = Object.create(bucket) as { -readonly [K in keyof Bucket]: Bucket[K] };
    slow.history = async (...args) => {
      const entries = await bucket.history(...args);
      reading.resolve();
      await gate.promise;
      return entries;
    };
    return slow;
  };
  await withTravel(async ({ store, travel }) => {
    const [one] = await writeSome(store, "a");
    const before = travel.at("a", ms(one), BOUNDS);
    await reading.promise;
    await store.purge("a");
    travel.wrote("a");
    gate.resolve();
    assert.deepEqual(await before, { n: 1 });
    assert.equal(await travel.at("a", ms(one), BOUNDS), undefined);
  }, { wrap });
});

test("histories are kept for a while, and only so many", async () => {
  let nowMs = 1;
  const clock = { monotonic: () => nowMs };
  await withTravel(async ({ store, travel, asked }) => {
    const [one] = await writeSome(store, "a");
    await travel.at("a", ms(one), BOUNDS);
    nowMs += 900;
    await travel.at("a", ms(one), BOUNDS);
    assert.equal(asked.history, 1);
    nowMs += 200;
    assert.equal(travel.stats.size, 0);
    assert.equal(travel.stats.evictions, 1);
    await travel.at("a", ms(one), BOUNDS);
    assert.equal(asked.history, 2);
    for (const key of ["b", "c"]) await travel.at(key, ms(one), BOUNDS);
    assert.equal(travel.stats.size, 2);
    await travel.at("a", ms(one), BOUNDS);
    assert.equal(asked.history, 5);
  }, { clock, historyCacheKeys: 2, historyCacheMs: 1_000 });
});

test("a cache of no time keeps nothing", async () => {
  await withTravel(async ({ store, travel, asked }) => {
    const [one] = await writeSome(store, "a");
    await travel.at("a", ms(one), BOUNDS);
    await travel.at("a", ms(one), BOUNDS);
    assert.equal(asked.history, 2);
    assert.deepEqual(travel.stats, { size: 0, maxSize: 0, hits: 0, misses: 2, evictions: 0 });
  }, { historyCacheMs: 0 });
});

test("what is handed out is nobody else's", async () => {
  await withTravel(async ({ store, travel }) => {
    const [one] = await writeSome(store, "a");
    const value = await travel.at("a", ms(one), BOUNDS);
    value!.n = 100;
    assert.deepEqual(await travel.at("a", ms(one), BOUNDS), { n: 1 });
  });
});

test("revisions that the bucket has dropped are gone", async () => {
  await withTravel(async ({ store, travel }) => {
    for (let n = 1; n <= 66; n++) await store.put("a", { n });
    const all = { from: new Date(0), to: new Date(Date.now() + 1_000) };
    const found = await travel.range("a", all, BOUNDS);
    assert.deepEqual(
      found.map(({ value }) => value?.n),
      Array.from({ length: 64 }, (_, n) => n + 3),
    );
  });
});

test("what is no time is a TypeError, before any request", async () => {
  await withTravel(async ({ travel, asked }) => {
    const wrong: unknown[] = [new Date(NaN), 0, "2024-01-01", undefined, null, {}];
    for (const time of wrong as Date[]) {
      await assert.rejects(travel.at("a", time, BOUNDS), TypeError);
      await assert.rejects(travel.atMany(["a"], time, BOUNDS), TypeError);
      await assert.rejects(travel.range("a", { from: time, to: new Date() }, BOUNDS), TypeError);
      await assert.rejects(travel.range("a", { from: new Date(), to: time }, BOUNDS), TypeError);
    }
    const backwards = { from: new Date(1), to: new Date(0) };
    await assert.rejects(travel.range("a", backwards, BOUNDS), RangeError);
    await assert.rejects(travel.range("a", undefined as never, BOUNDS), TypeError);
    await assert.rejects(travel.range("a", { since: 1 } as never, BOUNDS), TypeError);
    await assert.rejects(travel.atMany(1 as never, new Date(), BOUNDS), TypeError);
    await assert.rejects(travel.atMany([1 as never], new Date(), BOUNDS), TypeError);
    assert.deepEqual(asked, { last: 0, lastOfMany: 0, history: 0 });
  });
});

test("signal and time bound a call; a bucket that is gone is an error", async () => {
  await withTravel(async ({ travel, store, nats }) => {
    await store.put("a", { n: 1 });
    const signal = AbortSignal.abort(new Error("no"));
    await assert.rejects(travel.at("a", new Date(), { signal, timeoutMs: 1_000 }), /no/);
    nats.server.pause();
    try {
      const bounds = { signal: undefined, timeoutMs: 200 };
      const failed = (error: unknown) => isJsflowError(error, "timeout");
      await assert.rejects(travel.atMany(["a", "b"], new Date(), bounds), failed);
    } finally {
      nats.server.continue();
    }
    await store.destroy();
    await assert.rejects(
      travel.at("a", new Date(), BOUNDS),
      (error) => isJsflowError(error, "bucket_not_found"),
    );
  });
});

test("closed, it holds nothing", async () => {
  await withTravel(async ({ store, travel }) => {
    await store.put("a", { n: 1 });
    await travel.at("a", new Date(0), BOUNDS);
    assert.equal(travel.stats.size, 1);
    travel.close();
    travel.close();
    assert.equal(travel.stats.size, 0);
    await travel.at("a", new Date(0), BOUNDS);
    assert.equal(travel.stats.size, 0);
  });
});

/** What may happen: somebody writes, or asks about the time of some revision, give or take. */
const someSteps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom("put", "delete"), isOwn: fc.boolean() }),
    fc.record({
      kind: fc.constant("ask" as const),
      pick: fc.nat(),
      offsetMs: fc.integer({ min: -2, max: 2 }),
    }),
  ),
  { maxLength: 25 },
);

test("whoever writes, the cache answers as a search through all revisions does", async () => {
  await withTravel(async ({ store, travel }) => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(someSteps, async (steps) => {
        const key = `k${round++}`;
        for (const [n, step] of steps.entries()) {
          if (step.kind !== "ask") {
            if (step.kind === "put") await store.put(key, { n });
            else await store.delete(key);
            if ((step as { isOwn: boolean }).isOwn) travel.wrote(key);
            continue;
          }
          const { pick, offsetMs } = step as { pick: number; offsetMs: number };
          const list = await store.history(key);
          const time = ms(list[pick % (list.length + 1)] ?? list.at(-1), offsetMs);
          const asked = Number.isNaN(time.getTime()) ? new Date() : time;
          const until = list.filter((entry) => entry.time <= asked);
          assert.deepEqual(await travel.at(key, asked, BOUNDS), until.at(-1)?.value);
          const range = { from: ms(until[0] ?? { time: asked } as Entry<Value>), to: asked };
          assert.deepEqual(await travel.range(key, range, BOUNDS), until);
        }
      }),
      { numRuns: 20 },
    );
    assert.ok(travel.stats.hits > 20, `${travel.stats.hits}`);
  });
});
