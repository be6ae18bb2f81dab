import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { coordinationGround, hasCode } from "./testdata/coordination_ground.ts";
import { withLostAnswers } from "./testdata/lost_answers.ts";
import { waitGroup } from "./wait_group.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

/** Whether a promise has settled by now. */
function watched(promise: Promise<unknown>): { isOver: boolean } {
  const state = { isOver: false };
  const note = () => {
    state.isOver = true;
  };
  promise.then(note, note);
  return state;
}

test("who waits goes on once every member is done, and done twice is once", async () => {
  await withCoordination(async (ground) => {
    const group = waitGroup(ground.coordination, "x");
    const other = waitGroup(await ground.another(), "x");
    assert.equal(group.name, "x");
    await group.add(["a", "b", "a"]);
    await other.add("c");
    assert.deepEqual(await group.pending(), ["a", "b", "c"]);
    const waiting = other.wait({ timeoutMs: 20_000 });
    const state = watched(waiting);
    await ground.untilWatches(1);
    assert.equal(await group.done("a"), 2);
    assert.equal(await group.done("a"), 2);
    assert.equal(await other.done("a"), 2);
    assert.equal(await group.done("b"), 1);
    assert.equal(await group.done("b"), 1);
    assert.equal(state.isOver, false);
    assert.equal(await other.done("c"), 0);
    await waiting;
    await group.wait();
    await ground.untilWatches(0);
  });
});

test("who is done stays done, whatever is repeated or comes late", async () => {
  await withCoordination(async ({ coordination }) => {
    const group = waitGroup(coordination, "x");
    await group.add(["a", "b"]);
    await group.done("a");
    await group.add(["a", "b"]);
    assert.deepEqual(await group.pending(), ["b"]);
    assert.equal(await group.done("early"), 1);
    await group.add("early");
    assert.deepEqual(await group.pending(), ["b"]);
  });
});

test("a group without members keeps nobody waiting, and a cleared one begins anew", async () => {
  await withCoordination(async (ground) => {
    const group = waitGroup(ground.coordination, "x");
    await group.wait();
    await group.clear();
    await group.add(["a", "b"]);
    await group.done("a");
    const waiting = group.wait({ timeoutMs: 20_000 });
    await ground.untilWatches(1);
    await group.clear();
    await waiting;
    await group.add("a");
    assert.deepEqual(await group.pending(), ["a"]);
  });
});

test("many connections are done at once, and nobody is lost", async () => {
  await withCoordination(async (ground) => {
    const group = waitGroup(ground.coordination, "x");
    const members = Array.from({ length: 40 }, (_, index) => `m${index}`);
    await group.add(members);
    const others = await Promise.all(Array.from({ length: 4 }, () => ground.another()));
    const waiting = Promise.all(others.map((other) => waitGroup(other, "x").wait()));
    const bounds = { timeoutMs: 60_000 };
    const left = await Promise.all(members.flatMap((member, index) => [
      waitGroup(others[index % 4]!, "x").done(member, bounds),
      waitGroup(others[(index + 1) % 4]!, "x").done(member, bounds),
    ]));
    assert.ok(left.includes(0));
    await waiting;
    assert.deepEqual(await group.pending(), []);
  });
});

test("a change whose answer is lost is made once", async () => {
  await withCoordination(async (ground) => {
    await withLostAnswers(ground, async ({ behind, loseNext, heal }) => {
      loseNext();
      const group = waitGroup(ground.coordination, "x");
      await group.add(["a", "b"]);
      const finishing = waitGroup(behind, "x").done("a", { timeoutMs: 20_000 });
      await waitUntil(async () => (await group.pending()).length === 1);
      await group.add("c");
      heal();
      await finishing;
      assert.deepEqual(await group.pending(), ["b", "c"]);
    });
  });
});

test("a wait goes on through a restart of the server", async () => {
  await withCoordination(async (ground) => {
    const group = waitGroup(ground.coordination, "x");
    await group.add("a");
    const waiting = group.wait({ timeoutMs: 60_000 });
    await ground.untilWatches(1);
    await ground.nats.server.kill();
    const finishing = group.done("a", { timeoutMs: 30_000 });
    await ground.nats.server.restart();
    assert.equal(await finishing, 0);
    await waiting;
  });
});

test("a wait ends by its signal, its time, and with the coordination", async () => {
  await withCoordination(async (ground) => {
    const group = waitGroup(ground.coordination, "x");
    await group.add("a");
    const stop = new AbortController();
    const cancelled = group.wait({ signal: stop.signal });
    const left = group.wait();
    await ground.untilWatches(2);
    stop.abort(new Error("enough"));
    await assert.rejects(cancelled, /enough/);
    await assert.rejects(group.wait({ timeoutMs: 30 }), /cannot wait for group "x": that takes/);
    await ground.untilWatches(1);
    const ended = assert.rejects(left, hasCode("connection_closed"));
    await ground.coordination.close();
    await ended;
    await assert.rejects(group.add("b"), hasCode("connection_closed"));
  });
});

test("bounds hold, and misuse and foreign states are refused", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const group = waitGroup(coordination, "x");
    const many = Array.from({ length: 4_000 }, (_, index) => `m${index}`);
    await group.add(many);
    await group.done("m0");
    await assert.rejects(group.add("one more"), hasCode("buffer_full"));
    await assert.rejects(group.done("one more"), hasCode("buffer_full"));
    assert.equal((await group.pending()).length, 3_999);
    await assert.rejects(group.add([...many, "x"]), RangeError);
    await assert.rejects(group.add(""), TypeError);
    await assert.rejects(group.add(["a", 1] as never), TypeError);
    await assert.rejects(group.add(5 as never), TypeError);
    await assert.rejects(group.done("x".repeat(201)), RangeError);
    await assert.rejects(group.wait({ timeoutMs: NaN }), RangeError);
    await assert.rejects(group.pending({ until: 1 } as never), TypeError);
    assert.throws(() => waitGroup(coordination, ""), TypeError);
    for (const state of [3, { pending: 1, done: [] }, { pending: [], done: [1] }, null]) {
      await ground.plant("wait_group.bad", state);
      const bad = waitGroup(coordination, "bad");
      await assert.rejects(bad.done("a"), hasCode("invalid_payload"));
      await assert.rejects(bad.wait(), hasCode("invalid_payload"));
    }
  });
});
