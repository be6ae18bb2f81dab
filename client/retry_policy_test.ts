import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { retryDelayMs, type RetryPolicy, validateRetryPolicy } from "./retry_policy.ts";

const half = () => 0.5;

test("attempts include the first", () => {
  const policy: RetryPolicy = { attempts: 3, initialMs: 10, jitter: false };
  assert.deepEqual([1, 2, 3, 4].map((n) => retryDelayMs(policy, n, half)), [
    10,
    20,
    undefined,
    undefined,
  ]);
  assert.equal(retryDelayMs({ attempts: 1 }, 1, half), undefined);
});

test("listed delays are used as they stand", () => {
  const policy: RetryPolicy = { delaysMs: [5, 0, 7] };
  assert.deepEqual([1, 2, 3, 4].map((n) => retryDelayMs(policy, n, half)), [5, 0, 7, undefined]);
  assert.equal(retryDelayMs({ delaysMs: [] }, 1, half), undefined);
});

test("defaults are 100 ms, doubled, at most 60 s, with jitter from the upper half", () => {
  const policy: RetryPolicy = { attempts: Infinity };
  assert.equal(retryDelayMs(policy, 1, () => 0), 50);
  assert.equal(retryDelayMs(policy, 1, () => 0.999999), 100);
  assert.equal(retryDelayMs({ ...policy, jitter: false }, 4, half), 800);
  assert.equal(retryDelayMs({ ...policy, jitter: false }, 1_000_000, half), 60_000);
});

test("an explicit undefined does not erase a default", () => {
  const policy: RetryPolicy = {
    attempts: 9,
    initialMs: undefined,
    factor: undefined,
    maxMs: undefined,
    jitter: undefined,
  };
  validateRetryPolicy("retry", policy);
  assert.equal(retryDelayMs(policy, 2, () => 0), 100);
});

test("no initial delay means none later", () => {
  const policy: RetryPolicy = { attempts: Infinity, initialMs: 0 };
  assert.equal(retryDelayMs(policy, 5_000, half), 0);
});

test("every delay is an integer within the bound and attempts end", () => {
  const policies = fc.record({
    attempts: fc.integer({ min: 1, max: 50 }),
    initialMs: fc.integer({ min: 0, max: 100_000 }),
    factor: fc.double({ min: 1, max: 1000, noNaN: true }),
    maxMs: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    jitter: fc.boolean(),
  });
  fc.assert(
    fc.property(policies, fc.integer({ min: 1, max: 60 }), (policy, failed) => {
      validateRetryPolicy("retry", policy);
      const delay = retryDelayMs(policy, failed, Math.random);
      if (failed >= policy.attempts) return delay === undefined;
      return delay !== undefined && Number.isInteger(delay) && delay >= 0 && delay <= policy.maxMs;
    }),
  );
});

test("validation refuses what makes no sense, by name", () => {
  const ranges: unknown[] = [
    { attempts: 0 },
    { attempts: 1.5 },
    { attempts: NaN },
    { attempts: 1, initialMs: -1 },
    { attempts: 1, maxMs: 2 ** 31 },
    { attempts: 1, factor: 0.5 },
    { attempts: 1, factor: NaN },
    { delaysMs: [1, -1] },
  ];
  for (const policy of ranges) {
    assert.throws(() => validateRetryPolicy("retry", policy as RetryPolicy), RangeError);
  }
  const types: unknown[] = [
    undefined,
    null,
    3,
    [],
    {},
    { attempts: "3" },
    { attempts: 1, jitter: 1 },
    { attempts: 1, factor: "2" },
    { delaysMs: 5 },
    { delaysMs: ["5"] },
    { attempts: 1, delaysMs: [] },
    { attempts: 1, retries: 3 },
  ];
  for (const policy of types) {
    assert.throws(() => validateRetryPolicy("retry", policy as RetryPolicy), TypeError);
  }
  assert.throws(
    () => validateRetryPolicy("connect: retry", { delaysMs: [1, -2] }),
    /connect: retry\.delaysMs\[1\] must be from 0/,
  );
});

test("the count of failed attempts starts at one", () => {
  assert.throws(() => retryDelayMs({ attempts: 3 }, 0, half), RangeError);
});
