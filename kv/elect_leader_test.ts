import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { connect } from "../client/connect.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { electLeader } from "./elect_leader.ts";
import type { Election, ElectionEvent, Term } from "./election.ts";
import { lock } from "./lock.ts";
import { openCoordination } from "./open_coordination.ts";
import { coordinationGround, hasCode, patchStore } from "./testdata/coordination_ground.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

/** The types of an election's events, as they come. */
function eventsOf(election: Election): ElectionEvent["type"][] {
  const types: ElectionEvent["type"][] = [];
  election.onEvent(({ type }) => types.push(type));
  return types;
}

test("of several candidates one leads, and another one as soon as it closes", async () => {
  await withCoordination(async (ground) => {
    const others = [await ground.another(), await ground.another()];
    const elections = others.map((other) => electLeader(other, "x", { leaseMs: 600_000 }));
    const events = elections.map(eventsOf);
    await Promise.race(elections.map((election) => election.elected()));
    const leader = elections.findIndex(({ isLeader }) => isLeader);
    const [first, second] = [elections[leader]!, elections[1 - leader]!];
    assert.equal(second.isLeader, false);
    assert.equal(second.term, undefined);
    assert.equal(second.signal.aborted, true);
    const { term, signal } = first;
    assert.equal(term?.token, 1);
    assert.equal(term.isHeld, true);
    assert.equal(signal.aborted, false);
    await first.close();
    assert.equal(signal.aborted, true);
    assert.ok(hasCode("lease_lost")(signal.reason));
    assert.equal(term.isHeld, false);
    assert.equal((await second.elected({ timeoutMs: 10_000 })).token, 2);
    assert.equal(await second.elected(), second.term, "at once");
    await second.close();
    await second.close();
    await Promise.all([first.closed, second.closed]);
    assert.deepEqual(events[leader], ["elected", "resigned"]);
    assert.deepEqual(events[1 - leader], ["elected", "resigned"]);
    await assert.rejects(second.elected(), hasCode("connection_closed"));
    await ground.untilWatches(0);
  });
});

test("a lock and an election of the same name have nothing to do with each other", async () => {
  await withCoordination(async ({ coordination }) => {
    const held = await lock(coordination, "x");
    const election = electLeader(coordination, "x");
    assert.equal((await election.elected()).token, 1);
    await Promise.all([held.release(), election.close()]);
  });
});

test("who lost its term stands again, once what it led has ended", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const terms: Term[] = [];
    let running = 0;
    const election = electLeader(coordination, "x", {
      leaseMs: 1_500,
      lead: async (term) => {
        terms.push(term);
        assert.equal(++running, 1);
        await new Promise<void>((resolve) =>
          term.signal.addEventListener("abort", () => resolve())
        );
        await after(100); // somebody else leads already
        running--;
        term.signal.throwIfAborted();
      },
    });
    const events = eventsOf(election);
    await waitUntil(() => terms.length === 1);
    await space.store.put("leader.x", { owner: "rival", epoch: 5, leaseMs: 100, beat: 0 });
    await waitUntil(() => terms.length === 2);
    assert.deepEqual(terms.map(({ token }) => token), [1, 6]);
    assert.ok(hasCode("lease_lost")(terms[0]!.signal.reason));
    assert.equal(election.isLeader, true);
    await election.close();
    assert.equal(running, 0, "closing waits for what is led");
    assert.deepEqual(events, ["elected", "lost", "elected", "resigned"]);
  });
});

test("when the work is done, the leadership goes to another one and the election ends", async () => {
  await withCoordination(async ({ coordination }) => {
    const done: number[] = [];
    let ended = 0;
    const elections = Array.from(
      { length: 3 },
      () => electLeader(coordination, "x", { lead: ({ token }) => void done.push(token) }),
    );
    for (const { closed } of elections) void closed.then(() => ended++);
    await waitUntil(() => ended === 3);
    assert.deepEqual(done, [1, 2, 3]);
  });
});

test("who failed hands over, and stands again after a pause", async () => {
  await withCoordination(async (ground) => {
    const failures: unknown[] = [];
    let calls = 0;
    const election = electLeader(ground.coordination, "x", {
      retry: { delaysMs: [10, 20] },
      lead: ({ token }) => {
        if (++calls < 3) throw new Error(`failed as ${token}`);
      },
    });
    const events = eventsOf(election);
    election.onEvent((event) => {
      if (event.type === "failed") failures.push(event.error);
    });
    let ended = false;
    void election.closed.then(() => ended = true);
    await waitUntil(() => ended);
    assert.deepEqual(failures.map(String), ["Error: failed as 1", "Error: failed as 2"]);
    assert.deepEqual(events.filter((type) => type !== "failed"), [
      ...["elected", "resigned", "elected", "resigned", "elected", "resigned"],
    ]);
  });
});

