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

/** Tells whether something is worth another try after this failure. */
export function isPassing(error: unknown): boolean {
  return isJsflowError(error) && PASSING.has(error.code);
}
