import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decide,
  type Decision,
  DEFAULT_MAX_TAKEOVERS,
  type DeliveredCommand,
  nextTakeovers,
} from "./decide.ts";
import type { JournalState } from "./journal_state.ts";
import { entries, events, inboxOf, JournalBuilder } from "./tests/journal_builder.ts";

/** Sequence of the command that is decided about, and of some other command. */
const MINE = 7;
const OTHER = 3;
const STARTER = inboxOf("inbox.starter");
const { claimed, started, suspended, released, blocked, parked } = entries;

function start(): JournalBuilder {
  return new JournalBuilder();
}

function running(commandSeq: number): JournalBuilder {
  return start().claim(commandSeq, started(STARTER));
}

/** The columns of the protocol's table, as journals. */
const journals = {
  absent: () => start(),
  early: () => start().events(events.signal("earlier")),
  "early, paused": () => start().events(events.pause("earlier")),
  mine: () => running(MINE),
  other: () => running(OTHER),
  suspended: () => running(OTHER).own(suspended()),
  paused: () => running(OTHER).events(events.pause("earlier")).own(suspended()),
  released: () => running(OTHER).own(released()),
  "released by mine": () => running(MINE).own(released()),
  "released, paused": () => running(OTHER).events(events.pause("earlier")).own(released()),
  blocked: () => running(OTHER).own(blocked()),
  parked: () => running(OTHER).own(parked()),
  completed: () => running(OTHER).own(entries.completed()),
  failed: () => running(OTHER).own(entries.failed()),
  cancelled: () => running(OTHER).own(entries.cancelled()),
  tombstone: () => running(OTHER).own(entries.completed()).add([entries.tombstone()]),
  quarantined: () => running(OTHER).add([], { prevRecordId: "another" }),
} as const;

type Column = keyof typeof journals;
const columns = Object.keys(journals) as Column[];

/** A cell: entries joined by " + ", then " > " and what to do; or "> ack" with nothing appended. */
type Cell = string;

const ACK = "> ack";
const AGAIN = "claim > run";
const END = "> finalise";

/** What all commands have in common. */
const always = {
  completed: END,
  failed: END,
  cancelled: END,
  tombstone: END,
  quarantined: "defer",
} as const;

const startRow: Record<Column, Cell> = {
  ...always,
  absent: "claim + started > run",
  early: "claim + started > run",
  "early, paused": "claim + started + suspended > ack",
  mine: AGAIN,
  other: "attached > ack",
  suspended: "attached > rearm",
  paused: "attached > ack",
  released: "attached > ack",
  "released by mine": AGAIN,
  "released, paused": "attached > ack",
  blocked: "attached > ack",
  parked: "attached > ack",
};

const attachedRow: Record<Column, Cell> = {
  ...startRow,
  other: ACK,
  suspended: "> rearm",
  paused: ACK,
  released: ACK,
  "released, paused": ACK,
  blocked: ACK,
  parked: ACK,
};

const eventRow: Record<Column, Cell> = {
  ...always,
  absent: "event > ack",
  early: "event > ack",
  "early, paused": "event > ack",
  mine: "event + claim > run",
  other: "event > ack",
  suspended: "event + claim > run",
  paused: "event > ack",
  released: "event + claim > run",
  "released by mine": "event + claim > run",
  "released, paused": "event > ack",
  blocked: "event > ack",
  parked: "event > ack",
};

const cancelRow: Record<Column, Cell> = {
  ...eventRow,
  absent: "event + cancelled > finalise",
  early: "event + cancelled > finalise",
  "early, paused": "event + cancelled > finalise",
  paused: "event + claim > run",
  "released, paused": "event + claim > run",
  blocked: "event + claim > run",
  parked: "event + claim > run",
};

const pauseRow: Record<Column, Cell> = {
  ...eventRow,
  suspended: "event > ack",
  released: "event > ack",
};

const resumeRow: Record<Column, Cell> = {
  ...pauseRow,
  paused: "event + claim > run",
  blocked: "event + claim > run",
  parked: "event + claim > run",
};

/** A journal that already holds the event. */
const knownRow: Record<Column, Cell> = {
  ...attachedRow,
  absent: ACK,
  early: ACK,
  "early, paused": ACK,
  paused: "> rearm",
};

function event(value: ReturnType<typeof events.signal>): DeliveredCommand {
  return { kind: "event", event: value, seq: MINE };
}

const rows: readonly (readonly [string, DeliveredCommand, Record<Column, Cell>])[] = [
  ["start", { kind: "start", party: inboxOf("inbox.second"), seq: MINE }, startRow],
  ["start by a known party", { kind: "start", party: STARTER, seq: MINE }, attachedRow],
  ["start by nobody", { kind: "start", party: undefined, seq: MINE }, attachedRow],
  ["signal", event(events.signal("new")), eventRow],
  ["awakeable", event(events.awakeable("new")), eventRow],
  ["timer", event(events.timer("new")), eventRow],
  ["child", event(events.child("new")), eventRow],
  ["cancel", event(events.cancel("new")), cancelRow],
  ["pause", event(events.pause("new")), pauseRow],
  ["resume", event(events.resume("new")), resumeRow],
  [
    "resume that reopens",
    event(events.reopen("new")),
    { ...resumeRow, failed: "reopened + event + claim > run" },
  ],
  ["wake", event(events.wake("new")), eventRow],
];

