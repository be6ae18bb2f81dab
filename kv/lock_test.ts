import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { lock, tryLock, withLock } from "./lock.ts";
import { coordinationGround, hasCode } from "./testdata/coordination_ground.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

test("a lock is held by one at a time, with a larger token each time", async () => {
  await withCoordination(async ({ coordination }) => {
    const first = await lock(coordination, "x");
    assert.equal(first.name, "x");
    assert.equal(first.token, 1);
    assert.equal(first.isHeld, true);
    assert.equal(await tryLock(coordination, "x"), undefined);
    const waiting = lock(coordination, "x", { timeoutMs: 10_000 });
    await first.release();
    const second = await waiting;
    assert.equal(second.token, 2);
    assert.equal(first.isHeld, false);
    assert.equal(first.signal.aborted, false, "a release is no loss");
    await first.release();
    assert.equal(second.isHeld, true, "releasing twice does nothing");
    await second.release();
    const third = await tryLock(coordination, "x");
    assert.equal(third?.token, 3);
    await third.release();
  });
});

test("another process gets it as soon as it is released, long before the lease is over", async () => {
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const held = await lock(ground.coordination, "x", { leaseMs: 600_000 });
    const waiting = lock(other, "x", { timeoutMs: 10_000 });
    await ground.untilWatches(1);
    await held.release();
    const next = await waiting;
    assert.equal(next.token, 2);
    assert.equal((await ground.lockState("x")).epoch, 2);
    await next.release();
    await ground.untilWatches(0);
  });
});

test("callers of one process wait in order, and cost one watch", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const held = await lock(coordination, "x");
    const order: number[] = [];
    const waiting = Array.from({ length: 20 }, async (_, caller) => {
      const next = await lock(coordination, "x");
      order.push(caller);
      assert.equal(await ground.watches() <= 1, true);
      await next.release();
    });
    await ground.untilWatches(1);
    await held.release();
    await Promise.all(waiting);
    assert.deepEqual(order, Array.from({ length: 20 }, (_, caller) => caller));
  });
});

test("many processes take turns", async () => {
  await withCoordination(async (ground) => {
    const others = await Promise.all(Array.from({ length: 5 }, () => ground.another()));
    const tokens: number[] = [];
    let inside = 0;
    await Promise.all(others.map(async (other) => {
      for (let turn = 0; turn < 8; turn++) {
        await withLock(other, { name: "x" }, async ({ token }) => {
          assert.equal(++inside, 1);
          tokens.push(token);
          await ground.space.store.put("elsewhere", token);
          inside--;
        });
      }
    }));
    assert.deepEqual(tokens, Array.from({ length: 40 }, (_, index) => index + 1));
  });
});

test("a dead holder is replaced after its lease and a margin, and not before", async () => {
  await withCoordination(async ({ coordination, space }) => {
    await space.store.put("lock.x", { owner: "dead", epoch: 41, leaseMs: 500, beat: 3 });
    const since = space.clock.monotonic();
    const held = await lock(coordination, "x", { timeoutMs: 20_000 });
    assert.ok(space.clock.monotonic() - since >= 550);
    assert.equal(held.token, 42);
    await held.release();
  });
});

test("attempts one after the other replace a dead holder too", async () => {
  await withCoordination(async ({ coordination, space }) => {
    await space.store.put("lock.x", { owner: "dead", epoch: 7, leaseMs: 500, beat: 0 });
    const since = space.clock.monotonic();
    const held = await waitUntil(() => tryLock(coordination, "x"));
    assert.ok(space.clock.monotonic() - since >= 550);
    assert.equal(held.token, 8);
    await held.release();
  });
});

test("waits that are shorter than the lease replace a dead holder too", async () => {
  await withCoordination(async ({ coordination, space }) => {
    await space.store.put("lock.x", { owner: "dead", epoch: 7, leaseMs: 2_500, beat: 0 });
    const attempt = () => lock(coordination, "x", { timeoutMs: 1_000 }).catch(() => undefined);
    const held = await waitUntil(attempt, { timeoutMs: 30_000 });
    assert.equal(held.token, 8);
    await held.release();
  });
});

test("a holder that gives signs of life is not replaced", async () => {
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const held = await lock(ground.coordination, "x", { leaseMs: 1_200 });
    const stop = new AbortController();
    const waiting = lock(other, "x", { signal: stop.signal });
    await waitUntil(async () => (await ground.lockState("x")).beat >= 5);
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    assert.equal(held.isHeld, true);
    assert.equal((await ground.lockState("x")).epoch, 1);
    await held.release();
  });
});

test("tokens go on rising after somebody deleted the key", async () => {
  await withCoordination(async ({ coordination, space }) => {
    for (let turn = 0; turn < 3; turn++) await (await lock(coordination, "x")).release();
    await space.store.delete("lock.x");
    const held = await lock(coordination, "x");
    assert.ok(held.token > 3, `${held.token}`);
    await held.release();
  });
});

test("any text is a name of its own", async () => {
  await withCoordination(async ({ coordination }) => {
    const names = ["a b", "a.b", "a..b", "ü/>*", "__proto__", "A", "a"];
    const held = await Promise.all(names.map((name) => lock(coordination, name)));
    assert.deepEqual(held.map(({ token }) => token), names.map(() => 1));
    await Promise.all(held.map((one) => one.release()));
  });
});

test("withLock releases whatever happens, and passes on what comes of the function", async () => {
  await withCoordination(async ({ coordination }) => {
    const result = await withLock(coordination, { name: "x" }, ({ token, isHeld }) => {
      assert.equal(isHeld, true);
      return token * 10;
    });
    assert.equal(result, 10);
    const failing = withLock(coordination, { name: "x" }, () => {
      throw new Error("the work failed");
    });
    await assert.rejects(failing, /the work failed/);
    assert.equal((await tryLock(coordination, "x"))?.token, 3);
  });
});

test("what is no lock is refused", async () => {
  await withCoordination(async ({ coordination, space }) => {
    await space.store.put("lock.x", { something: "else" });
    await assert.rejects(lock(coordination, "x"), hasCode("invalid_payload"));
    await assert.rejects(tryLock(coordination, "x"), hasCode("invalid_payload"));
  });
});

test("misuse is refused before anything is asked", async () => {
  await withCoordination(async ({ coordination }) => {
    const misuse: [unknown, unknown, typeof TypeError | typeof RangeError][] = [
      ["", {}, TypeError],
      [1, {}, TypeError],
      ["x".repeat(201), {}, RangeError],
      ["x", { leaseMs: 99 }, RangeError],
      ["x", { leaseMs: NaN }, RangeError],
      ["x", { leaseMs: 2 ** 31 }, RangeError],
      ["x", { leaseMs: "1000" }, TypeError],
      ["x", { timeoutMs: 0 }, RangeError],
      ["x", { signal: {} }, TypeError],
      ["x", { lease: 1_000 }, TypeError],
      ["x", [], TypeError],
    ];
    for (const [name, options, type] of misuse) {
      await assert.rejects(lock(coordination, name as string, options as object), type);
      await assert.rejects(tryLock(coordination, name as string, options as object), type);
    }
    await assert.rejects(lock({ ...coordination }, "x"), TypeError);
    await assert.rejects(withLock(coordination, { name: "x" }, 1 as never), TypeError);
    await assert.rejects(withLock(coordination, {} as never, () => {}), TypeError);
    const held = await lock(coordination, "x");
    await assert.rejects(held.release({ timeoutMs: -1 }), RangeError);
    await held.release();
    await assert.rejects(lock(coordination, "x", { signal: AbortSignal.abort() }), DOMException);
  });
});
