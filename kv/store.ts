import type { RetryPolicy } from "../client/retry_policy.ts";
import type { Entry } from "./entry.ts";
import type { Mirror, MirrorOptions } from "./mirror.ts";
import type { HistoryCacheStats } from "./history_cache.ts";
import type { KeySelection } from "./key_selection.ts";
import type { StoreCallOptions } from "./store_call_options.ts";
import type { ChangeHandler, Watch, WatchHandle, WatchOptions } from "./watch.ts";

export type { KeySelection } from "./key_selection.ts";
export type { StoreCallOptions } from "./store_call_options.ts";

/** How a value is written. */
export interface WriteOptions extends StoreCallOptions {
  /**
   * Milliseconds after which this one revision expires, at least 1,000 and rounded up to seconds.
   * Needs nats-server 2.11.2 and a bucket opened with `perKeyTtl`.
   * @default the bucket's own, if it has one
   */
  readonly ttlMs?: number | undefined;
}

/** How a value is written at a known revision. */
export interface UpdateAtOptions extends WriteOptions {
  /** The revision that the write replaces; 0 when the key must hold none. */
  readonly revision: number;
}

/** How a key is deleted or purged. */
export interface RemoveOptions extends StoreCallOptions {
  /** The revision that must be the last one. @default any */
  readonly revision?: number | undefined;
}

/** How {@link Store.update} tries. */
export interface UpdateOptions extends WriteOptions {
  /** Pauses between attempts after conflicts. @default the store's, 10 attempts, 10 ms to 1 s */
  readonly retry?: RetryPolicy | undefined;
}

/** What a function given to {@link Store.update} may return instead of a value. */
export interface UpdateChoices {
  /** Leave the key as it is. */
  readonly keep: symbol;
  /** Delete the key. */
  readonly remove: symbol;
  /** The revision that `current` stands for; 0 when there is none. */
  readonly revision: number;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
}

/** Computes a key's next value from its current one; may be called several times. */
export type Updater<T> = (
  current: T | undefined,
  choices: UpdateChoices,
) => T | symbol | Promise<T | symbol>;

/** What an update left behind. */
export interface Updated<T> {
  /** What was done. */
  readonly operation: "put" | "delete" | "keep";
  /** The key's value now. */
  readonly value: T | undefined;
  /** The key's revision now; 0 when it never held anything. */
  readonly revision: number;
}

/** How keys are listed; the time bounds each wait for the server, not what the reader takes. */
export interface KeysOptions extends KeySelection, StoreCallOptions {}

/** A span of time; both ends belong to it. */
export interface TimeRange {
  /** Its beginning. */
  readonly from: Date;
  /** Its end. */
  readonly to: Date;
}

/**
 * Typed values by key, in a JetStream bucket that many processes share.
 *
 * - **Reads** are hints: on a replicated bucket they may be stale for a while. What counts is the
 *   compare-and-set of `create`, `update`, `updateAt` and removals with a revision: of several
 *   writers that saw the same revision one succeeds.
 * - **Writes** are settled: when no answer comes, the same message is sent again under the same id
 *   while the call's time lasts, and what is stored tells whether an earlier attempt has done it.
 *   So an update that was applied is never applied twice. A call that fails with `outcome_unknown`,
 *   or because its signal aborted, may have written; one that fails in any other way has not.
 * - A blind write (`put`, and removals without a revision) whose answer was lost is sent again only
 *   over the revision that is the last one then, unless that shows that it was stored. It could come
 *   twice only if it was stored, another blind write hid it, and the server forgot its id by a
 *   restart, all within the call.
 * - **Lifetimes**: a value that has expired is no value.
 *
 * All calls throw `TypeError` or `RangeError` for arguments that make no sense before any I/O,
 * `JsflowError` with `bucket_not_found`, `timeout`, `not_connected`, `circuit_open`,
 * `jetstream_unavailable`, `permission_denied` or `connection_closed` (the store or its client is
 * closed), and the signal's reason when it aborts. Reads throw `decode_failed` or `invalid_payload`
 * for a value that the codec refuses, writes `encode_failed`, `invalid_payload` or
 * `payload_too_large`.
 *
 * Closing a store ends its watches and mirrors and drops its caches; bucket and client stay.
 *
 * @example
 * ```ts
 * import { connect, json } from "@x/jsflow/client";
 * import { openStore } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   const carts = await openStore(client, { bucket: "carts", codec: json<{ n: number }>() });
 *   await carts.update("c1", (cart, { keep }) => cart === undefined ? { n: 1 } : keep);
 *   const entry = await carts.entry("c1");
 *   if (entry?.operation === "put") {
 *     await carts.updateAt("c1", { n: 2 }, { revision: entry.revision });
 *   }
 *   for await (const key of carts.keys({ prefix: "c" })) console.log(key);
 *   await carts.close();
 *   await client.close();
 * }
 * console.log(main);
 * ```
 */
