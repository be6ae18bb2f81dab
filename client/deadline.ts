import { JsflowError } from "./errors.ts";

/** The bounds of one wait. */
export interface DeadlineOptions {
  /** Gives up with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Gives up after this many milliseconds. */
  readonly timeoutMs: number;
  /** Makes the error for a wait that took too long. */
  readonly onTimeout: () => Error;
  /** Its signal is the one that `work` gets: for one who may end it as well. @default a new one */
  readonly controller?: AbortController | undefined;
}

/**
 * Runs `work` under one signal that aborts at the deadline or with the caller's signal.
 *
 * Rejects as soon as that signal aborts, even when `work` ignores it; nothing stays behind on the
 * caller's signal or in the timer queue.
 *
 * @throws the caller's abort reason, the error of `onTimeout`, or what `work` rejects with.
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal: outer, timeoutMs, onTimeout, controller = new AbortController() } = options;
  outer?.throwIfAborted();
  const abort = () => controller.abort(outer?.reason);
  const timer = setTimeout(() => controller.abort(onTimeout()), timeoutMs);
  outer?.addEventListener("abort", abort, { once: true });
  try {
    return await untilAborted(work(controller.signal), controller.signal);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
  }
}

/**
 * Waits for a promise that others may share, until the signal aborts.
 *
 * The promise itself goes on; if it rejects later, that rejection counts as handled.
 *
 * @throws the signal's reason, or what the promise rejects with.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** Tells whether a wait ended with its caller's own abort, whose reason is passed on as it is. */
export function isReason(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && error === signal.reason;
}

/** Makes the error of a wait that took too long; `action` completes "cannot …". */
export function timeoutError(action: string, timeoutMs: number): JsflowError {
  return new JsflowError(
    "timeout",
    `cannot ${action}: no answer within ${timeoutMs} ms; check the server's load and the network, ` +
      "or wait longer",
  );
}
