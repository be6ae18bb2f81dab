import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RawEntry } from "./_bucket.ts";
import { History } from "./_history.ts";

function entry(revision: number, ms: number): RawEntry {
  return {
    name: "k",
    revision,
    time: new Date(ms),
    operation: "put",
    bytes: new Uint8Array(0),
    header: () => undefined,
  };
}

/** Times of revisions; small numbers, so that many are equal, and any order, as clocks can jump. */
const someTimes = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 30 });
const aTime = fc.integer({ min: -1, max: 21 });

/** Since when the revision at an index counts: by looking at all before it. */
function since(times: readonly number[], index: number): number {
  return Math.max(...times.slice(0, index + 1));
}

/** Looks at one revision after the other. */
function atInList(times: readonly number[], ms: number): number | undefined {
  let found: number | undefined;
  for (const [index] of times.entries()) {
    if (since(times, index) <= ms) found = index + 1;
  }
  return found;
}

test("searching finds what looking at every revision finds", () => {
  fc.assert(fc.property(someTimes, aTime, (times, ms) => {
    const history = new History(times.map((time, index) => entry(index + 1, time)));
    assert.equal(history.at(ms)?.revision, atInList(times, ms));
  }));
});

test("a span gives what looking at every revision gives, both ends included", () => {
  fc.assert(fc.property(someTimes, aTime, aTime, (times, a, b) => {
    const [from, to] = a < b ? [a, b] : [b, a];
    const history = new History(times.map((time, index) => entry(index + 1, time)));
    const expected = times.flatMap((_, index) => {
      const ms = since(times, index);
      return ms >= from && ms <= to ? [index + 1] : [];
    });
    assert.deepEqual(history.between(from, to).map(({ revision }) => revision), expected);
  }));
});

test("later revisions change nothing about times that are settled", () => {
  fc.assert(fc.property(someTimes, someTimes, aTime, (times, later, ms) => {
    const all = [...times, ...later].map((time, index) => entry(index + 1, time));
    const before = new History(all.slice(0, times.length));
    if (!before.isSettledAt(ms)) return;
    assert.equal(new History(all).at(ms)?.revision, before.at(ms)?.revision);
    const revisions = (history: History) => history.between(-1, ms).map(({ revision }) => revision);
    assert.deepEqual(revisions(new History(all)), revisions(before));
  }));
});

test("of revisions of one time the later one counts", () => {
  const history = new History([entry(1, 5), entry(2, 5), entry(7, 5), entry(9, 6)]);
  assert.equal(history.at(4), undefined);
  assert.equal(history.at(5)?.revision, 7);
  assert.equal(history.at(6)?.revision, 9);
  assert.equal(history.lastRevision, 9);
  assert.equal(new History([]).lastRevision, 0);
  assert.equal(new History([]).isSettledAt(-1), false);
});
