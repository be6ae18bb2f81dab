import assert from "node:assert/strict";
import { test } from "node:test";
import {
  acceptRecord,
  emptyState,
  isPaused,
  isTerminal,
  type JournalState,
  type JournalStatus,
  partyKey,
  RECORD_VERSION,
} from "./journal_state.ts";
import { create } from "@bufbuild/protobuf";
import { type Entry, PartySchema } from "./gen/jsflow/durable/v1/journal_pb.ts";
import { statusOf, summarise } from "./summary.ts";
import { entries, entryOf, events, inboxOf, JournalBuilder } from "./tests/journal_builder.ts";

const { claimed, started, outcome, suspended, completed, failed } = entries;

function journal(): JournalBuilder {
  return new JournalBuilder();
}

function running(): JournalBuilder {
  return journal().claim(3, started());
}

/** That the last record was refused for this reason, and that nothing is accepted after it. */
function assertFault(builder: JournalBuilder, kind: string, message: RegExp): void {
  const { state } = builder;
  assert.equal(state.fault?.kind, kind);
  assert.equal(state.fault?.seq, builder.seq);
  assert.match(state.fault?.message ?? "", message);
  assert.equal(statusOf(state), "blocked");
  const { lastSeq, epoch } = state;
  builder.events(events.signal("after the fault")).claim(99);
  assert.equal(state.lastSeq, lastSeq);
  assert.equal(state.epoch, epoch);
  assert.ok(!state.eventIds.has("after the fault"));
}

function status(list: readonly Entry[]): JournalStatus {
  const { state } = running().own(...list);
  assert.equal(state.fault, undefined);
  return state.status;
}

test("no record, no invocation", () => {
  const state = emptyState();
  assert.equal(state.status, "absent");
  assert.equal(statusOf(state), "pending");
  assert.ok(!isTerminal(state));
  assert.ok(!isPaused(state));
});

test("a claim brings epoch, owner, command and the count of takeovers", () => {
  const { state } = journal().add([claimed(42, 5), started(inboxOf("a"))], {
    epoch: 1,
    owner: "me",
    atMs: 1_234,
  });
  assert.equal(state.fault, undefined);
  assert.equal(state.status, "active");
  assert.equal(state.epoch, 1);
  assert.equal(state.owner, "me");
  assert.equal(state.commandSeq, 42);
  assert.equal(state.takeovers, 5);
  assert.equal(state.lastSeq, 10);
  assert.equal(state.lastRecordId, "record 10");
  assert.equal(state.startedAtMs, 1_234);
  assert.deepEqual([...state.parties.keys()], ["inbox a"]);
});

test("times are those of the first and of the last record", () => {
  const { state } = running().own(outcome(0)).own(completed());
  assert.equal(state.startedAtMs, 1_010);
  assert.equal(state.updatedAtMs, 1_030);
});

test("each entry leads to its state", () => {
  assert.equal(status([]), "active");
  assert.equal(status([suspended()]), "suspended");
  assert.equal(status([entries.released()]), "released");
  assert.equal(status([entries.blocked()]), "blocked");
  assert.equal(status([entries.parked()]), "parked");
  assert.equal(status([completed()]), "completed");
  assert.equal(status([failed()]), "failed");
  assert.equal(status([entries.cancelled()]), "cancelled");
  assert.equal(journal().events(events.signal("1")).state.status, "early");
});

test("an end is kept with the sequence of its record", () => {
  const { state } = running().own(outcome(0), completed());
  assert.ok(isTerminal(state));
  assert.equal(state.terminal?.kind.case, "completed");
  assert.equal(state.terminalSeq, 20);
  assert.ok(state.outcomes.has(0));
});

test("a record that was folded before is passed over", () => {
  const builder = running();
  const before = structuredClone({ ...builder.state, fault: undefined });
  acceptRecord(builder.state, builder.seq, new Uint8Array([255]));
  acceptRecord(builder.state, 1, new Uint8Array([255]));
  assert.deepEqual({ ...builder.state, fault: undefined }, before);
  assert.equal(builder.state.fault, undefined);
});

