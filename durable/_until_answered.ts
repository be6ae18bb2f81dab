import type { Clock } from "../client/clock.ts";
import { untilAborted } from "../client/deadline.ts";
import { JsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";

/** What waiting needs. */
export interface Patience {
  readonly clock: Clock;
  readonly random: () => number;
  /** Hears of each failure that is waited out. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

/** Pause between tries while the server can't be reached or answers with old data. */
const RETRY: RetryPolicy = { attempts: Infinity, initialMs: 10, factor: 2, maxMs: 1_000 };

/** Codes of failures that no repetition mends. */
const FINAL: ReadonlySet<JsflowErrorCode> = new Set(
  ["connection_closed", "payload_too_large", "permission_denied", "stream_not_found"] as const,
);

/** False for failures of the moment: the server restarts, a leader is elected, an ack was lost. */
export function isFinal(error: unknown): boolean {
  return !(error instanceof JsflowError) || FINAL.has(error.code);
}

/** Pauses before try `failures + 1`. */
export async function pauseAfter(
  failures: number,
  { clock, random }: Patience,
  signal: AbortSignal,
): Promise<void> {
  await clock.sleep(retryDelayMs(RETRY, failures, random) ?? 0, signal);
}

/**
 * Repeats a request that may be repeated until the server answers it.
 *
 * @throws {JsflowError} failures that no repetition mends; the signal's reason.
 */
export async function untilAnswered<T>(
  patience: Patience,
  signal: AbortSignal,
  request: () => Promise<T>,
): Promise<T> {
  for (let failures = 1;; failures++) {
    signal.throwIfAborted();
    try {
      return await untilAborted(request(), signal);
    } catch (error) {
      if (isFinal(error)) throw error;
      patience.onFailure?.(error);
    }
    await pauseAfter(failures, patience, signal);
  }
}
