import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { Bounds, Bucket, RawWrite } from "./_bucket.ts";
import { overlayBucket } from "./_bucket_overlay.ts";
import { arriveAt, type BarrierState, withdraw } from "./_barrier_state.ts";
import { openSpace } from "./_open_space.ts";
import { type Space, spaceOf } from "./_space.ts";
import { barrier } from "./barrier.ts";
import { coordinationGround, hasCode } from "./testdata/coordination_ground.ts";
import { loseOutcome, withLostAnswers } from "./testdata/lost_answers.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });
const LONG = { timeoutMs: 60_000 };

/** One write that reaches the server when the test says so. */
class LateWrite {
  readonly #sent = Promise.withResolvers<void>();
  #store: (() => Promise<number>) | undefined;

  /** Resolves when the write is on its way. */
  get sent(): Promise<void> {
    return this.#sent.promise;
  }

  /** For the parts of a space. */
  readonly around = (bucket: Bucket): Bucket =>
    overlayBucket(bucket, {
      write: (write, bounds) =>
        this.#store === undefined ? this.#send(bucket, write, bounds) : bucket.write(write, bounds),
    });

  /** Lets it reach the server, which may refuse it. */
  async store(): Promise<void> {
    await this.#store?.().catch(() => {});
  }

  #send(bucket: Bucket, write: RawWrite, { signal }: Bounds): Promise<number> {
    this.#store = () => bucket.write(write, { signal: undefined, timeoutMs: 5_000 });
    this.#sent.resolve();
    return new Promise((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }
}

/** Who waits at barrier x. */
async function waiting(space: Space): Promise<string[]> {
  const state = await space.store.get("barrier.x") as BarrierState | undefined;
  return (state?.arrived ?? []).map(([member]) => member);
}

async function untilWaiting(space: Space, ...members: string[]): Promise<void> {
  const what = `${members.join(", ") || "nobody"} waits`;
  await waitUntil(async () => `${(await waiting(space)).sort()}` === `${members}`, { what });
}

test("a barrier opens when all are there, again and again", async () => {
  await withCoordination(async (ground) => {
    const others = [await ground.another(), await ground.another(), await ground.another()];
    const inside = [0, 0, 0];
    const runs = others.map(async (other, index) => {
      const gate = barrier(other, "x", { parties: 3 });
      for (let round = 0; round < 6; round++) {
        inside[index] = round;
        assert.equal(await gate.arrive(`m${index}`, LONG), round);
        assert.ok(inside.every((one) => one >= round), "nobody goes on before the others");
      }
    });
    await Promise.all(runs);
    await ground.untilWatches(0);
  });
});

test("a member that arrives twice counts once, and both calls go on", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const gate = barrier(coordination, "x", { parties: 2 });
    assert.equal(gate.name, "x");
    const first = gate.arrive("a", LONG);
    await untilWaiting(space, "a");
    const again = barrier(await ground.another(), "x", { parties: 2 }).arrive("a", LONG);
    await ground.untilWatches(2);
    assert.deepEqual(await waiting(space), ["a"]);
    assert.equal(await gate.arrive("b", LONG), 0);
    assert.deepEqual(await Promise.all([first, again]), [0, 0]);
  });
});

test("a barrier of one opens at once", async () => {
  await withCoordination(async ({ coordination }) => {
    const gate = barrier(coordination, "x", { parties: 1 });
    assert.deepEqual([await gate.arrive("a"), await gate.arrive("a")], [0, 1]);
  });
});

test("who is cancelled or too late is not waited for", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const gate = barrier(coordination, "x", { parties: 2 });
    const stop = new AbortController();
    const cancelled = gate.arrive("a", { signal: stop.signal });
    await untilWaiting(space, "a");
    stop.abort(new Error("enough"));
    await assert.rejects(cancelled, /enough/);
    await untilWaiting(space);
    await assert.rejects(gate.arrive("b", { timeoutMs: 100 }), /cannot pass barrier "x": that/);
    await untilWaiting(space);
    const both = [gate.arrive("c", LONG), gate.arrive("d", LONG)];
    assert.deepEqual(await Promise.all(both), [0, 0]);
    await ground.untilWatches(0);
  });
});

test("a member stays as long as one of its calls waits", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const gate = barrier(coordination, "x", { parties: 2 });
    const other = barrier(await ground.another(), "x", { parties: 2 });
    const first = gate.arrive("a", LONG);
    await untilWaiting(space, "a");
    const stop = new AbortController();
    const again = other.arrive("a", { signal: stop.signal });
    await ground.untilWatches(2);
    stop.abort(new Error("enough"));
    await assert.rejects(again, /enough/);
    const calls = async () => (await space.store.get("barrier.x") as BarrierState).arrived[0];
    await waitUntil(async () => (await calls())?.length !== 3, { what: "the call is withdrawn" });
    assert.deepEqual(await waiting(space), ["a"]);
    assert.deepEqual(await Promise.all([first, gate.arrive("b", LONG)]), [0, 0]);
  });
});

test("the calls of a member that are known have a bound", () => {
  let state: BarrierState = { parties: 2, generation: 0, arrived: [], passed: [] };
  for (let call = 0; call < 40; call++) state = arriveAt(state, { member: "a", call: `${call}` });
  assert.equal(state.arrived[0]?.length, 5);
  assert.equal(withdraw(state, "0"), undefined);
  for (let call = 36; call < 40; call++) state = withdraw(state, `${call}`)!;
  assert.deepEqual(state.arrived, []);
});

