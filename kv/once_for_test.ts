import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { OnceState } from "./_once_state.ts";
import { openSpace } from "./_open_space.ts";
import { type Space, spaceOf } from "./_space.ts";
import { forgetOnce, onceFor } from "./once_for.ts";
import {
  coordinationGround,
  hasCode,
  patchStore,
  skippingClock,
} from "./testdata/coordination_ground.ts";
import { withLostAnswers } from "./testdata/lost_answers.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

async function stateOf(space: Space): Promise<OnceState> {
  return await space.store.getOrThrow("once.x") as OnceState;
}

test("of many callers one runs it, and all get its outcome", async () => {
  await withCoordination(async (ground) => {
    const others = await Promise.all(Array.from({ length: 4 }, () => ground.another()));
    let runs = 0;
    const outcomes = await Promise.all(
      others.flatMap((other) =>
        Array.from(
          { length: 5 },
          () =>
            onceFor(other, { name: "x", timeoutMs: 60_000 }, async ({ token, signal }) => {
              runs++;
              assert.equal(signal.aborted, false);
              await ground.space.store.put("elsewhere", token);
              return { token, runs };
            }),
        )
      ),
    );
    assert.equal(runs, 1);
    for (const outcome of outcomes) assert.deepEqual(outcome, { token: 1, runs: 1 });
    await ground.untilWatches(0);
  });
});

test("who comes later gets what is stored, and other names have their own", async () => {
  await withCoordination(async ({ coordination }) => {
    const never = () => assert.fail("it ran before");
    assert.equal(await onceFor(coordination, { name: "x" }, () => "first"), "first");
    assert.equal(await onceFor(coordination, { name: "x" }, never), "first");
    assert.equal(await onceFor(coordination, { name: "y" }, () => 2), 2);
    assert.equal(await onceFor(coordination, { name: "none" }, () => undefined), undefined);
    assert.equal(await onceFor(coordination, { name: "none" }, never), undefined);
    assert.equal(await onceFor(coordination, { name: "null" }, () => null), null);
    assert.equal(await onceFor(coordination, { name: "null" }, never), null);
  });
});

test("a failure is its caller's, and the next one runs it, with a larger token", async () => {
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const failing = onceFor(ground.coordination, { name: "x" }, async () => {
      await gate;
      throw new Error("out of paper");
    });
    await waitUntil(() => ground.space.store.get("once.x"));
    const waiting = onceFor(other, { name: "x", timeoutMs: 30_000 }, ({ token }) => token);
    await ground.untilWatches(1);
    open();
    await assert.rejects(failing, /^Error: out of paper$/);
    assert.equal(await waiting, 2);
  });
});

test("a failure that is stored is everybody's", async () => {
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const options = { name: "x", storeFailures: true };
    const fail = () => {
      throw new RangeError(`too much ${"!".repeat(2_000)}`);
    };
    await assert.rejects(onceFor(ground.coordination, options, fail), RangeError);
    const later = onceFor(other, { name: "x" }, () => assert.fail("it ran before"));
    await assert.rejects(later, (error) => {
      return hasCode("remote_error")(error) &&
        /what came of "x": its run failed with RangeError: too much !{991};/.test(`${error}`);
    });
    const { outcome } = await stateOf(ground.space);
    assert.equal(outcome?.kind, "failure");
  });
});

test("a crashed runner is replaced after its lease", async () => {
  await withCoordination(async ({ coordination, space }) => {
    await space.store.put("once.x", { owner: "dead", epoch: 7, leaseMs: 500, beat: 0 });
    const since = space.clock.monotonic();
    assert.equal(await onceFor(coordination, { name: "x" }, ({ token }) => token), 8);
    assert.ok(space.clock.monotonic() - since >= 550);
  });
});

test("a run gives signs of life, and stores nothing once it was replaced", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const usurper = { owner: "b", epoch: 2, leaseMs: 60_000, beat: 0 };
    const running = onceFor(coordination, { name: "x", leaseMs: 600 }, async ({ signal }) => {
      await waitUntil(async () => (await stateOf(space)).beat >= 3);
      assert.equal(signal.aborted, false);
      await ground.plant("once.x", usurper);
      await waitUntil(() => signal.aborted);
      assert.ok(hasCode("lease_lost")(signal.reason));
      return "mine";
    });
    await assert.rejects(running, hasCode("lease_lost"));
    assert.deepEqual(await stateOf(space), usurper);
  });
});

test("who was replaced gets the outcome that counts", async () => {
  await withCoordination(async (ground) => {
    const outcome = { kind: "value", value: "theirs" };
    const running = onceFor(ground.coordination, { name: "x" }, async () => {
      await ground.plant("once.x", { owner: null, epoch: 2, leaseMs: 0, beat: 0, outcome });
      return "mine";
    });
    assert.equal(await running, "theirs");
    assert.deepEqual((await stateOf(ground.space)).outcome, outcome);
  });
});

test("an outcome counts that is late by the clock, while nobody else has taken it", async () => {
  const clock = skippingClock();
  await withCoordination(async ({ coordination, space }) => {
    const running = onceFor(coordination, { name: "x", leaseMs: 60_000 }, (run) => {
      clock.skip(70_000);
      assert.equal(run.signal.aborted, true);
      return "late";
    });
    assert.equal(await running, "late");
    assert.deepEqual((await stateOf(space)).outcome, { kind: "value", value: "late" });
  }, { clock });
});

