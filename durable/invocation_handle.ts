import type { JournalEvent } from "./journal_event.ts";
import type { InvocationSummary } from "./summary.ts";

/** How long a call on a handle waits. */
export interface WaitOptions {
  /** Gives up with the signal's reason when it aborts; the invocation goes on. */
  readonly signal?: AbortSignal | undefined;
  /** Gives up after this many milliseconds; the invocation goes on. */
  readonly timeoutMs?: number | undefined;
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
  /** Where the invocation stands, read from its journal; by default waits up to 10 seconds. */
  status(options?: WaitOptions): Promise<InvocationSummary>;
  /** What the journal holds now, in order. */
  journal(options?: WaitOptions): AsyncIterable<JournalEvent>;
  /**
   * Stops it before its next durable operation. Resolves when the request is in the journal.
   *
   * @throws {JsflowError} `timeout` after 10 seconds by default, for instance while no worker runs;
   * the request stays queued.
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
   * the request is in the journal.
   *
   * @throws {JsflowError} `timeout` as for `pause`.
   */
  cancel(options?: WaitOptions & { readonly reason?: string | undefined }): Promise<void>;
}
