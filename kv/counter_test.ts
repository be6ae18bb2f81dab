import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { MAX_LOGGED_WRITERS } from "./_applied_log.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { counter } from "./counter.ts";
import { coordinationGround, hasCode, patchStore } from "./testdata/coordination_ground.ts";
import { loseOutcome, withLostAnswers } from "./testdata/lost_answers.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });
const MAX = Number.MAX_SAFE_INTEGER;

test("a counter begins at 0, and adds what it is told", async () => {
  await withCoordination(async ({ coordination }) => {
    const hits = counter(coordination, "x");
    assert.equal(hits.name, "x");
    assert.equal(await hits.get(), 0);
    assert.equal(await hits.add(), 1);
    assert.equal(await hits.add(10), 11);
    assert.equal(await hits.add(-12), -1);
    assert.equal(await hits.add(0), -1);
    assert.equal(await counter(coordination, "x").get(), -1);
    assert.equal(await counter(coordination, "y").get(), 0, "another name is another counter");
  });
});

test("many connections add at once, and every addition counts once", async () => {
  await withCoordination(async (ground) => {
    const others = await Promise.all(Array.from({ length: 5 }, () => ground.another()));
    const values = await Promise.all(others.flatMap((other) => {
      const hits = counter(other, "x");
      return Array.from({ length: 20 }, () => hits.add(1, { timeoutMs: 60_000 }));
    }));
    assert.deepEqual(values.sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i + 1));
    assert.equal(await counter(ground.coordination, "x").add(0), 100);
  });
});

test("what would leave the safe integers is refused, and changes nothing", async () => {
  await withCoordination(async ({ coordination }) => {
    const hits = counter(coordination, "x");
    await hits.add(MAX);
    await assert.rejects(hits.add(1), RangeError);
    assert.equal(await hits.get(), MAX);
    assert.equal(await hits.add(-MAX), 0);
    await hits.add(-MAX);
    await assert.rejects(hits.add(-1), /cannot add -1 to counter\.x: at -9007199254740991/);
  });
});

test("an addition whose answer is lost is made once", async () => {
  await withCoordination(async (ground) => {
    await withLostAnswers(ground, async ({ behind, loseNext, heal }) => {
      const direct = counter(ground.coordination, "x");
      for (let round = 1; round <= 3; round++) {
        loseNext();
        const adding = counter(behind, "x").add(1, { timeoutMs: 20_000 });
        await waitUntil(async () => await direct.get() === 2 * round - 1);
        await direct.add(1);
        heal();
        assert.equal(await adding, 2 * round - 1);
        assert.equal(await direct.get(), 2 * round);
      }
    });
  });
});

for (const fate of ["stored", "not stored"] as const) {
  test(`an addition that nobody can tell of is looked for (${fate})`, async () => {
    await withCoordination(async (ground) => {
      const other = counter(await ground.another(), "x");
      loseOutcome(ground.space, fate === "stored", () => other.add(100));
      const value = await counter(ground.coordination, "x").add(1);
      assert.equal(value, fate === "stored" ? 1 : 101);
      assert.equal(await other.get(), 101);
    });
  });
}

test("an addition that others may have hidden is reported as unknown", async () => {
  await withCoordination(async (ground) => {
    const { space, coordination } = ground;
    const crowd = Array.from({ length: MAX_LOGGED_WRITERS }, (_, index) => [`w${index}`, 1, 1]);
    const state = { value: 500, log: crowd };
    loseOutcome(space, true, () => ground.plant("counter.x", state));
    let updates = 0;
    patchStore(space, (store) => ({
      update: (key, fn, options) => {
        updates++;
        return store.update(key, fn, options);
      },
    }));
    await assert.rejects(counter(coordination, "x").add(1), hasCode("outcome_unknown"));
    assert.equal(updates, 2, "another look would tell no more");
    loseOutcome(space, true, () => space.store.delete("counter.y"));
    await assert.rejects(counter(coordination, "y").add(1), hasCode("outcome_unknown"));
    assert.equal(await counter(coordination, "x").add(1), 501, "it goes on");
  });
});

