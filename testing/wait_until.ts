import { checkDurationMs, checkFunction, checkOptions, checkSignal } from "../client/validate.ts";

/** How {@link waitUntil} waits. */
export interface WaitUntilOptions {
  /** What is awaited, for the error: "the leader is elected". @default "the condition" */
  readonly what?: string | undefined;
  /** Milliseconds until it gives up. @default 10_000 */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds between the end of one check and the start of the next. @default 20 */
  readonly intervalMs?: number | undefined;
  /** Ends the wait early; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** `T` without the values that mean "not yet". */
export type Truthy<T> = Exclude<T, false | 0 | 0n | "" | null | undefined | void>;

/**
 * Calls a condition until it returns something truthy, and resolves with that.
 *
 * A condition that throws counts as "not yet"; its last error is the `cause` of the time-out.
 * Checks never overlap. A check that never ends is given up on at the time limit.
 *
 * @throws {Error} naming what was awaited, once `timeoutMs` is over
 *
 * @example
 * ```ts
 * import { waitUntil } from "@x/jsflow/testing";
 *
 * const startedAt = Date.now();
 * await waitUntil(() => Date.now() > startedAt + 50, { what: "50 ms are over" });
 * ```
 */
export async function waitUntil<T>(
  condition: () => T | Promise<T>,
  options?: WaitUntilOptions,
): Promise<Truthy<T>> {
  checkFunction("condition", condition);
  const { what = "the condition", timeoutMs = 10_000, intervalMs = 20, signal } = checkOptions(
    "waitUntil",
    options,
    ["what", "timeoutMs", "intervalMs", "signal"],
  );
  checkDurationMs("timeoutMs", timeoutMs);
  checkDurationMs("intervalMs", intervalMs);
  checkSignal("signal", signal)?.throwIfAborted();
  const limit = startLimit(timeoutMs, signal);
  try {
    return await poll(condition, intervalMs, limit);
  } catch (error) {
    if (error !== TIMED_OUT) throw error;
    const cause = limit.lastError;
    const why = cause === undefined ? "" : `: ${cause instanceof Error ? cause.message : cause}`;
    throw new Error(`waited ${timeoutMs} ms until ${what}, in vain${why}`, { cause });
  } finally {
    limit.end();
  }
}

const TIMED_OUT = Symbol("timed out");

interface Limit {
  /** Rejects when the time is over or the signal aborts. */
  readonly over: Promise<never>;
  lastError: unknown;
  isOver(): boolean;
  end(): void;
}

function startLimit(timeoutMs: number, signal: AbortSignal | undefined): Limit {
  const { promise: over, reject } = Promise.withResolvers<never>();
  over.catch(() => {}); // nobody may be waiting when it happens
  let isOver = false;
  const finish = (reason: unknown) => {
    isOver = true;
    reject(reason);
  };
  const timer = setTimeout(() => finish(TIMED_OUT), timeoutMs);
  const onAbort = () => finish(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const end = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  };
  return { over, lastError: undefined, isOver: () => isOver, end };
}

async function poll<T>(
  condition: () => T | Promise<T>,
  intervalMs: number,
  limit: Limit,
): Promise<Truthy<T>> {
  while (!limit.isOver()) {
    try {
      const value = await Promise.race([condition(), limit.over]);
      if (value) return value as Truthy<T>;
    } catch (error) {
      if (limit.isOver()) break;
      limit.lastError = error;
    }
    await pause(intervalMs, limit);
  }
  return await limit.over;
}

async function pause(ms: number, limit: Limit): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const slept = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  try {
    await Promise.race([slept, limit.over]);
  } finally {
    clearTimeout(timer);
  }
}
