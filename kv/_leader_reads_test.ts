import assert from "node:assert/strict";
import { test } from "node:test";
import { JsflowError } from "../client/errors.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import { overlayBucket } from "./_bucket_overlay.ts";
import { barrier } from "./barrier.ts";
import type { Coordination } from "./coordination.ts";
import { lock, tryLock } from "./lock.ts";
import { openSpace } from "./_open_space.ts";
import { type Seen, type Space, spaceOf } from "./_space.ts";
import { forgetOnce, onceFor } from "./once_for.ts";
import { semaphore } from "./semaphore.ts";
import {
  type CoordinationGround,
  coordinationGround,
  hasCode,
  patchStore,
} from "./testdata/coordination_ground.ts";
import { waitGroup } from "./wait_group.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });
const never = () => assert.fail("it ran");

/** Which reads show what was. */
type Lag = "none" | "followers" | "leader";

/** A bucket that can lag behind. */
class LaggingBucket {
  /** Whether other replicas are behind, or a leader that does not know of its successor too. */
  lag: Lag = "none";
  /** What stands in front of reads at the leader. */
  beforeLeader: () => Promise<void> = () => Promise.resolve();
  readonly #frozen = new Map<string, RawEntry | undefined>();
  #bucket: Bucket | undefined;

  /** For the parts of a space. */
  readonly around = (bucket: Bucket): Bucket => {
    this.#bucket = bucket;
    return overlayBucket(bucket, {
      last: (name, bounds) => this.#shows(name, "followers") ?? bucket.last(name, bounds),
      lastAtLeader: async (name, bounds) => {
        await this.beforeLeader();
        return await (this.#shows(name, "leader") ?? bucket.lastAtLeader(name, bounds));
      },
    });
  };

  /** Keeps what a key holds now, for those who lag from here on. */
  async freeze(name: string, lag: Lag = "followers"): Promise<void> {
    const bounds = { signal: undefined, timeoutMs: 5_000 };
    this.#frozen.set(name, await this.#bucket!.lastAtLeader(name, bounds));
    this.lag = lag;
  }

  #shows(name: string, who: Lag): Promise<RawEntry | undefined> | undefined {
    const isBehind = this.lag === "leader" || this.lag === who;
    if (!isBehind || !this.#frozen.has(name)) return undefined;
    return Promise.resolve(this.#frozen.get(name));
  }
}

/** A coordination that reads from replicas which can be made to lag. */
interface Lagging {
  readonly ground: CoordinationGround<Space>;
  readonly behind: Coordination;
  readonly bucket: LaggingBucket;
}

async function withLag(use: (lagging: Lagging) => Promise<void>): Promise<void> {
  await withCoordination(async (ground) => {
    const bucket = new LaggingBucket();
    const parts = { around: bucket.around };
    const behind = await openSpace(ground.client, { timeoutMs: 1_000 }, parts);
    try {
      await use({ ground, behind, bucket });
    } finally {
      await behind.close();
    }
  });
}

/** Lets watches begin with what was, as those that a lagging replica serves do. */
function showFirst(space: Space, key: string, { value, revision }: Seen): void {
  patchStore(space, (store) => ({
    watch: ((options: never, onChange: never) => {
      const change = { key, value, revision, operation: "put", time: new Date(), initial: true };
      (onChange as (change: unknown) => void)(change);
      return store.watch(options, onChange);
    }) as never,
  }));
}

test("a member is done by what the leader says, not a replica that lags", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    const group = waitGroup(ground.coordination, "x");
    await group.add("a");
    await group.done("a");
    await bucket.freeze("wait_group.x");
    await group.clear();
    await group.add(["a", "b"]);
    assert.equal(await waitGroup(behind, "x").done("a"), 1);
    assert.deepEqual(await group.pending(), ["b"]);
  });
});

test("a member is added, and a group is cleared, by what the leader says", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    const group = waitGroup(ground.coordination, "x");
    await bucket.freeze("wait_group.x");
    await group.add("a");
    await waitGroup(behind, "x").clear();
    assert.deepEqual(await group.pending(), []);
    await group.add("a");
    await bucket.freeze("wait_group.x");
    await group.clear();
    await waitGroup(behind, "x").add("a");
    assert.deepEqual(await group.pending(), ["a"]);
  });
});

test("a wait is not over because of what a lagging replica shows first", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const group = waitGroup(coordination, "x");
    await group.add("a");
    await group.done("a");
    const old = await space.read("wait_group.x");
    await group.clear();
    await group.add("b");
    showFirst(space, "wait_group.x", old);
    let isOver = false;
    const waiting = group.wait({ timeoutMs: 20_000 }).then(() => isOver = true);
    await group.pending();
    assert.equal(isOver, false);
    assert.equal(await group.done("b"), 0);
    await waiting;
  });
});

