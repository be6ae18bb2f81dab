import type { JournalEvent } from "./journal_event.ts";
import type { InvocationSummary } from "./summary.ts";

/** Milliseconds that a call waits for the server unless it says otherwise. */
export const DEFAULT_CALL_TIMEOUT_MS = 10_000;

/** How long a call on a handle waits. */
export interface WaitOptions {
  /** Gives up with the signal's reason when it aborts; the invocation goes on. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Gives up after this many milliseconds; the invocation goes on.
   * @default no limit for `result`, 10000 for everything else
   */
  readonly timeoutMs?: number | undefined;
}

/** Settings of a cancellation. */
export interface CancelOptions extends WaitOptions {
  /** Why, at most 1,000 characters. @default "" */
  readonly reason?: string | undefined;
}

/** One invocation of a workflow, seen from outside. */
export interface InvocationHandle<O> {
  /** Name of the workflow. */
  readonly workflow: string;
  /** Id of the invocation. */
  readonly id: string;
  /**
   * Waits for the end and returns the result; for ever unless told otherwise.
   *
   * Blocked, parked and paused invocations are waited for, since they can be resumed.
   *
   * @throws {InvocationFailedError} when it failed.
   * @throws {JsflowError} `invocation_cancelled`; `timeout`; `decode_failed` when the result is not
   * what the workflow's codec expects; the signal's reason.
   */
  result(options?: WaitOptions): Promise<O>;
  /**
   * Where the invocation stands, read from its journal.
   *
   * @throws {JsflowError} `invocation_not_found` when it was never started, or was removed; `timeout`;
   * the signal's reason.
   */
  status(options?: WaitOptions): Promise<InvocationSummary>;
  /**
   * What the journal holds, in order, up to its end. `timeoutMs` is for each record.
   *
   * @throws {JsflowError} `journal_corrupt` at a record that can't be read; `timeout`; the signal's
   * reason.
   */
  journal(options?: WaitOptions): AsyncIterable<JournalEvent>;
  /**
   * Stops it before its next durable operation. Resolves when the request is in the journal.
   *
   * @throws {JsflowError} `timeout`, for instance while no worker runs; the request stays queued.
   */
  pause(options?: WaitOptions): Promise<void>;
  /**
   * Lets a paused, blocked or parked invocation go on. Resolves when the request is in the journal.
   *
   * @throws {JsflowError} `timeout` as for `pause`.
   */
  resume(options?: WaitOptions): Promise<void>;
  /**
   * Makes its next durable operation throw, and aborts the signals of running steps. Resolves when
   * the request is in the journal. An id that was not started yet is cancelled for good: whoever
   * starts it later is told that it was cancelled.
   *
   * @throws {JsflowError} `timeout` as for `pause`.
   */
  cancel(options?: CancelOptions): Promise<void>;
}