// ---------------------------------------------------------------- the chain

test("a record must name the sequence of the one before it", () => {
  assertFault(running().add([], { prevSeq: 9 }), "chain", /forked, or .* restored/);
  assertFault(running().add([], { prevSeq: 0, prevRecordId: "" }), "chain", /forked/);
});

test("a record must name the id of the one before it", () => {
  assertFault(running().add([], { prevRecordId: "record 9" }), "chain", /record 10/);
});

test("the first record must stand alone", () => {
  const orphan = journal().add([claimed(1)], { epoch: 1, prevSeq: 5, prevRecordId: "gone" });
  assertFault(orphan, "chain", /follows record 5/);
  assertFault(journal().add([claimed(1)], { epoch: 1, prevRecordId: "gone" }), "chain", /gone/);
});

test("two records after the same one are a fork, whatever they hold", () => {
  const builder = running();
  const { lastSeq: prevSeq, lastRecordId: prevRecordId } = builder.state;
  builder.own(outcome(0));
  assert.equal(builder.state.fault, undefined);
  builder.add([outcome(1)], { prevSeq, prevRecordId, epoch: 1, owner: "owner 1" });
  assertFault(builder, "chain", /forked/);
  assert.ok(!builder.state.outcomes.has(1));
});

test("a tombstone may stand first: all before it was purged", () => {
  const first = journal().add([entries.tombstone()], { prevSeq: 77, prevRecordId: "purged" });
  assert.equal(first.state.fault, undefined);
  assert.equal(first.state.status, "tombstone");
  assert.equal(first.state.terminalSeq, 10);
  assert.equal(statusOf(first.state), "completed");
  assertFault(first.claim(5), "invariant", /follows the end/);
});

test("a tombstone that does not stand first keeps to the chain", () => {
  assert.equal(running().own(completed()).add([entries.tombstone()]).state.status, "tombstone");
  const torn = running().own(completed()).add([entries.tombstone()], { prevSeq: 1 });
  assertFault(torn, "chain", /forked/);
});

// ---------------------------------------------------------------- what can't be read

test("a record of another version quarantines", () => {
  for (const version of [0, RECORD_VERSION + 1]) {
    assertFault(running().add([], { version }), "version", /deploy a newer worker/);
  }
});