test("an arrival that is stored only after its withdrawal counts nobody", async () => {
  for (const isNew of [true, false]) {
    await withCoordination(async (ground) => {
      const late = new LateWrite();
      const other = await openSpace(ground.client, undefined, { around: late.around });
      const gate = barrier(ground.coordination, "x", { parties: 2 });
      if (!isNew) await Promise.all([gate.arrive("a", LONG), gate.arrive("b", LONG)]);
      const stop = new AbortController();
      const arriving = barrier(other, "x", { parties: 2 }).arrive("c", { signal: stop.signal });
      await late.sent;
      stop.abort(new Error("enough"));
      await assert.rejects(arriving, /enough/);
      await other.close(); // waits for the withdrawal
      await late.store();
      assert.deepEqual(await waiting(ground.space), []);
      const both = await Promise.all([gate.arrive("a", LONG), gate.arrive("b", LONG)]);
      assert.deepEqual(both, isNew ? [0, 0] : [1, 1]);
    });
  }
});

test("closing the coordination withdraws who waits", async () => {
  await withCoordination(async (ground) => {
    const other = await ground.another();
    const gone = barrier(other, "x", { parties: 2 }).arrive("a");
    await untilWaiting(ground.space, "a");
    const ended = assert.rejects(gone, hasCode("connection_closed"));
    await other.close();
    await ended;
    assert.deepEqual(await waiting(ground.space), []);
  });
});

test("an arrival whose answer is lost counts once, though the barrier opened meanwhile", async () => {
  await withCoordination(async (ground) => {
    await withLostAnswers(ground, async ({ behind, loseNext, heal }) => {
      loseNext();
      const arriving = barrier(behind, "x", { parties: 2 }).arrive("a", LONG);
      await untilWaiting(ground.space, "a");
      const gate = barrier(ground.coordination, "x", { parties: 2 });
      assert.equal(await gate.arrive("b", LONG), 0);
      heal();
      assert.equal(await arriving, 0);
      assert.deepEqual(await waiting(ground.space), []);
    });
  });
});

test("an arrival that nobody can tell of is looked for in this generation and the last", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const gate = barrier(coordination, "x", { parties: 2 });
    const rest = barrier(await ground.another(), "x", { parties: 2 });
    for (const [round, isStored] of [true, false].entries()) {
      loseOutcome(space, isStored);
      const arriving = gate.arrive("a", LONG);
      await untilWaiting(space, "a");
      assert.equal(await rest.arrive("b", LONG), round);
      assert.equal(await arriving, round);
    }
    loseOutcome(space, true, () => rest.arrive("b", LONG));
    assert.equal(await gate.arrive("a", LONG), 2);
    assert.deepEqual(await waiting(space), []);
    loseOutcome(space, true, async () => {
      await rest.arrive("b", LONG);
      await Promise.all([rest.arrive("b", LONG), rest.arrive("c", LONG)]);
    });
    await assert.rejects(gate.arrive("a", LONG), hasCode("outcome_unknown"));
  });
});

test("a barrier opens through a restart of the server", async () => {
  await withCoordination(async (ground) => {
    const gate = barrier(ground.coordination, "x", { parties: 2 });
    const first = gate.arrive("a", LONG);
    await ground.untilWatches(1);
    await ground.nats.server.kill();
    const second = gate.arrive("b", LONG);
    await ground.nats.server.restart();
    assert.deepEqual(await Promise.all([first, second]), [0, 0]);
  });
});

test("another number of parties is an error while somebody waits", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const two = barrier(coordination, "x", { parties: 2 });
    const three = barrier(coordination, "x", { parties: 3 });
    const first = two.arrive("a", LONG);
    await untilWaiting(space, "a");
    await assert.rejects(three.arrive("b"), /those who wait there say 2 parties, expected 3/);
    assert.equal(await two.arrive("b", LONG), 0);
    await first;
    const all = ["a", "b", "c"].map((member) => three.arrive(member, LONG));
    assert.deepEqual(await Promise.all(all), [1, 1, 1]);
  });
});

test("a removed key ends waits, and generations go on rising", async () => {
  await withCoordination(async (ground) => {
    const gate = barrier(ground.coordination, "x", { parties: 2 });
    const waits = gate.arrive("a", LONG);
    await ground.untilWatches(1);
    await ground.space.store.delete("barrier.x");
    await assert.rejects(waits, hasCode("key_not_found"));
    const passed = await Promise.all([gate.arrive("a", LONG), gate.arrive("b", LONG)]);
    assert.ok(passed[0]! > 0 && passed[0] === passed[1], `${passed}`);
  });
});

test("misuse and foreign states are refused", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const gate = barrier(coordination, "x", { parties: 2 });
    assert.throws(() => barrier(coordination, "x", { parties: 0 }), RangeError);
    assert.throws(() => barrier(coordination, "x", { parties: 1_001 }), RangeError);
    assert.throws(() => barrier(coordination, "x", {} as never), TypeError);
    assert.throws(() => barrier(coordination, "x", undefined as never), TypeError);
    assert.throws(() => barrier(coordination, "", { parties: 2 }), TypeError);
    assert.throws(() => barrier(coordination, "x", { parties: 2, size: 2 } as never), TypeError);
    await assert.rejects(gate.arrive(""), TypeError);
    await assert.rejects(gate.arrive("a", { timeoutMs: 0 }), RangeError);
    await assert.rejects(gate.arrive("a", { time: 1 } as never), TypeError);
    await assert.rejects(gate.arrive("a", { signal: AbortSignal.abort(new Error("no")) }), /no/);
    for (const state of [1, { parties: 2, generation: 0, arrived: [["a"]], passed: [] }, null]) {
      await ground.plant("barrier.x", state);
      await assert.rejects(gate.arrive("a"), hasCode("invalid_payload"));
    }
  });
});
