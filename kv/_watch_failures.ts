import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";

/** Failures that pass, so that another attempt makes sense. */
const PASSING: readonly JsflowErrorCode[] = [
  "buffer_full",
  "circuit_open",
  "connection_refused",
  "connection_timeout",
  "consumer_not_found",
  "jetstream_unavailable",
  "no_responders",
  "not_connected",
  "stream_not_found",
  "timeout",
];
/** Failures that no other attempt will mend, even if it worked before. */
const FATAL: readonly JsflowErrorCode[] = [
  "bucket_not_found",
  "connection_closed",
  "permission_denied",
  "unsupported",
];

/** Tells whether a failure ends a watch; what never worked has to fail for a passing reason. */
export function isFatal(error: unknown, worked: boolean): boolean {
  if (!isJsflowError(error) || FATAL.includes(error.code)) return true;
  return !worked && !PASSING.includes(error.code);
}

/** Tells whether the server could not be told something, but may be later. */
export function isUnheard(error: unknown): boolean {
  if (isJsflowError(error, "stream_not_found") || isJsflowError(error, "consumer_not_found")) {
    return false;
  }
  return isJsflowError(error) && PASSING.includes(error.code);
}
