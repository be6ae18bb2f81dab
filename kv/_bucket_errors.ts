import { isJsflowError, JsflowError } from "../client/errors.ts";

/** The error of a call to a bucket that does not exist, or does no longer. */
export function bucketNotFound(bucket: string, cause?: unknown): JsflowError {
  return new JsflowError(
    "bucket_not_found",
    `cannot use bucket ${bucket}: it does not exist; check its name, or open it again, which ` +
      "creates it",
    cause === undefined ? undefined : { cause },
  );
}

/** The same error, unless it says that the stream is missing. */
export function bucketError(bucket: string, error: unknown): unknown {
  return isJsflowError(error, "stream_not_found") ? bucketNotFound(bucket, error) : error;
}
