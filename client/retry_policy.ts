import {
  checkBoolean,
  checkDurationMs,
  checkInteger,
  checkOptions,
  describe,
  MAX_TIMER_MS,
} from "./validate.ts";

const DEFAULT_INITIAL_MS = 100;
const DEFAULT_FACTOR = 2;
const DEFAULT_MAX_MS = 60_000;

/** Retries with delays that grow by a factor. */
export interface BackoffRetryPolicy {
  /** How often to try in all, the first attempt included; 1 never retries, `Infinity` never stops. */
  readonly attempts: number;
  /** The delay before the second attempt, in milliseconds. @default 100 */
  readonly initialMs?: number | undefined;
  /** What each delay is multiplied by for the next. @default 2 */
  readonly factor?: number | undefined;
  /** The longest delay, in milliseconds. @default 60000 */
  readonly maxMs?: number | undefined;
  /** Whether each delay is drawn from its upper half, so that clients spread. @default true */
  readonly jitter?: boolean | undefined;
}

/** Retries with the delays as listed. */
export interface DelaysRetryPolicy {
  /** The delay before each retry in milliseconds: n delays make n + 1 attempts. */
  readonly delaysMs: readonly number[];
}

/**
 * When and how often something is tried again.
 *
 * @example
 * ```ts
 * import type { RetryPolicy } from "@x/jsflow/client";
 *
 * const five: RetryPolicy = { attempts: 5, initialMs: 200, maxMs: 5_000 };
 * const listed: RetryPolicy = { delaysMs: [100, 1_000, 5_000] }; // four attempts
 * console.log(five, listed);
 * ```
 */
export type RetryPolicy = BackoffRetryPolicy | DelaysRetryPolicy;

/**
 * Returns `policy` once it is known to be sound; `name` is how the error calls it.
 *
 * @throws {TypeError} when a field has the wrong type, is unknown, or both forms are mixed.
 * @throws {RangeError} when a number is out of range.
 */
export function validateRetryPolicy(name: string, policy: RetryPolicy): RetryPolicy {
  if (typeof policy !== "object" || policy === null || Array.isArray(policy)) {
    throw new TypeError(
      `${name} must be { attempts, ... } or { delaysMs }, got ${describe(policy)}`,
    );
  }
  if ("delaysMs" in policy) validateDelays(name, policy);
  else validateBackoff(name, policy);
  return policy;
}

function validateDelays(name: string, policy: DelaysRetryPolicy): void {
  checkOptions(name, policy, ["delaysMs"]);
  if (!Array.isArray(policy.delaysMs)) {
    throw new TypeError(`${name}.delaysMs must be an array, got ${describe(policy.delaysMs)}`);
  }
  for (const [index, delay] of policy.delaysMs.entries()) {
    checkDurationMs(`${name}.delaysMs[${index}]`, delay);
  }
}

function validateBackoff(name: string, policy: BackoffRetryPolicy): void {
  checkOptions(name, policy, ["attempts", "initialMs", "factor", "maxMs", "jitter"]);
  const { attempts, initialMs, factor, maxMs, jitter } = policy;
  if (attempts !== Infinity) checkInteger(`${name}.attempts`, attempts, { min: 1 });
  if (initialMs !== undefined) checkDurationMs(`${name}.initialMs`, initialMs);
  if (maxMs !== undefined) checkDurationMs(`${name}.maxMs`, maxMs);
  if (factor !== undefined) checkFactor(`${name}.factor`, factor);
  if (jitter !== undefined) checkBoolean(`${name}.jitter`, jitter);
}

function checkFactor(name: string, value: unknown): void {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, got ${describe(value)}`);
  }
  if (!(value >= 1 && value <= 1000)) {
    throw new RangeError(`${name} must be from 1 to 1000, got ${value}`);
  }
}

/**
 * Returns how long to wait before the next attempt, or `undefined` when none is left.
 *
 * `failedAttempts` counts the attempts made so far, all of which failed. With jitter, the delay is
 * drawn from the upper half of its full length by `random`, a source of numbers in [0, 1). The
 * policy is expected to be valid: check it once with {@link validateRetryPolicy}.
 *
 * @throws {RangeError} when `failedAttempts` is not an integer of at least 1.
 *
 * @example
 * ```ts
 * import { retryDelayMs } from "@x/jsflow/client";
 *
 * const policy = { attempts: 3, initialMs: 100, jitter: false };
 * console.log(retryDelayMs(policy, 1, Math.random)); // 100
 * console.log(retryDelayMs(policy, 2, Math.random)); // 200
 * console.log(retryDelayMs(policy, 3, Math.random)); // undefined
 * ```
 */
export function retryDelayMs(
  policy: RetryPolicy,
  failedAttempts: number,
  random: () => number,
): number | undefined {
  checkInteger("failedAttempts", failedAttempts, { min: 1 });
  if ("delaysMs" in policy) return policy.delaysMs[failedAttempts - 1];
  if (failedAttempts >= policy.attempts) return undefined;
  const { initialMs = DEFAULT_INITIAL_MS, factor = DEFAULT_FACTOR } = policy;
  const { maxMs = DEFAULT_MAX_MS, jitter = true } = policy;
  // 0 * Infinity is NaN: a policy without an initial delay has none later either.
  const full = initialMs === 0 ? 0 : Math.min(initialMs * factor ** (failedAttempts - 1), maxMs);
  const drawn = jitter ? full / 2 + random() * (full / 2) : full;
  return Math.min(Math.round(drawn), MAX_TIMER_MS);
}
