import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { type Arrival, type GcraRules, judge } from "./_gcra.ts";

const START = 1_700_000_000_000;
const DAY_MS = 86_400_000;

const rules: fc.Arbitrary<GcraRules> = fc.record({
  limit: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 1_000_000 })),
  periodMs: fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 1, max: DAY_MS })),
  burst: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 1_000_000 })),
});

/** A bucket of tokens that fills evenly, in units of which `limit` make up a millisecond. */
class TokenBucket {
  readonly #rules: GcraRules;
  readonly #capacity: bigint;
  #level: bigint;
  #at = BigInt(START);

  constructor(given: GcraRules) {
    this.#rules = given;
    this.#level = this.#capacity = BigInt(given.burst) * BigInt(given.periodMs);
  }

  take(cost: number, now: number) {
    const { limit, periodMs } = this.#rules;
    const filled = this.#level + (BigInt(now) - this.#at) * BigInt(limit);
    this.#level = filled < this.#capacity ? filled : this.#capacity;
    this.#at = BigInt(now);
    const price = BigInt(cost) * BigInt(periodMs);
    const isAllowed = price <= this.#level;
    const missing = price - this.#level;
    if (isAllowed) this.#level -= price;
    return {
      isAllowed,
      remaining: Number(this.#level / BigInt(periodMs)),
      retryAfterMs: isAllowed ? 0 : Number((missing + BigInt(limit) - 1n) / BigInt(limit)),
    };
  }
}

test("a limit judges as a bucket of tokens does", () => {
  const steps = fc.array(
    fc.record({
      pause: fc.double({ min: 0, max: 3, noNaN: true }),
      share: fc.double({ noNaN: true, min: 0, max: 1 }),
    }),
    { maxLength: 60 },
  );
  fc.assert(fc.property(rules, steps, (given, taken) => {
    const model = new TokenBucket(given);
    let stored: Arrival | undefined;
    let now = START;
    for (const { pause, share } of taken) {
      now += Math.floor(pause * given.periodMs / given.limit * given.burst / 10);
      const cost = Math.max(1, Math.round(share * share * given.burst));
      const { next, ...verdict } = judge(stored, given, { cost, now, maxAheadMs: 0 });
      assert.deepEqual(verdict, model.take(cost, now));
      stored = next ?? stored;
    }
  }));
});

test("who waits for as long as it is told is let through, and not a moment before", () => {
  const debts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
    minLength: 1,
    maxLength: 20,
  });
  fc.assert(fc.property(rules, debts, (given, shares) => {
    let stored: Arrival | undefined;
    for (const share of shares) {
      const cost = Math.max(1, Math.round(share * given.burst));
      const taking = { cost, now: START, maxAheadMs: 0 };
      const { isAllowed, retryAfterMs, next } = judge(stored, given, taking);
      if (!isAllowed) {
        const later = (ms: number) =>
          judge(stored, given, { ...taking, now: START + ms }).isAllowed;
        assert.equal(later(retryAfterMs), true);
        assert.equal(later(retryAfterMs - 1), false);
      }
      stored = next ?? stored;
    }
  }));
});

test("clocks that differ shift a limit by their difference at most", () => {
  const small = fc.record({
    limit: fc.integer({ min: 1, max: 20 }),
    periodMs: fc.integer({ min: 1, max: 1_000 }),
    burst: fc.integer({ min: 1, max: 20 }),
  });
  const steps = fc.array(
    fc.record({
      pause: fc.integer({ min: 0, max: 50 }),
      clock: fc.integer({ min: 0, max: 2 }),
      cost: fc.integer({ min: 1, max: 3 }),
    }),
    { minLength: 1, maxLength: 200 },
  );
  const offsets = fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: -500, max: 500 })));
  fc.assert(fc.property(small, offsets, steps, (given, clocks, taken) => {
    const apart = Math.max(...clocks) - Math.min(...clocks);
    let stored: Arrival | undefined;
    let real = START;
    let sum = 0;
    for (const { pause, clock, cost } of taken) {
      real += pause;
      const taking = { cost, now: real + clocks[clock]!, maxAheadMs: apart };
      const { isAllowed, next } = judge(stored, given, taking);
      stored = next ?? stored;
      if (isAllowed) sum += cost;
      const elapsed = real - START + apart;
      assert.ok(sum <= given.burst + elapsed * given.limit / given.periodMs);
    }
  }));
});

test("what a wrong clock left behind blocks nobody for longer than the bucket takes to fill", () => {
  const given = { limit: 10, periodMs: 1_000, burst: 5 };
  const wrong: Arrival = { ms: START + DAY_MS, part: 0, of: 10 };
  const first = judge(wrong, given, { cost: 1, now: START, maxAheadMs: 60_000 });
  assert.deepEqual(first, {
    isAllowed: false,
    retryAfterMs: 100,
    remaining: 0,
    next: { ms: START + 500, part: 0, of: 10 },
  });
  const taking = { cost: 1, now: START + 100, maxAheadMs: 60_000 };
  assert.equal(judge(first.next, given, taking).isAllowed, true);
  const ahead = { ms: START + 60_500, part: 0, of: 10 };
  const { next, retryAfterMs } = judge(ahead, given, { ...taking, now: START });
  assert.equal(next, undefined, "this much may be");
  assert.equal(retryAfterMs, 60_100);
});

test("another limit takes over what was taken under the old one", () => {
  const old = judge(undefined, { limit: 3, periodMs: 1_000, burst: 3 }, {
    cost: 2,
    now: START,
    maxAheadMs: 0,
  }).next;
  assert.deepEqual(old, { ms: START + 666, part: 2, of: 3 });
  const given = { limit: 10, periodMs: 1_000, burst: 10 };
  const { next, remaining } = judge(old, given, { cost: 1, now: START, maxAheadMs: 0 });
  assert.deepEqual(next, { ms: START + 767, part: 0, of: 10 });
  assert.equal(remaining, 2);
});