test("when no attempt is left, the election ends with the failure", async () => {
  await withCoordination(async ({ coordination }) => {
    const election = electLeader(coordination, "x", {
      retry: { attempts: 1 },
      lead: () => Promise.reject(new Error("the work failed")),
    });
    await assert.rejects(election.closed, /the work failed/);
    await election.close();
    const next = electLeader(coordination, "x");
    assert.equal((await next.elected()).token, 2);
    await next.close();
  });
});

test("what does not end in its grace is left behind when the election closes", async () => {
  await withCoordination(async (ground) => {
    let signal: AbortSignal | undefined;
    const election = electLeader(ground.coordination, "x", {
      leaseMs: 600_000,
      graceMs: 50,
      lead: (term) => {
        signal = term.signal;
        return new Promise<void>(() => {});
      },
    });
    await election.elected();
    const next = electLeader(await ground.another(), "x");
    const waiting = next.elected({ timeoutMs: 10_000 });
    await election.close();
    assert.equal(signal?.aborted, true);
    assert.equal((await waiting).token, 2);
    await next.close();
  });
});

test("closing the coordination or the client, or the signal, resigns", async () => {
  await withCoordination(async (ground) => {
    const stop = new AbortController();
    const client = await connect({ servers: ground.nats.url });
    const coordination = await ground.another();
    const lives: [Election, () => unknown][] = [
      [electLeader(coordination, "x", { leaseMs: 600_000 }), () => coordination.close()],
      [
        electLeader(ground.coordination, "x", { leaseMs: 600_000, signal: stop.signal }),
        () => stop.abort(),
      ],
      [
        electLeader(await openCoordination(client), "x", { leaseMs: 600_000 }),
        () => client.close({ graceMs: 10_000 }),
      ],
    ];
    for (let turn = 0; turn < lives.length; turn++) {
      const index = await waitUntil(() => {
        const found = lives.findIndex(([election]) => election.isLeader);
        return found >= 0 && { found };
      }).then(({ found }) => found);
      const [leader, end] = lives[index]!;
      assert.equal(leader.term?.token, turn + 1);
      await end();
      await leader.closed;
      assert.equal(leader.isLeader, false);
    }
    const last = electLeader(await ground.another(), "x");
    assert.equal((await last.elected({ timeoutMs: 10_000 })).token, 4);
  });
});

test("an election ends with the bucket", async () => {
  await withCoordination(async (ground) => {
    const held = electLeader(ground.coordination, "x");
    await held.elected();
    const waiting = electLeader(await ground.another(), "x");
    await ground.untilWatches(1);
    await (await ground.client.manager()).streams.delete("KV_jsflow_coordination");
    await assert.rejects(waiting.closed, hasCode("bucket_not_found"));
    await assert.rejects(waiting.elected(), hasCode("connection_closed"));
    await waiting.close();
  });
});

test("a listener that throws harms nobody, one that was removed hears nothing", async () => {
  await withCoordination(async ({ coordination }) => {
    const election = electLeader(coordination, "x");
    election.onEvent(() => {
      throw new Error("a bad listener");
    });
    const heard: string[] = [];
    const remove = election.onEvent(({ type }) => heard.push(type));
    await election.elected();
    remove();
    await election.close();
    assert.deepEqual(heard, ["elected"]);
  });
});

test("waiting to be elected can be given up", async () => {
  await withCoordination(async ({ coordination, space }) => {
    await space.store.put("leader.x", { owner: "other", epoch: 1, leaseMs: 600_000, beat: 0 });
    const election = electLeader(coordination, "x");
    await assert.rejects(election.elected({ timeoutMs: 30 }), hasCode("timeout"));
    const stop = new AbortController();
    const waiting = election.elected({ signal: stop.signal });
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    const ended = assert.rejects(election.elected(), hasCode("connection_closed"));
    await election.close();
    await ended;
  });
});

test("a failure to hand over ends nothing else", async () => {
  await withCoordination(async ({ coordination, space }) => {
    const election = electLeader(coordination, "x");
    await election.elected();
    patchStore(space, () => ({ update: () => Promise.reject(new Error("away")) }));
    await election.close();
    await election.closed;
  });
});

test("misuse is refused before anything is asked", async () => {
  await withCoordination(async ({ coordination }) => {
    const misuse: [unknown, unknown, typeof TypeError | typeof RangeError][] = [
      ["", {}, TypeError],
      [{}, {}, TypeError],
      ["x", { leaseMs: 1 }, RangeError],
      ["x", { lead: 1 }, TypeError],
      ["x", { lead: null }, TypeError],
      ["x", { graceMs: -1 }, RangeError],
      ["x", { retry: { attempts: 0 } }, RangeError],
      ["x", { signal: 1 }, TypeError],
      ["x", { onLead: () => {} }, TypeError],
    ];
    for (const [name, options, type] of misuse) {
      assert.throws(() => electLeader(coordination, name as string, options as object), type);
    }
    assert.throws(() => electLeader({} as never, "x"), TypeError);
    assert.throws(
      () => electLeader(coordination, "x", { signal: AbortSignal.abort() }),
      DOMException,
    );
    await coordination.close();
    assert.throws(() => electLeader(coordination, "x"), hasCode("connection_closed"));
  });
});
