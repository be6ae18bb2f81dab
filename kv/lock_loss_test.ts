import assert from "node:assert/strict";
import { test } from "node:test";
import { untilLost } from "../client/testdata/server_ground.ts";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { lock, withLock } from "./lock.ts";
import {
  coordinationGround,
  hasCode,
  patchStore,
  skippingClock,
} from "./testdata/coordination_ground.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

/** Resolves when the signal aborts. */
const aborted = (signal: AbortSignal) =>
  waitUntil(() => signal.aborted, { what: "the signal aborts" });

test("who was replaced learns of it by the signal, and releases nothing", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const held = await lock(coordination, "x", { leaseMs: 1_500 });
    const thief = { owner: "thief", epoch: 2, leaseMs: 60_000, beat: 0 };
    await space.store.put("lock.x", thief);
    await aborted(held.signal);
    assert.ok(hasCode("lease_lost")(held.signal.reason));
    assert.match(held.signal.reason.message, /lock "x" \(token 1\): somebody else has taken it/);
    assert.equal(held.isHeld, false);
    await assert.rejects(held.release(), hasCode("lease_lost"));
    await assert.rejects(held.release(), hasCode("lease_lost"), "each time");
    assert.deepEqual(await space.store.get("lock.x"), thief);
  });
});

test("releasing what was taken says so, although nobody knew yet", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const held = await lock(coordination, "x", { leaseMs: 60_000 });
    const thief = { owner: "thief", epoch: 2, leaseMs: 60_000, beat: 0 };
    await space.store.put("lock.x", thief);
    assert.equal(held.signal.aborted, false);
    await assert.rejects(held.release(), hasCode("lease_lost"));
    assert.equal(held.signal.aborted, true);
    assert.deepEqual(await space.store.get("lock.x"), thief);
  });
});

test("a holder that is cut off knows before another one gets the lock", async () => {
  await withCoordination(async (ground) => {
    const proxy = await FaultProxy.start({ target: { port: ground.nats.server.port } });
    try {
      const cutOff = await ground.another(proxy.url);
      const held = await lock(cutOff, "x", { leaseMs: 1_000 });
      const waiting = lock(ground.coordination, "x", { timeoutMs: 20_000 });
      await ground.untilWatches(1);
      proxy.cut();
      const next = await waiting;
      assert.equal(held.isHeld, false);
      assert.equal(held.signal.aborted, true);
      assert.match(held.signal.reason.message, /no sign of life was confirmed in the last \d+ ms/);
      assert.equal(next.token, 2);
      proxy.heal();
      await assert.rejects(held.release(), hasCode("lease_lost"));
      assert.equal(next.isHeld, true);
      await next.release();
    } finally {
      await proxy.close();
    }
  });
});

test("a short outage costs no lock", async () => {
  await withCoordination(async (ground) => {
    const proxy = await FaultProxy.start({ target: { port: ground.nats.server.port } });
    try {
      const cutOff = await ground.another(proxy.url);
      const held = await lock(cutOff, "x", { leaseMs: 3_000 });
      proxy.cut();
      const { beat } = await ground.lockState("x");
      await untilLost(ground.clients[0]!);
      proxy.heal();
      await waitUntil(async () => (await ground.lockState("x")).beat > beat + 1);
      assert.equal(held.isHeld, true);
      await held.release();
    } finally {
      await proxy.close();
    }
  });
});

test("after a freeze one look says that the lock is lost, before any timer has run", async () => {
  const clock = skippingClock();
  await withCoordination(async ({ coordination }) => {
    const [first, second, third] = await Promise.all(
      ["a", "b", "c"].map((name) => lock(coordination, name, { leaseMs: 60_000 })),
    );
    clock.skip(53_000);
    assert.equal(first!.isHeld, true, "less than the lease without its margin");
    clock.skip(2_000);
    assert.equal(first!.isHeld, false);
    assert.equal(second!.signal.aborted, true);
    await assert.rejects(third!.release(), hasCode("lease_lost"));
    assert.equal(third!.signal.aborted, true);
  }, { clock });
});

test("a sign of life counts from when it was sent, however late its answer comes", async () => {
  const clock = skippingClock();
  await withCoordination(async ({ coordination, space }) => {
    const held = await lock(coordination, "x", { leaseMs: 3_000 });
    patchStore(space, (store) => ({
      update: async (...args) => {
        const updated = await store.update(...args);
        clock.skip(2_750);
        return updated;
      },
    }));
    await aborted(held.signal);
    assert.match(held.signal.reason.message, /no sign of life was confirmed/);
  }, { clock });
});

test("the signal aborts in time, whatever renewing waits for", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const since = space.clock.monotonic();
    const held = await lock(coordination, "x", { leaseMs: 1_500 });
    const stuck = Promise.withResolvers<never>();
    patchStore(space, () => ({ update: () => stuck.promise }));
    try {
      await aborted(held.signal);
      assert.ok(space.clock.monotonic() - since >= 1_350);
    } finally {
      stuck.reject(new Error("the test is over"));
    }
  });
});

test("who gives back what it lost by the clock alone lets others in at once", async () => {
  const clock = skippingClock();
  await withCoordination(async (ground) => {
    const held = await lock(ground.coordination, "x", { leaseMs: 600_000 });
    clock.skip(590_000);
    const other = await ground.another();
    const waiting = lock(other, "x", { timeoutMs: 10_000 });
    await assert.rejects(held.release(), hasCode("lease_lost"));
    const next = await waiting;
    assert.equal(next.token, 2);
    await next.release();
  }, { clock });
});

test("a lock whose key is gone is lost", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const held = await lock(coordination, "x", { leaseMs: 900 });
    await space.store.delete("lock.x");
    await aborted(held.signal);
    assert.ok(hasCode("lease_lost")(held.signal.reason));
  });
});

test("a lock is lost with its bucket, once its time is over", async () => {
  await withCoordination(async ({ coordination, client }) => {
    const held = await lock(coordination, "x", { leaseMs: 3_000 });
    await (await client.manager()).streams.delete(`KV_${coordination.bucket}`);
    await aborted(held.signal);
    assert.match(held.signal.reason.message, /no sign of life was confirmed/);
    assert.ok(hasCode("bucket_not_found")(held.signal.reason.cause));
    await assert.rejects(lock(coordination, "y"), hasCode("bucket_not_found"));
  });
});

test("withLock says that the lock was lost while its function ran", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const steal = () =>
      space.store.put("lock.x", { owner: "thief", epoch: 9, leaseMs: 100, beat: 0 });
    await assert.rejects(withLock(coordination, { name: "x" }, steal), hasCode("lease_lost"));
    const failing = withLock(coordination, { name: "x" }, async () => {
      await space.store.put("lock.x", { owner: "thief", epoch: 99, leaseMs: 100, beat: 0 });
      throw new Error("the work failed");
    });
    await assert.rejects(failing, /the work failed/);
  });
});

test("a release that could not be confirmed can be repeated", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const held = await lock(coordination, "x");
    let failures = 2;
    patchStore(space, (store) => ({
      update: (key, fn, options) =>
        failures-- > 0
          ? Promise.reject(new DOMException("away", "AbortError"))
          : store.update(key, fn, options),
    }));
    await assert.rejects(held.release(), /away/);
    assert.equal(held.isHeld, false);
    await assert.rejects(held.release({ timeoutMs: 1_000 }), /away/);
    await held.release();
    assert.equal((await ground.lockState("x")).owner, null);
  });
});
