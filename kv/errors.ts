import { isJsflowError, JsflowError } from "../client/errors.ts";
import { showKey } from "./_show_key.ts";

/** The key holds no value; `code` is `key_not_found`. */
export class KeyNotFoundError extends JsflowError {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key, as it was given to the store. */
  readonly key: string;

  /** Builds the error. */
  constructor(bucket: string, key: string) {
    super(
      "key_not_found",
      `cannot read ${showKey(key)} of bucket ${bucket}: it holds no value; check the key, or use ` +
        "get where it may be missing",
    );
    this.name = "KeyNotFoundError";
    this.bucket = bucket;
    this.key = key;
  }
}

/** The key holds a value already; `code` is `key_exists`. */
export class KeyExistsError extends JsflowError {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key, as it was given to the store. */
  readonly key: string;

  /** Builds the error. */
  constructor(bucket: string, key: string, options?: { cause?: unknown }) {
    super(
      "key_exists",
      `cannot create ${
        showKey(key)
      } of bucket ${bucket}: it holds a value already; use put or update`,
      options,
    );
    this.name = "KeyExistsError";
    this.bucket = bucket;
    this.key = key;
  }
}

/** The key is at another revision than the one expected; `code` is `revision_conflict`. */
export class RevisionConflictError extends JsflowError {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key, as it was given to the store. */
  readonly key: string;
  /** The revision that the write expected to replace; 0 for none. */
  readonly expected: number;

  /** Builds the error. */
  constructor(
    bucket: string,
    { key, expected }: { readonly key: string; readonly expected: number },
    options?: { cause?: unknown },
  ) {
    super(
      "revision_conflict",
      `cannot write ${
        showKey(key)
      } of bucket ${bucket}: it is not at revision ${expected} any more; ` +
        "read it again, or use update",
      options,
    );
    this.name = "RevisionConflictError";
    this.bucket = bucket;
    this.key = key;
    this.expected = expected;
  }
}

/** All attempts of an update met a newer revision; `code` is `retries_exhausted`. */
export class RetriesExhaustedError extends JsflowError {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key, as it was given to the store. */
  readonly key: string;
  /** How often the update was tried. */
  readonly attempts: number;

  /** Builds the error. */
  constructor(
    bucket: string,
    { key, attempts }: { readonly key: string; readonly attempts: number },
    options?: { cause?: unknown },
  ) {
    super(
      "retries_exhausted",
      `cannot update ${showKey(key)} of bucket ${bucket}: others changed it during each of ` +
        `${attempts} attempts; nothing was written, raise retry.attempts or spread the keys`,
      options,
    );
    this.name = "RetriesExhaustedError";
    this.bucket = bucket;
    this.key = key;
    this.attempts = attempts;
  }
}

/**
 * Tells whether a caught value says that somebody else was there first: {@link KeyExistsError},
 * {@link RevisionConflictError} or {@link RetriesExhaustedError}. Nothing was written then.
 *
 * @example
 * ```ts
 * import { isConflict, type Store } from "@x/jsflow/kv";
 *
 * async function claim(store: Store<string>, owner: string): Promise<boolean> {
 *   try {
 *     await store.create("owner", owner);
 *     return true;
 *   } catch (error) {
 *     if (isConflict(error)) return false;
 *     throw error;
 *   }
 * }
 * console.log(claim);
 * ```
 */
export function isConflict(error: unknown): error is JsflowError {
  return isJsflowError(error, "key_exists") || isJsflowError(error, "revision_conflict") ||
    isJsflowError(error, "retries_exhausted");
}

/**
 * Tells whether a caught value says that the key or its bucket does not exist.
 *
 * @example
 * ```ts
 * import { isNotFound, type Store } from "@x/jsflow/kv";
 *
 * async function levelOf(store: Store<string>): Promise<string> {
 *   try {
 *     return await store.getOrThrow("level");
 *   } catch (error) {
 *     if (isNotFound(error)) return "info";
 *     throw error;
 *   }
 * }
 * console.log(levelOf);
 * ```
 */
export function isNotFound(error: unknown): error is JsflowError {
  return isJsflowError(error, "key_not_found") || isJsflowError(error, "bucket_not_found");
}
