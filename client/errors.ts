/**
 * What went wrong, as a closed list that a `switch` can exhaust.
 *
 * - Connection: `not_connected`, `connection_refused` (nothing answers at the address),
 *   `connection_timeout` (something answers, but not a NATS server in time), `connection_closed`,
 *   `authorization`, `permission_denied`, `server_too_old`, `circuit_open` (the breaker lets nothing
 *   through for a while), `buffer_full` (too much waits for the connection already).
 * - JetStream: `jetstream_disabled` (it is switched off), `jetstream_unavailable` (it is on, but
 *   does not answer now), `unsupported` (the server lacks a feature), `unsafe_cas` (the server
 *   cannot fence concurrent writers).
 * - Requests: `timeout`, `no_responders`, `payload_too_large`, `remote_error` (the handler on the
 *   other side failed), `nats` (any other NATS error).
 * - Data: `encode_failed`, `decode_failed`, `invalid_payload` (a schema rejects it).
 * - Stored things: `stream_not_found`, `consumer_not_found`, `message_not_found`, `config_drift`,
 *   `sequence_conflict`.
 * - Keys: `bucket_not_found`, `key_not_found`, `key_exists`, `revision_conflict`,
 *   `retries_exhausted` (every attempt met a newer revision), `outcome_unknown` (a write may have
 *   been applied: no answer came in time, or what happened since hides it).
 * - Coordination: `lease_lost` (what was held may be somebody else's by now).
 * - Durable execution: `terminal`, `step_failed`, `unknown_workflow`, `invocation_failed`,
 *   `invocation_cancelled`, `invocation_not_found`, `journal_corrupt`, `fenced`.
 */
export type JsflowErrorCode =
  | "authorization"
  | "bucket_not_found"
  | "buffer_full"
  | "circuit_open"
  | "config_drift"
  | "connection_closed"
  | "connection_refused"
  | "connection_timeout"
  | "consumer_not_found"
  | "decode_failed"
  | "encode_failed"
  | "fenced"
  | "invalid_payload"
  | "invocation_cancelled"
  | "invocation_failed"
  | "invocation_not_found"
  | "jetstream_disabled"
  | "jetstream_unavailable"
  | "journal_corrupt"
  | "key_exists"
  | "key_not_found"
  | "lease_lost"
  | "message_not_found"
  | "nats"
  | "no_responders"
  | "not_connected"
  | "outcome_unknown"
  | "payload_too_large"
  | "permission_denied"
  | "remote_error"
  | "retries_exhausted"
  | "revision_conflict"
  | "sequence_conflict"
  | "server_too_old"
  | "step_failed"
  | "stream_not_found"
  | "terminal"
  | "timeout"
  | "unknown_workflow"
  | "unsafe_cas"
  | "unsupported";

/**
 * The root of every error that jsflow raises for a reason outside the calling code.
 *
 * `code` says what happened, the message says what was attempted and what to do, and `cause` holds
 * the original error when there was one. Misuse of the library (a wrong type, a value out of
 * range) is a `TypeError` or `RangeError` instead, thrown before any I/O.
 *
 * @example
 * ```ts
 * import { isJsflowError, JsflowError } from "@x/jsflow/client";
 *
 * const error: unknown = new JsflowError("timeout", "cannot reach the server: no answer");
 * if (isJsflowError(error, "timeout")) console.log(error.message);
 * ```
 */
export class JsflowError extends Error {
  /** What went wrong. */
  readonly code: JsflowErrorCode;

  /** Builds an error; `options.cause` is the error that led to it. */
  constructor(code: JsflowErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "JsflowError";
    this.code = code;
  }
}

/**
 * Tells whether a caught value is a {@link JsflowError}, and of the given code when one is given.
 *
 * @example
 * ```ts
 * import { isJsflowError } from "@x/jsflow/client";
 *
 * try {
 *   throw new Error("other");
 * } catch (error) {
 *   if (!isJsflowError(error, "sequence_conflict")) console.log("not a conflict");
 * }
 * ```
 */
export function isJsflowError(error: unknown, code?: JsflowErrorCode): error is JsflowError {
  return error instanceof JsflowError && (code === undefined || error.code === code);
}
