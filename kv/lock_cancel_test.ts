import assert from "node:assert/strict";
import { test } from "node:test";
import { JsflowError } from "../client/errors.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { lock, tryLock } from "./lock.ts";
import {
  coordinationGround,
  hasCode,
  patchStore,
  skippingClock,
} from "./testdata/coordination_ground.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

test("who gives up waiting leaves nothing behind", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const held = await lock(coordination, "x", { leaseMs: 60_000 });
    const stop = new AbortController();
    const waiting = lock(coordination, "x", { signal: stop.signal });
    const inLine = lock(coordination, "x", { signal: stop.signal });
    await ground.untilWatches(1);
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await assert.rejects(inLine, /enough/);
    await assert.rejects(lock(coordination, "x", { timeoutMs: 50 }), (error) => {
      return hasCode("timeout")(error) &&
        /get lock "x": that takes longer than 50 ms/.test(`${error}`);
    });
    await ground.untilWatches(0);
    await held.release();
    assert.equal((await ground.lockState("x")).epoch, 1);
    const next = await lock(coordination, "x");
    assert.equal(next.token, 2);
    await next.release();
  });
});

test("what is taken too late for the caller is given back", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const stop = new AbortController();
    patchStore(space, (store) => ({
      updateAt: async (...args) => {
        stop.abort(new Error("enough"));
        return await store.updateAt(...args);
      },
    }));
    await assert.rejects(lock(coordination, "x", { signal: stop.signal }), /enough/);
    await waitUntil(async () => (await ground.lockState("x")).owner === null);
    assert.equal((await ground.lockState("x")).epoch, 1);
  });
});

test("what was taken without an answer, and then not wanted any more, is given back", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const stop = new AbortController();
    patchStore(space, (store) => ({
      updateAt: async (...args) => {
        await store.updateAt(...args);
        stop.abort(new Error("enough"));
        throw new JsflowError("timeout", "the answer was lost");
      },
    }));
    await assert.rejects(lock(coordination, "x", { signal: stop.signal }), /enough/);
    await waitUntil(async () => (await ground.lockState("x")).owner === null);
  });
});

test("a lock that was taken without an answer is recognised", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    let answers = 0;
    patchStore(space, (store) => ({
      updateAt: async (...args) => {
        const revision = await store.updateAt(...args);
        if (answers++ === 0) throw new JsflowError("outcome_unknown", "the answer was lost");
        return revision;
      },
    }));
    const held = await lock(coordination, "x", { leaseMs: 600_000, timeoutMs: 10_000 });
    assert.equal(held.token, 1);
    assert.equal((await ground.lockState("x")).beat, 1, "it was made sure that it is held");
    await held.release();
  });
});

test("a lock whose answer comes late is confirmed before it is handed out", async () => {
  const clock = skippingClock();
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    patchStore(space, (store) => ({
      updateAt: async (...args) => {
        const revision = await store.updateAt(...args);
        clock.skip(550_000);
        return revision;
      },
    }));
    const held = await lock(coordination, "x", { leaseMs: 600_000 });
    assert.equal((await ground.lockState("x")).beat, 1);
    clock.skip(530_000);
    assert.equal(held.isHeld, true);
    await held.release();
  }, { clock });
});

test("a lock that another one took before its late answer came is not handed out", async () => {
  const clock = skippingClock();
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    let answers = 0;
    patchStore(space, (store) => ({
      updateAt: async (...args) => {
        const revision = await store.updateAt(...args);
        if (answers++ > 0) return revision;
        clock.skip(700_000);
        await store.put("lock.x", { owner: "thief", epoch: 2, leaseMs: 300, beat: 0 });
        return revision;
      },
    }));
    const held = await lock(coordination, "x", { leaseMs: 600_000, timeoutMs: 20_000 });
    assert.equal(held.token, 3);
    await held.release();
  }, { clock });
});

test("a release between the look and the watch is not missed", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const other = await ground.another();
    const held = await lock(other, "x", { leaseMs: 600_000 });
    patchStore(space, (store) => ({
      entry: async (...args) => {
        const entry = await store.entry(...args);
        await held.release();
        return entry;
      },
    }));
    const next = await lock(coordination, "x", { timeoutMs: 10_000 });
    assert.equal(next.token, 2);
    await next.release();
  });
});

test("somebody else who is faster costs an attempt, no error", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const other = await ground.another();
    let rivals = 0;
    patchStore(space, (store) => ({
      updateAt: async (...args) => {
        const name = args[0].slice("lock.".length);
        if (rivals++ < 3) await (await lock(other, name)).release();
        return await store.updateAt(...args);
      },
    }));
    assert.equal((await lock(coordination, "x", { timeoutMs: 10_000 })).token, 4);
    rivals = 0;
    assert.equal((await tryLock(coordination, "y"))?.token, 4);
  });
});

test("tryLock says so when the server can't be asked, lock goes on trying", async () => {
  await withCoordination(async ({ coordination, space }) => {
    let failures = 3;
    patchStore(space, (store) => ({
      entry: (...args) =>
        failures-- > 0
          ? Promise.reject(new JsflowError("not_connected", "away"))
          : store.entry(...args),
    }));
    await assert.rejects(tryLock(coordination, "x"), hasCode("not_connected"));
    const held = await lock(coordination, "x", { timeoutMs: 10_000 });
    assert.equal(held.token, 1);
    await held.release();
  });
});
