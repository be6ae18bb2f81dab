/** What a breaker does: lets all through, nothing, or one probe. */
export type BreakerState = "closed" | "half-open" | "open";

/** A failure, and when it happened. */
export interface Failure {
  /** When. */
  readonly at: Date;
  /** What. */
  readonly error: Error;
}

/**
 * The breaker of a client, to look at.
 *
 * It opens after a number of failures in a row that are faults of the connection or of JetStream
 * as a whole, and lets a probe through after a delay that doubles with each probe that fails. An
 * error that a server answers (a missing stream, a conflict, no responders) shows that both
 * work, and counts as a success. Wrong arguments, data that does not decode, aborted calls and
 * time-outs of other services count as neither. A connection that comes back closes a breaker that
 * the connection had opened, and lets a probe through at once when JetStream had. A call with
 * `bypassBreaker` is never refused; its outcome counts, but a success of it closes no open breaker.
 *
 * It is no part of `Client.status`: without a connection calls fail with `NotConnectedError`
 * whatever the breaker says, and with `CircuitOpenError` only when there is a connection.
 */
export interface Breaker {
  /** Its state now; always `closed` when the breaker is switched off. */
  readonly state: BreakerState;
  /** Failures in a row up to now. */
  readonly failures: number;
  /** Milliseconds until a probe is let through; 0 when it is not open, or a probe is due. */
  readonly retryAfterMs: number;
  /** The last failure that counted; it stays when the breaker closes again. */
  readonly lastFailure: Failure | undefined;
}