test("bytes that are no record quarantine", () => {
  const broken = running().encode([completed()]).slice(0, -3);
  for (const bytes of [new Uint8Array([255, 255]), new TextEncoder().encode("{}"), broken]) {
    const builder = running();
    builder.seq = 20;
    acceptRecord(builder.state, builder.seq, bytes);
    assertFault(builder, "undecodable", /record 20 can't be decoded/);
    assert.equal(builder.state.status, "active");
  }
});

test("an empty message has no version", () => {
  const builder = running();
  builder.seq = 20;
  acceptRecord(builder.state, builder.seq, new Uint8Array());
  assertFault(builder, "version", /version 0/);
});

test("an entry of a kind that this version does not know quarantines", () => {
  const nothing = entryOf({ case: undefined });
  assertFault(running().own(nothing), "invariant", /unknown kind/);
});

// ---------------------------------------------------------------- invariants

test("an outcome is decided once", () => {
  assertFault(running().own(outcome(0), outcome(0)), "invariant", /operation 0 is decided twice/);
  assertFault(running().own(outcome(1)).own(outcome(1)), "invariant", /decided twice/);
  assertFault(running().own(outcome(1)).claim(3).own(outcome(1)), "invariant", /decided twice/);
});

test("epochs rise", () => {
  const again = { epoch: 1, owner: "other" };
  assertFault(running().add([claimed(4)], again), "invariant", /epoch 1 claimed after epoch 1/);
  assertFault(running().claim(4).add([claimed(5)], again), "invariant", /after epoch 2/);
  assertFault(journal().add([claimed(4)], { epoch: 0 }), "invariant", /epoch 0/);
});

const owned: Readonly<Record<string, () => Entry>> = {
  outcome: () => outcome(0),
  attempted: () => entries.attempted(0, 1),
  suspended,
  released: entries.released,
  blocked: entries.blocked,
  parked: entries.parked,
  completed,
  failed,
  cancelled: entries.cancelled,
};

for (const [name, make] of Object.entries(owned)) {
  test(`only the owner of the highest epoch appends "${name}"`, () => {
    const old = { epoch: 1, owner: "owner 1" };
    assertFault(running().claim(4).add([make()], old), "invariant", /of epoch 1 under .* epoch 2/);
    const nonce = { epoch: 2, owner: "owner 1" };
    assertFault(running().claim(4).add([make()], nonce), "invariant", /under the claim/);
    assertFault(running().add([make()]), "invariant", /of epoch 0/);
  });

  test(`an owner that has given up appends no "${name}"`, () => {
    for (const stop of [suspended, entries.released, entries.blocked, entries.parked]) {
      assertFault(running().own(stop()).own(make()), "invariant", /when (s|r|b|p)/);
    }
  });
}

test("an entry that a newer version wrote quarantines the invocation", () => {
  for (const kind of ["scheduled", "continued", "emitted", "attributes", "state"] as const) {
    const entry = entryOf({ case: kind, value: {} } as Parameters<typeof entryOf>[0]);
    assertFault(running().own(entry), "invariant", /is not known to this version/);
  }
});

test("before the first claim anybody may cancel, and nothing else", () => {
  const early = journal().add([entries.event(events.cancel("1")), entries.cancelled()]);
  assert.equal(early.state.fault, undefined);
  assert.equal(early.state.status, "cancelled");
  assert.equal(early.state.cancelReason, "enough");
  assert.equal(journal().add([entries.cancelled()]).state.status, "cancelled");
  assertFault(journal().add([completed()]), "invariant", /claim of epoch 0/);
});

test("nothing follows the end but reopened and tombstone", () => {
  for (const end of [completed, failed, entries.cancelled]) {
    for (const entry of [claimed(9), outcome(5), entries.attached(inboxOf("late")), end()]) {
      const late = running().own(end()).add([entry], { epoch: 9, owner: "late" });
      assertFault(late, "invariant", /follows the end of the invocation/);
    }
    assertFault(running().own(end()).events(events.signal("1")), "invariant", /follows the end/);
    assertFault(running().own(end(), outcome(1)), "invariant", /follows the end/);
    const buried = running().own(end()).add([entries.tombstone()]);
    assert.equal(buried.state.fault, undefined);
    assert.equal(buried.state.status, "tombstone");
  }
});

test("only what failed is reopened", () => {
  const { state } = running().own(failed()).add(
    [entries.reopened(), entries.event(events.reopen("1")), claimed(8)],
    { epoch: 2, owner: "second" },
  );
  assert.equal(state.fault, undefined);
  assert.equal(state.status, "active");
  assert.equal(state.terminal, undefined);
  assert.equal(state.commandSeq, 8);
  for (const end of [completed, entries.cancelled]) {
    assertFault(running().own(end()).add([entries.reopened()]), "invariant", /reopened when/);
  }
  assertFault(running().add([entries.reopened()]), "invariant", /reopened when active/);
  const gone = running().own(failed()).add([entries.tombstone()]).add([entries.reopened()]);
  assertFault(gone, "invariant", /reopened when tombstone/);
});

test("an event is journaled once", () => {
  const twice = running().events(events.signal("1")).events(events.signal("1"));
  assertFault(twice, "invariant", /event 1 is journaled twice/);
  assertFault(running().events(events.pause("1"), events.cancel("1")), "invariant", /twice/);
});

test("an invocation starts once", () => {
  assertFault(running().claim(3, started()), "invariant", /started twice/);
});

test("the summary of a quarantined invocation is newer than the one before", () => {
  const builder = running().own(suspended());
  const before = summarise("w", "i", builder.state);
  assert.equal(before.journalSeq, 20);
  assert.equal(before.status, "suspended");
  builder.add([], { prevRecordId: "another" });
  const after = summarise("w", "i", builder.state);
  assert.equal(after.journalSeq, 30);
  assert.equal(after.status, "blocked");
  assert.match(after.reason ?? "", /forked/);
});

// ---------------------------------------------------------------- flags

function flags({ pauseRequested, cancelReason }: JournalState) {
  return { pauseRequested, cancelReason };
}

test("the last of pause and resume counts", () => {
  const { pause, resume, cancel } = events;
  const builder = running().events(pause("1"));
  assert.deepEqual(flags(builder.state), { pauseRequested: true, cancelReason: undefined });
  assert.ok(!isPaused(builder.state));
  builder.own(suspended());
  assert.ok(isPaused(builder.state));
  assert.equal(statusOf(builder.state), "paused");
  builder.events(resume("2"));
  assert.equal(statusOf(builder.state), "suspended");
  builder.events(pause("3"), resume("4"), pause("5"), cancel("6"), cancel("7"));
  assert.deepEqual(flags(builder.state), { pauseRequested: true, cancelReason: "enough" });
  assert.equal(builder.state.fault, undefined);
});

test("events that came before the start count", () => {
  const { state } = journal().events(events.pause("1")).claim(3, started(), suspended());
  assert.equal(statusOf(state), "paused");
  assert.deepEqual(state.timeline.map(({ kind }) => kind.case), ["event"]);
});

test("a claim takes back that it was blocked", () => {
  const builder = running().own(entries.blocked());
  assert.equal(builder.state.blocked?.reason, "changed");
  builder.claim(9);
  assert.equal(builder.state.blocked, undefined);
  assert.equal(builder.state.status, "active");
});

test("progress is an outcome under the latest claim", () => {
  const builder = running();
  assert.ok(!builder.state.progressed);
  builder.own(entries.attempted(0, 1));
  assert.ok(!builder.state.progressed);
  builder.own(outcome(0));
  assert.ok(builder.state.progressed);
  builder.claim(3);
  assert.ok(!builder.state.progressed);
});

test("outcomes and events are delivered in journal order, attempts are not", () => {
  const { state } = running().own(outcome(1)).events(events.cancel("1"))
    .own(entries.attempted(2, 1), outcome(0));
  const timeline = state.timeline.map(({ kind }) =>
    kind.case === "outcome" ? kind.value.op?.index : kind.case
  );
  assert.deepEqual(timeline, [1, "event", 0]);
  assert.equal(state.attempts.get(2)?.attempt, 1);
});

// ---------------------------------------------------------------- parties

test("each party is listed once", () => {
  const parent = create(PartySchema, {
    kind: { case: "parent", value: { workflow: "w", id: "i", index: 2 } },
  });
  const builder = journal().claim(3, started(inboxOf("a")));
  for (const party of [parent, inboxOf("b"), parent, inboxOf("a"), create(PartySchema)]) {
    builder.add([entries.attached(party)]);
  }
  assert.equal(builder.state.fault, undefined);
  assert.deepEqual([...builder.state.parties.keys()], ["inbox a", '["w","i",2]', "inbox b"]);
});

test("names of parties can't be confused", () => {
  const parent = (workflow: string, id: string) =>
    partyKey(create(PartySchema, { kind: { case: "parent", value: { workflow, id } } }));
  assert.notEqual(parent('a","b', "c"), parent("a", 'b","c'));
  assert.equal(partyKey(create(PartySchema)), "");
});