function cellOf(decision: Decision): Cell {
  switch (decision.do) {
    case "append":
      return `${decision.parts.join(" + ")} > ${decision.then}`;
    case "settle":
      return `> ${decision.then}`;
    default:
      return decision.do;
  }
}

for (const [name, command, row] of rows) {
  test(`${name}: what the protocol says in every state`, () => {
    const actual = columns.map((column) => {
      return [column, cellOf(decide(journals[column]().state, command))];
    });
    assert.deepEqual(Object.fromEntries(actual), row);
  });
}

for (const kind of ["signal", "timer", "cancel", "pause", "resume", "reopen"] as const) {
  test(`${kind} that is in the journal is not appended again in any state`, () => {
    const actual = columns.map((column) => {
      // Adding the event itself would change some of the columns: only its id is put in.
      const { state } = journals[column]();
      state.eventIds.add("known");
      return [column, cellOf(decide(state, event(events[kind]("known"))))];
    });
    assert.deepEqual(Object.fromEntries(actual), knownRow);
  });
}

test("a reopening resume that is in the journal does not reopen again", () => {
  const { state } = journals.failed().claim(MINE);
  assert.equal(state.fault?.kind, "invariant");
  const reopened = journals.failed().add(
    [entries.reopened(), entries.event(events.reopen("known")), claimed(MINE)],
    { epoch: 2, owner: "second" },
  );
  assert.equal(reopened.state.fault, undefined);
  assert.equal(cellOf(decide(reopened.state, event(events.reopen("known")))), AGAIN);
  reopened.own(entries.failed());
  assert.equal(cellOf(decide(reopened.state, event(events.reopen("known")))), END);
});

test("the last of pause and resume counts, whoever asks", () => {
  const both = running(OTHER).events(events.pause("1"), events.resume("2")).own(suspended());
  assert.equal(cellOf(decide(both.state, event(events.signal("new")))), "event + claim > run");
  assert.equal(cellOf(decide(both.state, event(events.resume("new")))), "event > ack");
  const again = running(OTHER).events(events.resume("1"), events.pause("2")).own(suspended());
  assert.equal(cellOf(decide(again.state, event(events.signal("new")))), "event > ack");
  const early = start().events(events.pause("1"), events.resume("2"));
  const command: DeliveredCommand = { kind: "start", party: undefined, seq: MINE };
  assert.equal(cellOf(decide(early.state, command)), "claim + started > run");
});

/** A journal whose command was taken over `count` times without an outcome. */
function takenOver(count: number): JournalBuilder {
  const journal = running(MINE);
  for (let i = 0; i < count; i++) {
    const epoch = journal.state.epoch + 1;
    const claim = claimed(MINE, nextTakeovers(journal.state));
    journal.add([claim], { epoch, owner: `owner ${epoch}` });
  }
  return journal;
}

const redelivered: DeliveredCommand = { kind: "start", party: undefined, seq: MINE };

test("after maxTakeovers claims without an outcome the next one parks", () => {
  for (const max of [1, 3, DEFAULT_MAX_TAKEOVERS]) {
    assert.equal(cellOf(decide(takenOver(max - 1).state, redelivered, max)), AGAIN);
    assert.equal(cellOf(decide(takenOver(max).state, redelivered, max)), "park");
  }
  const state: JournalState = takenOver(DEFAULT_MAX_TAKEOVERS).state;
  assert.equal(cellOf(decide(state, redelivered)), "park");
});

test("a delivery from before the one that was claimed takes nothing over", () => {
  const journal = new JournalBuilder().add([claimed(MINE, 0, 3), entries.started()], { epoch: 1 });
  const at = (delivery?: number) => cellOf(decide(journal.state, { ...redelivered, delivery }));
  assert.deepEqual([1, 2, 3, 4, undefined].map(at), ["drop", "drop", AGAIN, AGAIN, AGAIN]);
  journal.own(released());
  assert.equal(at(2), AGAIN, "nobody runs it");
});

test("an outcome begins the count of takeovers anew", () => {
  const journal = takenOver(3).own(entries.outcome(0));
  assert.equal(nextTakeovers(journal.state), 1);
  assert.equal(cellOf(decide(journal.state, redelivered, 3)), AGAIN);
});

test("neither a hand-over nor a wake-up counts as a takeover", () => {
  const handedOver = takenOver(3).own(released());
  assert.equal(nextTakeovers(handedOver.state), 0);
  assert.equal(cellOf(decide(handedOver.state, redelivered, 3)), AGAIN);
  const woken = takenOver(3).own(suspended());
  assert.equal(nextTakeovers(woken.state), 0);
  const resumed = takenOver(3).own(parked());
  assert.deepEqual(decide(resumed.state, event(events.resume("new")), 3).do, "append");
  assert.equal(nextTakeovers(resumed.state), 0);
});
