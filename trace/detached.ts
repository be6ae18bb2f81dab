import { checkIsFunction, checkKnownKeys, kindOf } from "./_checks.ts";

/** The longest delay that timers can hold: about 24.8 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The bounds of {@link detached} work. */
export interface DetachedOptions {
  /** Milliseconds that the work may take, from now, at least 1. */
  readonly timeoutMs: number;
  /** Ends the work early: the signal of a shutdown, not that of the work it detaches from. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a function that goes on when the work around it is cancelled or out of time.
 *
 * It keeps the current trace, and has a deadline of its own: for what must still be said then, such
 * as a reply that reports the failure. Rejects as soon as the deadline has passed or the signal of
 * the options aborts, even when `work` ignores its signal; no timer or listener stays behind.
 *
 * @throws {TypeError | RangeError} for misuse, before `work` runs.
 * @throws a `DOMException` named `TimeoutError` at the deadline, the reason of the signal, or what
 * `work` throws.
 * @example
 * ```ts
 * import { detached } from "@x/jsflow/trace";
 *
 * const outer = AbortSignal.abort(new Error("the handler is out of time"));
 * const said = await detached({ timeoutMs: 1_000 }, async (signal) => {
 *   signal.throwIfAborted(); // it is not that of the handler
 *   return "the reply that reports the failure";
 * });
 * console.log(outer.aborted, said);
 * ```
 */
export async function detached<T>(
  options: DetachedOptions,
  work: (signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  const { timeoutMs, signal: outer } = checkDetachedOptions(options);
  checkIsFunction("work", work);
  outer?.throwIfAborted();
  const controller = new AbortController();
  const { signal } = controller;
  const abort = () => controller.abort(outer?.reason);
  const timer = setTimeout(() => controller.abort(outOfTime(timeoutMs)), timeoutMs);
  outer?.addEventListener("abort", abort, { once: true });
  try {
    return await new Promise<T>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      // Called here, not in a later turn: it starts in the trace of the caller.
      Promise.resolve(work(signal)).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
  }
}

function checkDetachedOptions(options: DetachedOptions): DetachedOptions {
  const { timeoutMs, signal } = checkKnownKeys<DetachedOptions>("detached", options, [
    "timeoutMs",
    "signal",
  ]);
  if (typeof timeoutMs !== "number") {
    throw new TypeError(`timeoutMs must be a number of milliseconds, got ${kindOf(timeoutMs)}`);
  }
  if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMER_MS)) {
    throw new RangeError(`timeoutMs must be from 1 to ${MAX_TIMER_MS} ms, got ${timeoutMs}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`signal must be an AbortSignal, got ${kindOf(signal)}`);
  }
  return { timeoutMs, signal };
}

function outOfTime(timeoutMs: number): DOMException {
  return new DOMException(
    `cannot finish the detached work: no result within ${timeoutMs} ms; allow it more time`,
    "TimeoutError",
  );
}
