import type { RetryPolicy } from "../client/retry_policy.ts";
import type { Operation } from "./entry.ts";
import type { RemoveOptions, StoreCallOptions } from "./store.ts";
import type { StoreOptions } from "./store_options.ts";
import type { WatchHandle, WatchOptions } from "./watch.ts";

/** The bucket of stored objects, and how it is used; several classes of objects may share one. */
export interface OpenObjectsOptions extends Omit<StoreOptions<never>, "codec"> {}

/** A state of a stored object. */
export interface ObjectSnapshot<T> {
  /** The state; the initial one when nothing is stored. */
  readonly state: T;
  /** The revision that holds it; 0 when nothing is stored. */
  readonly revision: number;
  /** The version that it is stored in; undefined when nothing is stored. */
  readonly storedVersion: number | undefined;
}

/** How {@link ObjectStore.update} tries. */
export interface UpdateObjectOptions extends StoreCallOptions {
  /** Pauses between attempts after conflicts. @default the store's, 10 attempts, 10 ms to 1 s */
  readonly retry?: RetryPolicy | undefined;
}

/** What a watch of objects reports. */
export interface ObjectWatchOptions<Id> extends Omit<WatchOptions, "key" | "prefix" | "filter"> {
  /** Only this object. @default all of the class */
  readonly id?: Id | undefined;
}

/** A change of a stored object. */
export interface ObjectChange<T> {
  /** Its key within the scope. */
  readonly key: string;
  /** What happened to it. */
  readonly operation: Operation;
  /** The state; undefined when it was removed. */
  readonly state: T | undefined;
  /** The revision that holds the change. */
  readonly revision: number;
  /** When the server stored it, by the server's clock. */
  readonly time: Date;
  /** Whether it is part of the state at the time when the watch began. */
  readonly initial: boolean;
}

/** A watch of objects that is read by iterating, once; it follows as a `Watch` of a store does. */
export interface ObjectWatch<T> extends WatchHandle, AsyncIterable<ObjectChange<T>> {}

/**
 * Objects of one class, in a bucket that many processes share.
 *
 * Changes are applied by compare-and-set: each to the state that the one before it left, whoever
 * made that one, and each once. A stored state of an older version is migrated when it is read, and
 * stored in the version of today at its next update. One that can't be read is never overwritten by
 * an update.
 */
export interface ObjectStore<T, Change, Id = string> extends AsyncDisposable {
  /** Name of the bucket. */
  readonly bucket: string;
  /** What the keys of these objects begin with. */
  readonly scope: string;
  /**
   * Applies a change, and returns the state that it led to.
   *
   * @throws {ObjectVersionError} when the stored state can't be read; it stays as it is.
   * @throws {RetriesExhaustedError} when others changed the object during each attempt.
   * @throws {JsflowError} `outcome_unknown` when nobody can tell whether it was applied;
   * `decode_failed`, `encode_failed`, `timeout`, `not_connected`, `bucket_not_found`.
   * @throws what `apply` throws, or the signal's reason when it aborts.
   */
  update(id: Id, change: Change, options?: UpdateObjectOptions): Promise<ObjectSnapshot<T>>;
  /**
   * Reads an object; one that is not stored is in its initial state. A hint: others may be changing
   * it.
   *
   * @throws {ObjectVersionError} when the stored state can't be read.
   * @throws {JsflowError} `decode_failed`, `timeout`, `not_connected`, `bucket_not_found`.
   */
  read(id: Id, options?: StoreCallOptions): Promise<ObjectSnapshot<T>>;
  /**
   * Stores the initial state, whatever the state was, even one that can't be read.
   *
   * @throws {ObjectVersionError} when what is stored is of a newer version; it stays as it is.
   * @throws {JsflowError} as {@link ObjectStore.update}.
   */
  reset(id: Id, options?: UpdateObjectOptions): Promise<ObjectSnapshot<T>>;
  /** Removes an object, whatever it holds: what is read next is the initial state. */
  delete(id: Id, options?: RemoveOptions): Promise<void>;
  /**
   * The states of objects, then every change to them.
   *
   * A state that can't be read ends it with `EntryDecodeError`, whose `cause` says why, and whose
   * `revision` says where to go on.
   */
  watch(options?: ObjectWatchOptions<Id>): ObjectWatch<T>;
  /** Ends the watches; bucket and client stay. Idempotent. */
  close(): Promise<void>;
}
