import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, systemClock } from "../client/clock.ts";
import { JsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { lock } from "./lock.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { onceFor } from "./once_for.ts";
import { semaphore } from "./semaphore.ts";
import { coordinationGround, hasCode, patchStore } from "./testdata/coordination_ground.ts";
import { loseOutcome } from "./testdata/lost_answers.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

test("what was given back without an answer is given back", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const gate = semaphore(coordination, "x", { permits: 1 });
    const permit = await gate.acquire();
    loseOutcome(space, true);
    await permit.release();
    const held = await lock(coordination, "x");
    const other = await ground.another();
    loseOutcome(space, true, () => lock(other, "x"));
    await held.release();
    assert.equal((await ground.lockState("x")).epoch, 2, "somebody else has it already");
  });
});

test("what was given back by a call that its caller left is given back", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const permit = await semaphore(coordination, "x", { permits: 1 }).acquire();
    const stop = new AbortController();
    patchStore(space, (store) => ({
      update: async (key, fn, options) => {
        const updated = await store.update(key, fn, options);
        if (stop.signal.aborted) return updated;
        stop.abort(new Error("enough"));
        throw new Error("enough");
      },
    }));
    await assert.rejects(permit.release({ signal: stop.signal }), /enough/);
    await permit.release();
    await permit.release();
    assert.equal(permit.signal.aborted, false);
  });
});

test("what was taken before it could be given back is lost", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const permit = await semaphore(coordination, "x", { permits: 1 }).acquire();
    patchStore(space, (store) => {
      let failures = 1;
      return {
        update: async (key, fn, options) => {
          if (failures-- <= 0) return await store.update(key, fn, options);
          const thief = { owner: "thief", token: 2, leaseMs: 60_000, beat: 0 };
          await store.put(key, { permits: 1, epoch: 2, holders: [thief] });
          throw new JsflowError("not_connected", "nothing was sent");
        },
      };
    });
    await assert.rejects(permit.release(), hasCode("lease_lost"));
  });
});

test("an outcome does not count as stored because it may be", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const outcome = { kind: "value", value: "theirs" };
    const theirs = { owner: null, epoch: 2, leaseMs: 0, beat: 0, outcome };
    const running = onceFor(coordination, { name: "x" }, () => {
      loseOutcome(space, false, () => ground.plant("once.x", theirs));
      return "mine";
    });
    assert.equal(await running, "theirs");
  });
});

test("calls that release at the same time each keep their own bounds", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const held = await lock(coordination, "x", { leaseMs: 60_000 });
    let updates = 0;
    patchStore(space, (store) => ({
      update: (key, fn, options) => {
        if (updates++ > 0) return store.update(key, fn, options);
        const { signal } = options!;
        return new Promise((_, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
      },
    }));
    const stop = new AbortController();
    const first = held.release({ signal: stop.signal, timeoutMs: 60_000 });
    const patient = [held.release({ timeoutMs: 60_000 }), held.release({ timeoutMs: 60_000 })];
    const left = new AbortController();
    const leaving = held.release({ signal: left.signal });
    const ends: unknown[] = [];
    for (const call of [held.release({ timeoutMs: 50 }), leaving]) {
      call.catch((error: unknown) => ends.push(error));
    }
    left.abort(new Error("not mine"));
    try {
      await waitUntil(() => ends.length === 2, { what: "two calls have ended" });
    } finally {
      stop.abort(new Error("enough"));
    }
    assert.match(`${ends[0]}`, /not mine/);
    assert.ok(hasCode("timeout")(ends[1]));
    await assert.rejects(first, /enough/);
    await Promise.all(patient);
    assert.equal(updates, 2);
    await held.release();
    assert.equal((await ground.lockState("x")).owner, null);
  });
});

test("what a server says for a moment after its start costs no lease", async () => {
  // Signs of life come a hundred times as often as they need to: no lease runs out here.
  const clock: Clock = {
    ...systemClock,
    sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
  };
  const codes = ["bucket_not_found", "jetstream_disabled", "stream_not_found"] as const;
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const held = await lock(coordination, "x", { leaseMs: 30_000 });
    let failures: JsflowErrorCode[] = [];
    patchStore(space, (store) => ({
      update: (key, fn, options) => {
        const code = failures.shift();
        if (code === undefined) return store.update(key, fn, options);
        return Promise.reject(new JsflowError(code, "it has just started"));
      },
    }));
    failures = [...codes];
    await waitUntil(() => held.signal.aborted || failures.length === 0);
    const { beat } = await ground.lockState("x");
    await waitUntil(async () => held.signal.aborted || (await ground.lockState("x")).beat > beat);
    assert.equal(held.isHeld, true);
    failures = [...codes];
    await held.release();
    assert.equal((await ground.lockState("x")).owner, null);
    const other = await lock(coordination, "y", { leaseMs: 30_000 });
    failures = Array.from({ length: 50 }, () => "bucket_not_found");
    await assert.rejects(other.release(), hasCode("bucket_not_found"), "in the end it is gone");
    failures = [];
  }, { clock });
});