export interface Store<T> extends AsyncDisposable {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key's value; undefined when it holds none. */
  get(key: string, options?: StoreCallOptions): Promise<T | undefined>;
  /**
   * The key's value.
   *
   * @throws {KeyNotFoundError} when it holds none
   */
  getOrThrow(key: string, options?: StoreCallOptions): Promise<T>;
  /** The key's last revision, a removal too; undefined when nothing is stored. */
  entry(key: string, options?: StoreCallOptions): Promise<Entry<T> | undefined>;
  /** The values of many keys; those that hold none are left out. */
  getMany(keys: Iterable<string>, options?: StoreCallOptions): Promise<Map<string, T>>;
  /**
   * Writes whatever is there, and returns the new revision.
   *
   * @throws {JsflowError} `outcome_unknown`
   */
  put(key: string, value: T, options?: WriteOptions): Promise<number>;
  /**
   * Writes where no value is, and returns the new revision.
   *
   * @throws {KeyExistsError} when there is one
   * @throws {JsflowError} `outcome_unknown`
   */
  create(key: string, value: T, options?: WriteOptions): Promise<number>;
  /**
   * Writes over one known revision, and returns the new one.
   *
   * @throws {RevisionConflictError} when it is not the key's last one
   * @throws {JsflowError} `outcome_unknown`
   */
  updateAt(key: string, value: T, options: UpdateAtOptions): Promise<number>;
  /**
   * Reads, computes and writes until no other writer came in between.
   *
   * Updates of one key through one client run one after the other, in order of their calls; `fn`
   * must not update the same key itself, which would wait until the time is up. Conflicts with other clients are
   * met again by the retry policy. What `fn` throws ends the update, and nothing is written.
   *
   * @throws {RetriesExhaustedError} when every attempt met a newer revision
   * @throws {JsflowError} `outcome_unknown`; `buffer_full` when too many updates of the key wait
   */
  update(key: string, fn: Updater<T>, options?: UpdateOptions): Promise<Updated<T>>;
  /**
   * Leaves a marker in place of the value; history stays.
   *
   * @throws {RevisionConflictError} when `revision` is not the key's last one
   * @throws {JsflowError} `outcome_unknown`
   */
  delete(key: string, options?: RemoveOptions): Promise<void>;
  /**
   * Leaves a marker in place of the value and of its history.
   *
   * @throws {RevisionConflictError} when `revision` is not the key's last one
   * @throws {JsflowError} `outcome_unknown`
   */
  purge(key: string, options?: RemoveOptions): Promise<void>;
  /**
   * The keys that hold a value, each once, in no particular order.
   *
   * One that holds a value all the time is listed; one that gets or loses its value meanwhile may
   * be.
   */
  keys(options?: KeysOptions): AsyncIterable<string>;
  /** The revisions of a key that the bucket still has, the oldest first. */
  history(key: string, options?: StoreCallOptions): Promise<Entry<T>[]>;
  /** The state, then every change to it. */
  watch(options?: WatchOptions): Watch<T>;
  /** The same with a function that is called for each change, one after the other. */
  watch(options: WatchOptions, onChange: ChangeHandler<T>): WatchHandle;
  /** A map in memory that follows the bucket; resolves once it holds the state. */
  mirror(options?: MirrorOptions): Promise<Mirror<T>>;
  /**
   * The key's value as it was at that time; undefined when it held none.
   *
   * A history that is in memory answers without asking the server. What another process removes from
   * the bucket's history, such as by a purge, is seen for up to `historyCacheMs` (a minute) after; a
   * purge by this store is noticed at once.
   */
  at(key: string, time: Date, options?: StoreCallOptions): Promise<T | undefined>;
  /** The same for many keys; those that held none are left out. */
  at(keys: Iterable<string>, time: Date, options?: StoreCallOptions): Promise<Map<string, T>>;
  /** The key's revisions within a span of time, the oldest first. */
  range(key: string, range: TimeRange, options?: StoreCallOptions): Promise<Entry<T>[]>;
  /** The same for many keys; those without a revision in it are left out. */
  range(
    keys: Iterable<string>,
    range: TimeRange,
    options?: StoreCallOptions,
  ): Promise<Map<string, Entry<T>[]>>;
  /** What the cache behind `at` and `range` did so far. */
  readonly historyCache: HistoryCacheStats;
  /** Deletes the bucket and all that is in it, and closes the store. */
  destroy(options?: StoreCallOptions): Promise<void>;
  /** Ends watches and mirrors, drops caches. Idempotent. */
  close(): Promise<void>;
}