test("an outcome is forgotten, and what is forgotten runs again, by what the leader says", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    const { coordination } = ground;
    await bucket.freeze("once.x");
    assert.equal(await onceFor(coordination, { name: "x" }, () => "first"), "first");
    assert.equal(await onceFor(behind, { name: "x" }, never), "first");
    assert.equal(await forgetOnce(behind, "x"), true);
    assert.equal(await onceFor(coordination, { name: "x" }, () => "second"), "second");
    await bucket.freeze("once.x");
    await forgetOnce(coordination, "x");
    assert.equal(await onceFor(behind, { name: "x" }, () => "third"), "third");
  });
});

test("a lock is held by another one by what the leader says", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    const held = await lock(ground.coordination, "x");
    await bucket.freeze("lock.x");
    await held.release();
    const next = await tryLock(behind, "x");
    assert.equal(next?.token, 2);
    await next.release();
    assert.equal((await ground.lockState("x")).owner, null);
  });
});

test("permits are counted by what the leader says", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    const held = await semaphore(ground.coordination, "x", { permits: 1 }).acquire();
    await bucket.freeze("semaphore.x");
    const two = { permits: 2, onDrift: "update" } as const;
    const other = await semaphore(ground.coordination, "x", two).acquire();
    await held.release();
    const next = await semaphore(behind, "x", { permits: 2 }).tryAcquire();
    assert.equal(next?.token, 3);
    await Promise.all([other.release(), next.release()]);
  });
});

test("who waits for a permit is not put off by what a lagging replica shows first", async () => {
  await withCoordination(async ({ coordination, space }) => {
    await (await semaphore(coordination, "x", { permits: 3 }).acquire()).release();
    const old = await space.read("semaphore.x");
    const one = { permits: 1, onDrift: "update" } as const;
    const held = await semaphore(coordination, "x", one).acquire();
    showFirst(space, "semaphore.x", old);
    const waiting = semaphore(coordination, "x", { permits: 1 }).acquire({ timeoutMs: 20_000 });
    await Promise.all([waiting.then((permit) => permit.release()), held.release()]);
  });
});

test("what was taken without an answer is given back by what the leader says", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    await bucket.freeze("lock.x");
    const stop = new AbortController();
    patchStore(ground.spaceOf(behind), (store) => ({
      updateAt: async (...args) => {
        await store.updateAt(...args);
        stop.abort(new Error("enough"));
        throw new JsflowError("outcome_unknown", "the answer was lost");
      },
    }));
    await assert.rejects(lock(behind, "x", { signal: stop.signal }), /enough/);
    await behind.close(); // waits for what goes on behind the call
    assert.equal((await ground.lockState("x")).owner, null);
  });
});

test("who is cancelled at a barrier is withdrawn by what the leader says", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    await bucket.freeze("barrier.x");
    const stop = new AbortController();
    const bounds = { signal: stop.signal };
    const arriving = barrier(behind, "x", { parties: 2 }).arrive("a", bounds);
    await ground.untilWatches(1);
    stop.abort(new Error("enough"));
    await assert.rejects(arriving, /enough/);
    await behind.close();
    const { arrived } = await ground.space.store.getOrThrow("barrier.x") as { arrived: unknown };
    assert.deepEqual(arrived, []);
  });
});

test("a leader that does not know of its successor is an error with a code, and passes", async () => {
  await withLag(async ({ ground, behind, bucket }) => {
    await bucket.freeze("lock.x");
    const space = ground.spaceOf(behind);
    patchStore(space, (store) => ({
      updateAt: async (...args) => {
        await store.updateAt(...args);
        bucket.lag = "leader";
        throw new JsflowError("outcome_unknown", "the answer was lost");
      },
    }));
    let leftMs = 0;
    patchStore(space, (store) => ({
      update: (key, fn, options) => {
        // More time than before: the lease is to be confirmed once more, after a failure.
        if (leftMs > 0 && options!.timeoutMs! > leftMs) bucket.lag = "none";
        leftMs = options!.timeoutMs!;
        return store.update(key, fn, options);
      },
    }));
    const lease = await lock(behind, "x", { leaseMs: 60_000, timeoutMs: 20_000 });
    assert.equal(lease.token, 1);
    bucket.lag = "leader";
    await assert.rejects(lease.release({ timeoutMs: 200 }), hasCode("jetstream_unavailable"));
    bucket.lag = "none";
    await lease.release();
  });
});

test("a bucket that seems to be gone is looked for again", async () => {
  await withLag(async ({ behind, bucket, ground }) => {
    for (const code of ["bucket_not_found", "jetstream_disabled"] as const) {
      let failures = 2;
      bucket.beforeLeader = () => {
        return failures-- > 0 ? Promise.reject(new JsflowError(code, "early")) : Promise.resolve();
      };
      await waitGroup(behind, "x").add(code);
    }
    assert.equal((await waitGroup(ground.coordination, "x").pending()).length, 2);
    bucket.beforeLeader = () => Promise.reject(new JsflowError("bucket_not_found", "gone"));
    await assert.rejects(waitGroup(behind, "x").add("c"), hasCode("bucket_not_found"));
    bucket.beforeLeader = () => Promise.resolve();
  });
});
