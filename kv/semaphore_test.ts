import assert from "node:assert/strict";
import { test } from "node:test";
import { JsflowError } from "../client/errors.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import type { SemaphoreState } from "./_semaphore_state.ts";
import { semaphore } from "./semaphore.ts";
import {
  type CoordinationGround,
  coordinationGround,
  hasCode,
  patchStore,
  skippingClock,
} from "./testdata/coordination_ground.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

const stateOf = async ({ space }: CoordinationGround) =>
  await space.store.getOrThrow("semaphore.x") as SemaphoreState;
const dead = (owner: string, token: number, leaseMs: number) => ({
  owner,
  token,
  leaseMs,
  beat: 0,
});

test("as many hold a permit as there are permits, each with a token of its own", async () => {
  await withCoordination(async (ground) => {
    const gate = semaphore(ground.coordination, "x", { permits: 2 });
    assert.equal(gate.name, "x");
    const [first, second] = [await gate.acquire(), await gate.acquire()];
    assert.deepEqual([first.token, second.token], [1, 2]);
    assert.equal(await gate.tryAcquire(), undefined);
    const waiting = gate.acquire({ timeoutMs: 10_000 });
    await ground.untilWatches(1);
    await first.release();
    await first.release();
    const third = await waiting;
    assert.equal(third.token, 3);
    assert.equal(await gate.tryAcquire(), undefined, "releasing twice admits nobody");
    assert.equal(second.isHeld, true);
    await Promise.all([second.release(), third.release()]);
    assert.deepEqual((await stateOf(ground)).holders, []);
    await ground.untilWatches(0);
  });
});

test("many processes share the permits, and never exceed them", async () => {
  await withCoordination(async (ground) => {
    const others = await Promise.all(Array.from({ length: 4 }, () => ground.another()));
    let inside = 0;
    let most = 0;
    const tokens = new Set<number>();
    await Promise.all(others.flatMap((other) => {
      const gate = semaphore(other, "x", { permits: 3 });
      return Array.from({ length: 6 }, async () => {
        const permit = await gate.acquire({ timeoutMs: 60_000 });
        most = Math.max(most, ++inside);
        tokens.add(permit.token);
        await ground.space.store.put("elsewhere", permit.token);
        inside--;
        await permit.release();
      });
    }));
    assert.ok(most <= 3, `${most} at a time`);
    assert.equal(tokens.size, 24);
    assert.equal(Math.max(...tokens), 24);
  });
});

test("holders renew each its own permit, and are not replaced", async () => {
  await withCoordination(async (ground) => {
    const gate = semaphore(ground.coordination, "x", { permits: 3, leaseMs: 1_500 });
    const held = [await gate.acquire(), await gate.acquire(), await gate.acquire()];
    const stop = new AbortController();
    const other = semaphore(await ground.another(), "x", { permits: 3 });
    const waiting = other.acquire({ signal: stop.signal });
    await waitUntil(async () => (await stateOf(ground)).holders.every(({ beat }) => beat >= 4));
    assert.deepEqual(held.map(({ isHeld }) => isHeld), [true, true, true]);
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    assert.equal((await stateOf(ground)).epoch, 3);
    await Promise.all(held.map((permit) => permit.release()));
  });
});

test("a dead holder is replaced after its lease, while others renew theirs", async () => {
  await withCoordination(async (ground) => {
    const { space } = ground;
    await ground.plant("semaphore.x", { permits: 2, epoch: 8, holders: [dead("a", 8, 700)] });
    const gate = semaphore(ground.coordination, "x", { permits: 2, leaseMs: 900 });
    const alive = await gate.acquire();
    const since = space.clock.monotonic();
    const next = await gate.acquire({ timeoutMs: 20_000 });
    assert.ok(space.clock.monotonic() - since >= 700);
    assert.deepEqual([alive.token, next.token], [9, 10]);
    assert.equal(alive.isHeld, true);
    assert.deepEqual((await stateOf(ground)).holders.map(({ token }) => token), [9, 10]);
    await Promise.all([alive.release(), next.release()]);
  });
});

test("who was replaced learns of it, and releases nobody else's permit", async () => {
  await withCoordination(async (ground) => {
    const gate = semaphore(ground.coordination, "x", { permits: 1, leaseMs: 1_500 });
    const held = await gate.acquire();
    const usurped = { permits: 1, epoch: 2, holders: [dead("b", 2, 60_000)] };
    await ground.plant("semaphore.x", usurped);
    await waitUntil(() => held.signal.aborted);
    await assert.rejects(held.release(), hasCode("lease_lost"));
    assert.deepEqual(await stateOf(ground), usurped);
  });
});

test("after a freeze one look says that the permit is lost", async () => {
  const clock = skippingClock();
  await withCoordination(async ({ coordination }) => {
    const permit = await semaphore(coordination, "x", { permits: 1 }).acquire();
    clock.skip(14_000);
    assert.equal(permit.isHeld, false);
    assert.equal(permit.signal.aborted, true);
  }, { clock });
});

