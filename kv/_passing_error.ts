import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";

/** Failures that pass by themselves: the server is away or busy, somebody else was faster. */
const PASSING: ReadonlySet<JsflowErrorCode> = new Set<JsflowErrorCode>([
  "buffer_full",
  "circuit_open",
  "connection_refused",
  "connection_timeout",
  "jetstream_unavailable",
  "key_exists",
  "nats",
  "no_responders",
  "not_connected",
  "outcome_unknown",
  "retries_exhausted",
  "revision_conflict",
  "timeout",
]);

/** Failures that a server has for a moment after its start, and otherwise for good. */
const STARTING_UP: ReadonlySet<JsflowErrorCode> = new Set<JsflowErrorCode>([
  "bucket_not_found",
  "jetstream_disabled",
  "stream_not_found",
]);

/** Tells whether a server may say this only because it has just started. */
export function isStartingUp(error: unknown): boolean {
  return isJsflowError(error) && STARTING_UP.has(error.code);
}

/** Tells whether something is worth another try after this failure. */
export function isPassing(error: unknown): boolean {
  return isJsflowError(error) && PASSING.has(error.code);
}
