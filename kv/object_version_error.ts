import { JsflowError } from "../client/errors.ts";
import { describe } from "../client/validate.ts";
import type { ValueAddress } from "./keyed_codec.ts";

/** Which stored object could not be read, and why. */
export interface UnreadObject extends ValueAddress {
  /** The version that it is stored in. */
  readonly storedVersion: number;
  /** The version that this program knows. */
  readonly knownVersion: number;
  /**
   * Whether it was stored by a newer program (`newer`), nobody said how its version is read
   * (`no_migration`), or that has failed (`failed`), for which `cause` says why.
   */
  readonly reason: "newer" | "no_migration" | "failed";
}

/**
 * A stored object is of another version, and can't be brought to the one that this program knows;
 * `code` is `decode_failed`. What is stored stays as it is.
 *
 * @example
 * ```ts
 * import { type ObjectStore, ObjectVersionError } from "@x/jsflow/kv";
 *
 * async function show(carts: ObjectStore<unknown, never, string>, id: string): Promise<void> {
 *   try {
 *     console.log((await carts.read(id)).state);
 *   } catch (error) {
 *     if (!(error instanceof ObjectVersionError) || error.reason !== "newer") throw error;
 *     console.log(`version ${error.storedVersion} is too new for this program`);
 *   }
 * }
 * console.log(show);
 * ```
 */
export class ObjectVersionError extends JsflowError {
  /** The bucket. */
  readonly bucket: string;
  /** The key in the bucket, scope included. */
  readonly key: string;
  /** The version that it is stored in. */
  readonly storedVersion: number;
  /** The version that this program knows. */
  readonly knownVersion: number;
  /** What stands in the way. */
  readonly reason: UnreadObject["reason"];

  /** Builds the error; `cause` is what a migration has failed with. */
  constructor(object: UnreadObject, options?: { cause?: unknown }) {
    const { bucket, key, storedVersion, knownVersion, reason } = object;
    super(
      "decode_failed",
      `cannot read ${describe(key)} of bucket ${bucket}: it is stored in version ` +
        `${storedVersion}, and ${textOf(reason, knownVersion)}; what is stored stays as it is`,
      options,
    );
    this.name = "ObjectVersionError";
    this.bucket = bucket;
    this.key = key;
    this.storedVersion = storedVersion;
    this.knownVersion = knownVersion;
    this.reason = reason;
  }
}

function textOf(reason: UnreadObject["reason"], known: number): string {
  if (reason === "newer") return `this program knows version ${known}: deploy a newer one`;
  return reason === "failed"
    ? `its migration to version ${known} failed: correct the migration`
    : `there is no migration to version ${known}: add one with migrateFrom`;
}
