import type { WaitBounds } from "../client/call_options.ts";
import type { RetryPolicy } from "../client/retry_policy.ts";

/** A span of time in which one process leads. */
export interface Term {
  /** Larger than the tokens of all terms before; for what the leader protects to compare. */
  readonly token: number;
  /**
   * Aborts with a JsflowError `lease_lost` as soon as somebody else may lead, and when the election
   * is closed.
   */
  readonly signal: AbortSignal;
  /** Whether the term goes on for sure, by a look at the clock. */
  readonly isHeld: boolean;
}

/**
 * What happened to a candidate.
 *
 * `elected`: it leads. `lost`: somebody else may lead; `error` says why. `resigned`: it has handed
 * the leadership over. `failed`: its function threw `error`.
 */
export type ElectionEvent =
  | { readonly type: "elected" | "resigned"; readonly token: number }
  | { readonly type: "failed" | "lost"; readonly token: number; readonly error: unknown };

/** How a process stands for election. */
export interface ElectionOptions {
  /**
   * Milliseconds without a sign of life after which another one is elected, at least 100.
   * @default 15000
   */
  readonly leaseMs?: number | undefined;
  /**
   * What the leader does; called once for each term, and never while the call before still runs.
   * When it returns although the term goes on, its work is done and the election closes. When it
   * throws, the leadership is handed over and this process stands again after a pause.
   * @default nothing: look at `term` and events instead
   */
  readonly lead?: ((term: Term) => void | Promise<void>) | undefined;
  /**
   * Pauses after `lead` failed; once no attempt is left, the election ends with its error. Failures
   * are forgotten when a term has lasted a minute.
   * @default any number of attempts, 1 to 30 seconds
   */
  readonly retry?: RetryPolicy | undefined;
  /**
   * Milliseconds that `lead` may take to end once the election closes; the leadership is kept
   * meanwhile.
   * @default 10000
   */
  readonly graceMs?: number | undefined;
  /** Closes the election when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** A process that stands for election, until it is closed. */
export interface Election extends AsyncDisposable {
  /** What is led. */
  readonly name: string;
  /** The present term of this process; undefined when it does not lead. */
  readonly term: Term | undefined;
  /** Whether this process leads for sure, by a look at the clock. */
  readonly isLeader: boolean;
  /** The signal of the present term; one that has aborted when this process does not lead. */
  readonly signal: AbortSignal;
  /** Resolves when the election is closed; rejects with what ended it else. */
  readonly closed: Promise<void>;
  /**
   * Waits until this process leads; without a `timeoutMs`, until the signal aborts.
   *
   * @throws {JsflowError} `timeout`; `connection_closed` when the election ends.
   * @throws the signal's reason when it aborts.
   */
  elected(options?: WaitBounds): Promise<Term>;
  /** Calls a function at each event, in their order; returns the function that ends that. */
  onEvent(listener: (event: ElectionEvent) => void): () => void;
  /**
   * Stands for election no more. Ends the term, lets `lead` finish for `graceMs`, hands over.
   * Idempotent.
   */
  close(): Promise<void>;
}
