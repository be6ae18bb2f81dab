import { JsflowError } from "../client/errors.ts";
import { describe } from "../client/validate.ts";

/** What is stored of a blob is not what was put there; `code` is `decode_failed`. */
export class BlobDamagedError extends JsflowError {
  /** The bucket. */
  readonly bucket: string;
  /** The blob's name. */
  readonly blob: string;

  /** Builds the error; `why` completes "cannot read … of bucket …: ". */
  constructor(
    bucket: string,
    { blob, why }: { readonly blob: string; readonly why: string },
    options?: { cause?: unknown },
  ) {
    super(
      "decode_failed",
      `cannot read ${describe(blob)} of bucket ${bucket}: ${why}; put it again from its source`,
      options,
    );
    this.name = "BlobDamagedError";
    this.bucket = bucket;
    this.blob = blob;
  }
}
