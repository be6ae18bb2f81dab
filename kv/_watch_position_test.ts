import assert from "node:assert/strict";
import { test } from "node:test";
import type { StreamDelivery } from "../client/delivery.ts";
import { FeedPosition, type FeedStart } from "./_watch_position.ts";

/** A delivery, as far as a position looks at it. */
function delivery(streamSeq: number, pending: number, storedAt = `${streamSeq}`): StreamDelivery {
  return { streamSeq, pending, storedAt } as StreamDelivery;
}

function begun(from: FeedStart, end: number, facts = { history: 1, replicas: 1 }): FeedPosition {
  const position = new FeedPosition(from, facts);
  position.begin(end, 0);
  return position;
}

test("under constant writes the state ends where the bucket ended at the beginning", () => {
  const position = begun("last", 10);
  position.opened(5);
  const verdicts = [3, 7].map((seq) => position.receive(delivery(seq, 99)));
  assert.equal(position.isCaughtUp, false);
  verdicts.push(...[12, 13].map((seq) => position.receive(delivery(seq, 99))));
  assert.deepEqual(verdicts, ["initial", "initial", "change", "change"]);
  assert.equal(position.isCaughtUp, true);
});

test("it ends earlier when nothing waits", () => {
  const position = begun("last", 10);
  position.opened(1);
  assert.equal(position.receive(delivery(4, 0)), "initial");
  assert.deepEqual([position.isCaughtUp, position.revision], [true, 10]);
  assert.equal(position.receive(delivery(9, 0)), "change", "it was not there at the beginning");
});

test("a consumer that may be behind proves only what it has delivered", () => {
  const position = begun("last", 10, { history: 1, replicas: 3 });
  position.opened(1);
  position.receive(delivery(4, 0));
  assert.deepEqual([position.isCaughtUp, position.revision], [true, 4]);
});

test("an empty start is complete at once", () => {
  for (const from of ["last", "all", { afterRevision: 10 }] as const) {
    const position = begun(from, 10);
    position.opened(0);
    assert.deepEqual([position.isCaughtUp, position.revision], [true, 10]);
  }
});

test("what is new begins behind the end, whatever came meanwhile", () => {
  const position = begun("new", 10);
  assert.deepEqual(position.start, { atRevision: 11 });
  position.opened(3);
  assert.equal(position.isCaughtUp, true);
  assert.equal(position.receive(delivery(11, 2)), "change");
});

test("the next consumer begins with the last revision that was seen", () => {
  const starts: [FeedStart, number, unknown, unknown][] = [
    ["last", 1, "last", { atRevision: 4 }],
    ["last", 5, "last", "last"],
    ["all", 5, "all", { atRevision: 4 }],
    [{ afterRevision: 2 }, 5, { atRevision: 3 }, { atRevision: 4 }],
  ];
  for (const [from, history, before, after] of starts) {
    const position = begun(from, 10, { history, replicas: 1 });
    assert.deepEqual(position.start, before);
    position.opened(5);
    position.receive(delivery(4, 4));
    assert.deepEqual(position.start, after);
    position.receive(delivery(12, 0));
    assert.deepEqual(position.start, { atRevision: 12 });
  }
});

test("what was seen is known, unless another message bears its number", () => {
  const position = begun("all", 10);
  position.opened(5);
  position.receive(delivery(4, 4));
  assert.equal(position.receive(delivery(4, 4)), "known");
  assert.equal(position.receive(delivery(3, 4)), "known");
  assert.equal(position.receive(delivery(4, 4, "another time")), "replaced");
  assert.equal(position.end, 10);
});

test("when there was nothing, all that comes later is reported, however often it begins", () => {
  for (const from of ["last", "all"] as const) {
    const position = begun(from, 10);
    position.opened(0);
    assert.deepEqual(position.start, { atRevision: 11 });
  }
  // Nobody knows how far the consumer was that had nothing to deliver.
  const position = begun("last", 10, { history: 1, replicas: 3 });
  position.opened(0);
  assert.deepEqual(position.start, { atRevision: 1 });
});

test("an end that a server tells that is behind is none", () => {
  const position = new FeedPosition("last", { history: 1, replicas: 3 });
  position.begin(6, 8);
  position.opened(1);
  position.receive(delivery(6, 0));
  assert.deepEqual([position.isCaughtUp, position.end], [false, 8]);
});

test("a server that is behind has not delivered the state before the last of it", () => {
  const facts = { history: 1, replicas: 3 };
  const behind = (from: FeedStart) => {
    const position = new FeedPosition(from, facts);
    position.begin(10, 8);
    position.opened(0);
    return position;
  };
  const position = behind("last");
  position.catchUp();
  assert.equal(position.isCaughtUp, false);
  assert.equal(position.receive(delivery(4, 0)), "initial");
  assert.equal(position.isCaughtUp, false);
  assert.equal(position.receive(delivery(8, 0)), "initial");
  assert.equal(position.isCaughtUp, true);
  const removed = behind("all");
  removed.lowerTarget(9);
  removed.catchUp();
  assert.equal(removed.isCaughtUp, false, "what is newer comes by itself");
  removed.lowerTarget(0);
  removed.catchUp();
  assert.equal(removed.isCaughtUp, true);
  assert.equal(behind("new").isCaughtUp, true);
  assert.equal(behind({ afterRevision: 8 }).isCaughtUp, true);
});