test("the log of writers has a bound", async () => {
  await withCoordination(async (ground) => {
    const crowd = Array.from({ length: MAX_LOGGED_WRITERS }, (_, index) => [`w${index}`, 1, 1]);
    await ground.plant("counter.x", { value: 7, log: crowd });
    await counter(ground.coordination, "x").add(1);
    const { log } = await ground.space.store.getOrThrow("counter.x") as { log: unknown[] };
    assert.equal(log.length, MAX_LOGGED_WRITERS);
    assert.deepEqual(log[0], ["w1", 1, 1], "who wrote least lately is forgotten");
  });
});

test("additions can be cancelled while they wait, and end in time", async () => {
  await withCoordination(async (ground) => {
    const hits = counter(ground.coordination, "x");
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    patchStore(ground.space, (store) => ({
      update: async (key, fn, options) => {
        await gate;
        return await store.update(key, fn, options);
      },
    }));
    const first = hits.add(1);
    const stop = new AbortController();
    const cancelled = hits.add(1, { signal: stop.signal });
    const late = hits.add(1, { timeoutMs: 50 });
    stop.abort(new Error("enough"));
    await assert.rejects(cancelled, /enough/);
    await assert.rejects(late, hasCode("timeout"));
    open();
    assert.equal(await first, 1);
    assert.equal(await hits.add(1), 2);
    await assert.rejects(hits.add(1, { signal: AbortSignal.abort(new Error("no")) }), /no/);
  });
});

test("additions go on when the server comes back", async () => {
  await withCoordination(async (ground) => {
    const hits = counter(ground.coordination, "x");
    await hits.add(1);
    await ground.nats.server.kill();
    const adding = hits.add(1, { timeoutMs: 30_000 });
    await assert.rejects(
      counter(await Promise.resolve(ground.coordination), "y").add(1, {
        timeoutMs: 300,
      }),
    );
    await ground.nats.server.restart();
    assert.equal(await adding, 2);
  });
});

test("the total is exact, though the server is killed while many add", async () => {
  await withCoordination(async (ground) => {
    const others = await Promise.all(Array.from({ length: 4 }, () => ground.another()));
    let total = 0;
    let isOver = false;
    const bounds = { timeoutMs: 60_000 };
    const runs = Promise.all(others.map(async (other) => {
      const hits = counter(other, "x");
      for (; !isOver; total++) await hits.add(1, bounds);
    }));
    for (let restart = 0; restart < 3; restart++) {
      const before = total;
      await waitUntil(() => total >= before + 20, { timeoutMs: 60_000 });
      await ground.nats.server.kill();
      await ground.nats.server.restart();
    }
    isOver = true;
    await runs;
    assert.equal(await counter(ground.coordination, "x").add(0, bounds), total);
  });
});

test("what is no counter, and misuse, are refused", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    for (const state of [{ value: "1", log: [] }, 5, { value: 1, log: [[1]] }, null]) {
      await ground.plant("counter.bad", state);
      await assert.rejects(counter(coordination, "bad").get(), hasCode("invalid_payload"));
      await assert.rejects(counter(coordination, "bad").add(), hasCode("invalid_payload"));
    }
    assert.throws(() => counter(coordination, ""), TypeError);
    assert.throws(() => counter({} as never, "x"), TypeError);
    const hits = counter(coordination, "x");
    for (const amount of [1.5, NaN, Infinity, MAX + 1]) {
      await assert.rejects(hits.add(amount), RangeError);
    }
    await assert.rejects(hits.add("1" as never), TypeError);
    await assert.rejects(hits.add(1, { timeoutMs: -1 }), RangeError);
    await assert.rejects(hits.get({ timeout: 1 } as never), TypeError);
    await coordination.close();
    await assert.rejects(hits.add(1), hasCode("connection_closed"));
  });
});