test("an outcome whose answer is lost is committed once", async () => {
  await withCoordination(async (ground) => {
    await withLostAnswers(ground, async ({ behind, loseNext, heal }) => {
      const running = onceFor(behind, { name: "x" }, ({ token }) => {
        loseNext();
        return token;
      });
      const options = { name: "x", timeoutMs: 30_000 };
      await waitUntil(() => ground.space.store.get("once.x"));
      const other = onceFor(ground.coordination, options, () => assert.fail("it ran"));
      assert.equal(await other, 1);
      heal();
      assert.equal(await running, 1);
    });
  });
});

test("what can't be stored is an error, and the next one need not wait", async () => {
  await withCoordination(async ({ coordination }) => {
    const options = { name: "x", leaseMs: 600_000, timeoutMs: 20_000 };
    await assert.rejects(onceFor(coordination, options, () => 1n), hasCode("encode_failed"));
    assert.equal(await onceFor(coordination, options, ({ token }) => token), 2);
  });
});

test("waits end by their signal, their time, and with the coordination", async () => {
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const running = onceFor(ground.coordination, { name: "x" }, () => gate.then(() => "done"));
    await waitUntil(() => ground.space.store.get("once.x"));
    const stop = new AbortController();
    const never = () => assert.fail("it ran");
    const cancelled = onceFor(other, { name: "x", signal: stop.signal }, never);
    await ground.untilWatches(1);
    stop.abort(new Error("enough"));
    await assert.rejects(cancelled, /enough/);
    await assert.rejects(onceFor(other, { name: "x", timeoutMs: 50 }, never), hasCode("timeout"));
    const left = assert.rejects(onceFor(other, { name: "x" }, never), hasCode("connection_closed"));
    await ground.untilWatches(1);
    await other.close();
    await left;
    open();
    assert.equal(await running, "done");
  });
});

test("reading and waiting share the time of a call", async () => {
  const clock = skippingClock();
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const running = onceFor(other, { name: "x" }, () => gate);
    await waitUntil(() => ground.space.store.get("once.x"));
    patchStore(ground.space, (store) => ({
      entry: async (...args) => {
        const entry = await store.entry(...args);
        clock.skip(60_000);
        return entry;
      },
    }));
    const late = onceFor(ground.coordination, { name: "x", timeoutMs: 60_000 }, () => "ran");
    late.catch(() => {}).finally(open);
    void ground.untilWatches(1).then(open, () => {}); // if it waits all the same, it gets something
    await assert.rejects(late, /that takes longer than 60000 ms/);
    await running;
  }, { clock });
});

test("a coordination that closes ends the run, and the next one runs at once", async () => {
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const running = onceFor(other, { name: "x", leaseMs: 600_000 }, async ({ signal }) => {
      await waitUntil(() => signal.aborted);
      await waitUntil(async () => (await stateOf(ground.space)).owner === null);
      return "too late";
    });
    await waitUntil(() => ground.space.store.get("once.x"));
    const ended = assert.rejects(running, hasCode("lease_lost"));
    await other.close();
    await ended;
    const options = { name: "x", timeoutMs: 20_000 };
    assert.equal(await onceFor(ground.coordination, options, ({ token }) => token), 2);
  });
});

test("what is forgotten is run again, with a larger token; a run is left alone", async () => {
  await withCoordination(async ({ coordination, space }) => {
    assert.equal(await forgetOnce(coordination, "x"), false);
    const first = await onceFor(coordination, { name: "x" }, async ({ token }) => {
      assert.equal(await forgetOnce(coordination, "x"), false);
      return token;
    });
    assert.equal(await forgetOnce(coordination, "x"), true);
    assert.equal(await space.store.get("once.x"), undefined);
    const second = await onceFor(coordination, { name: "x" }, ({ token }) => token);
    assert.ok(second > first, `${second}`);
    await assert.rejects(forgetOnce(coordination, ""), TypeError);
    await assert.rejects(forgetOnce(coordination, "x", { timeoutMs: 0 }), RangeError);
  });
});

test("misuse and foreign states are refused", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const misuse: [unknown, typeof TypeError | typeof RangeError][] = [
      [undefined, TypeError],
      [{}, TypeError],
      [{ name: "" }, TypeError],
      [{ name: "x", leaseMs: 99 }, RangeError],
      [{ name: "x", timeoutMs: 0 }, RangeError],
      [{ name: "x", storeFailures: 1 }, TypeError],
      [{ name: "x", ttlMs: 1 }, TypeError],
    ];
    for (const [options, type] of misuse) {
      await assert.rejects(onceFor(coordination, options as never, () => 1), type);
    }
    await assert.rejects(onceFor(coordination, { name: "x" }, 1 as never), TypeError);
    await assert.rejects(onceFor({} as never, { name: "x" }, () => 1), TypeError);
    const lock = { owner: null, epoch: 1, leaseMs: 0, beat: 0 };
    for (const state of [1, { ...lock, outcome: { kind: "failure" } }, { ...lock, outcome: 3 }]) {
      await ground.plant("once.x", state);
      await assert.rejects(
        onceFor(coordination, { name: "x" }, () => 1),
        hasCode("invalid_payload"),
      );
    }
  });
});
