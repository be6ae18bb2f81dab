import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { beatEveryMs, Patience, type Sighting, sureForMs } from "./_lease.ts";

const seen = (sign: number, leaseMs = 1_000): Sighting => ({ holder: "a", sign, leaseMs });

test("a holder is sure for less than its lease after it sent its last sign of life", () => {
  const tenure = { sentAt: 5_000, leaseMs: 1_000 };
  assert.equal(sureForMs(tenure, 5_000), 900);
  assert.equal(sureForMs(tenure, 5_899), 1);
  assert.equal(sureForMs(tenure, 5_900), 0);
  assert.ok(3 * beatEveryMs(1_000) <= 1_000);
});

test("a holder may be replaced after its lease and a margin without a new sign of life", () => {
  const patience = new Patience();
  patience.observe([seen(1)], 0);
  assert.equal(Math.round(patience.remainingMs(seen(1), 0)), 1_100);
  patience.observe([seen(1)], 1_000);
  assert.equal(Math.round(patience.remainingMs(seen(1), 1_000)), 100);
  assert.ok(patience.remainingMs(seen(1), 1_101) <= 0);
  patience.observe([seen(2)], 1_101);
  assert.equal(Math.round(patience.remainingMs(seen(2), 1_101)), 1_100);
  patience.observe([seen(2)], 2_200);
  assert.equal(Math.round(patience.remainingMs(seen(2), 2_200)), 1);
});

test("a holder that was never seen gets its whole lease, whatever the clock says", () => {
  const patience = new Patience();
  patience.observe([seen(1)], 0);
  assert.equal(Math.round(patience.remainingMs({ ...seen(1), holder: "b" }, 9e9)), 1_100);
  assert.equal(Math.round(patience.remainingMs(seen(7), 9e9)), 1_100);
});

test("holders are told apart, and those who left are forgotten", () => {
  const patience = new Patience();
  const other = { ...seen(1), holder: "b" };
  patience.observe([seen(1), other], 0);
  patience.observe([other], 600);
  patience.observe([seen(1), other], 1_200);
  assert.ok(patience.remainingMs(other, 1_200) <= 0);
  assert.equal(Math.round(patience.remainingMs(seen(1), 1_200)), 1_100);
});

/** What a contender sees and a holder does, in true time. */
const story = fc.record({
  leaseMs: fc.integer({ min: 100, max: 60_000 }),
  // Clocks differ in their origin, and run up to 4 percent too fast or too slow.
  holderRate: fc.double({ min: 0.96, max: 1.04, noNaN: true }),
  contenderRate: fc.double({ min: 0.96, max: 1.04, noNaN: true }),
  contenderOrigin: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
  // Each sign of life: a pause before, the time until it is stored, until the contender sees it.
  beats: fc.array(
    fc.record({
      pause: fc.double({ min: 0, max: 1, noNaN: true }),
      stored: fc.double({ min: 0, max: 2, noNaN: true }),
      seen: fc.double({ min: 0, max: 2, noNaN: true }),
    }),
    { minLength: 1, maxLength: 10 },
  ),
});

test("nobody is replaced while it can be sure, however late signs and sightings come", () => {
  fc.assert(fc.property(story, ({ leaseMs, holderRate, contenderRate, contenderOrigin, beats }) => {
    const patience = new Patience();
    const contenderClock = (at: number) => contenderOrigin + at * contenderRate;
    let sentAt = 0;
    let lastStored = 0;
    let lastSeen = 0;
    for (const [index, beat] of beats.entries()) {
      sentAt += beat.pause * leaseMs;
      lastStored = Math.max(lastStored, sentAt) + beat.stored * leaseMs;
      lastSeen = Math.max(lastSeen, lastStored) + beat.seen * leaseMs;
      patience.observe([seen(index, leaseMs)], contenderClock(lastSeen));
    }
    // The compare-and-set lets a contender succeed with the last sign that was stored only.
    const last = seen(beats.length - 1, leaseMs);
    const remaining = patience.remainingMs(last, contenderClock(lastSeen));
    const replacedAt = lastSeen + remaining / contenderRate;
    const tenure = { sentAt: sentAt * holderRate, leaseMs };
    assert.ok(sureForMs(tenure, replacedAt * holderRate) < 0);
  }));
});
