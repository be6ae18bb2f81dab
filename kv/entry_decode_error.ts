import { isJsflowError, JsflowError } from "../client/errors.ts";
import { showKey } from "./_show_key.ts";

/** Which revision could not be decoded. */
export interface UndecodedEntry {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key, as it was given to the store. */
  readonly key: string;
  /** The revision that holds it. */
  readonly revision: number;
}

/**
 * A stored value that a watch or a mirror met is not what the codec expects; `code` is
 * `invalid_payload` when a schema rejects it, else `decode_failed`, and `cause` says why.
 *
 * @example
 * ```ts
 * import { EntryDecodeError, type Store } from "@x/jsflow/kv";
 *
 * async function follow(store: Store<number>, from: { afterRevision: number }): Promise<void> {
 *   try {
 *     for await (const { key, value } of store.watch({ from })) console.log(key, value);
 *   } catch (error) {
 *     if (!(error instanceof EntryDecodeError)) throw error;
 *     console.warn(error.message);
 *     await follow(store, { afterRevision: error.revision }); // goes on behind it
 *   }
 * }
 * console.log(follow);
 * ```
 */
export class EntryDecodeError extends JsflowError {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key, as it was given to the store. */
  readonly key: string;
  /** The revision that holds it. */
  readonly revision: number;

  /** Builds the error; `cause` is what the codec threw. */
  constructor({ bucket, key, revision }: UndecodedEntry, cause: unknown) {
    super(
      isJsflowError(cause, "invalid_payload") ? "invalid_payload" : "decode_failed",
      `cannot decode revision ${revision} of ${
        showKey(key)
      } in bucket ${bucket}: it is not what the ` +
        "codec expects; correct the value or the codec, or go on with " +
        `from: { afterRevision: ${revision} }`,
      { cause },
    );
    this.name = "EntryDecodeError";
    this.bucket = bucket;
    this.key = key;
    this.revision = revision;
  }
}