test("another number of permits is an error, a change, or ignored, as the caller says", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const make = (permits: number, onDrift?: "fail" | "update" | "ignore") =>
      semaphore(coordination, "x", { permits, onDrift });
    const first = await make(1).acquire();
    await assert.rejects(make(2).acquire({ timeoutMs: 10_000 }), (error) => {
      return hasCode("config_drift")(error) && /has 1 permits, expected 2/.test(`${error}`);
    });
    await assert.rejects(make(2).tryAcquire(), hasCode("config_drift"));
    assert.equal(await make(2, "ignore").tryAcquire(), undefined);
    const second = await make(2, "update").tryAcquire();
    assert.equal(second?.token, 2);
    await assert.rejects(make(1).tryAcquire(), hasCode("config_drift"));
    await Promise.all([first.release(), second.release()]);
  });
});

test("fewer permits take none away, and hold for all as soon as somebody asks", async () => {
  await withCoordination(async (ground) => {
    const make = (permits: number, onDrift?: "ignore" | "update") =>
      semaphore(ground.coordination, "x", { permits, onDrift });
    const held = [await make(3).acquire(), await make(3).acquire()];
    assert.equal(await make(1, "update").tryAcquire(), undefined);
    assert.equal((await stateOf(ground)).permits, 1);
    assert.deepEqual(held.map(({ isHeld }) => isHeld), [true, true]);
    await held[0]!.release();
    assert.equal(await make(9, "ignore").tryAcquire(), undefined);
    await held[1]!.release();
    await (await make(9, "ignore").acquire()).release();
  });
});

test("dead holders go, although there are too many others", async () => {
  await withCoordination(async (ground) => {
    const holders = [dead("a", 1, 100), dead("b", 2, 100), dead("c", 3, 600_000)];
    await ground.plant("semaphore.x", { permits: 1, epoch: 3, holders });
    const waiting = semaphore(ground.coordination, "x", { permits: 1 }).acquire({
      timeoutMs: 1_000,
    });
    await assert.rejects(waiting, hasCode("timeout"));
    assert.deepEqual((await stateOf(ground)).holders.map(({ owner }) => owner), ["c"]);
  });
});

test("who gives up waiting leaves nothing behind", async () => {
  await withCoordination(async (ground) => {
    const gate = semaphore(ground.coordination, "x", { permits: 1, leaseMs: 600_000 });
    const held = await gate.acquire();
    const stop = new AbortController();
    const waiting = gate.acquire({ signal: stop.signal });
    await ground.untilWatches(1);
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await assert.rejects(gate.acquire({ timeoutMs: 20 }), hasCode("timeout"));
    await ground.untilWatches(0);
    assert.equal((await stateOf(ground)).holders.length, 1);
    await held.release();
    assert.equal((await gate.acquire()).token, 2);
  });
});

test("a permit that was taken without an answer is recognised, or given back", async () => {
  await withCoordination(async (ground) => {
    const stop = new AbortController();
    patchStore(ground.space, (store) => ({
      updateAt: async (...args) => {
        await store.updateAt(...args);
        throw new JsflowError("timeout", "the answer was lost");
      },
    }));
    const gate = semaphore(ground.coordination, "x", { permits: 2 });
    const held = await gate.acquire({ timeoutMs: 10_000 });
    assert.equal(held.token, 1);
    patchStore(ground.space, (store) => ({
      updateAt: async (...args) => {
        stop.abort(new Error("enough"));
        return await store.updateAt(...args);
      },
    }));
    await assert.rejects(gate.acquire({ signal: stop.signal }), /enough/);
    await waitUntil(async () => {
      const { epoch, holders } = await stateOf(ground);
      return epoch === 2 && holders.length === 1;
    });
  });
});

test("misuse is refused before anything is asked", async () => {
  await withCoordination(async ({ coordination }) => {
    const misuse: [unknown, unknown, typeof TypeError | typeof RangeError][] = [
      ["", { permits: 1 }, TypeError],
      ["x", undefined, TypeError],
      ["x", {}, TypeError],
      ["x", { permits: 0 }, RangeError],
      ["x", { permits: 1.5 }, RangeError],
      ["x", { permits: 1_001 }, RangeError],
      ["x", { permits: "1" }, TypeError],
      ["x", { permits: 1, leaseMs: 50 }, RangeError],
      ["x", { permits: 1, onDrift: "x" }, TypeError],
      ["x", { permits: 1, weight: 1 }, TypeError],
    ];
    for (const [name, options, type] of misuse) {
      assert.throws(() => semaphore(coordination, name as string, options as never), type);
    }
    assert.throws(() => semaphore({} as never, "x", { permits: 1 }), TypeError);
    const gate = semaphore(coordination, "x", { permits: 1 });
    await assert.rejects(gate.acquire({ timeoutMs: NaN }), RangeError);
    await assert.rejects(gate.tryAcquire({ permits: 1 } as object), TypeError);
  });
});
