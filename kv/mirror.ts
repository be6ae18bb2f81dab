import type { Change } from "./entry.ts";
import type { KeySelection } from "./key_selection.ts";
import type { StoreCallOptions } from "./store_call_options.ts";

/** Which part of a bucket a mirror holds. */
export interface MirrorOptions extends KeySelection {
  /** Ends the mirror with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds that loading the state may take, and each wait for a revision unless it says
   * otherwise.
   * @default the store's, 5000
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Called after each change is in the map, the initial ones too, one after the other; when it
   * throws, the mirror ends with what it threw. @default none
   */
  readonly onChange?: ((change: Change<unknown>) => void) | undefined;
}

/**
 * A map in memory that follows a bucket, or a part of it.
 *
 * Reading costs nothing and never waits; what is read may be a moment old. The values are shared by
 * all who read: don't change them. It follows the bucket through reconnects and restarts as a
 * {@link Watch} does, and ends as one does: then it stays readable, and changes no more.
 *
 * Values that expire leave it. In buckets without markers of that, such as those of other software,
 * it finds out by itself, without a call of `onChange`: when the bucket's age or the value's own
 * lifetime (`Nats-TTL`) has passed since the server stored the value. What time it is the server
 * said when the mirror was opened, and the monotonic clock of this machine counts from there; servers
 * older than 2.10 don't say, then it is the clock of this machine. So a value leaves up to a second
 * before the server removes it, or later by as much as the server's clock was set forward meanwhile.
 * Where such a bucket keeps several revisions, the one before an expired one does not come back.
 *
 * @example
 * ```ts
 * import type { Store } from "@x/jsflow/kv";
 *
 * async function main(flags: Store<boolean>): Promise<void> {
 *   const mirror = await flags.mirror({ prefix: "checkout." });
 *   try {
 *     const revision = await flags.put("checkout.express", true);
 *     await mirror.waitFor(revision);
 *     console.log(mirror.get("checkout.express"), [...mirror.keys()]);
 *   } finally {
 *     await mirror.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export interface Mirror<T> extends AsyncDisposable, Iterable<[string, T]> {
  /** How many keys hold a value. */
  readonly size: number;
  /** The last revision that it has seen: none up to it is missing in the map. */
  readonly revision: number;
  /** The key's value; undefined when it holds none. */
  get(key: string): T | undefined;
  /** Whether the key holds a value. */
  has(key: string): boolean;
  /** The revision of a key's value; undefined when it holds none. */
  revisionOf(key: string): number | undefined;
  /** The keys that hold a value, the one that was written longest ago first. */
  keys(): IterableIterator<string>;
  /** The values, in the order of the keys. */
  values(): IterableIterator<T>;
  /** Keys and values, in the order of the keys. */
  entries(): IterableIterator<[string, T]>;
  /**
   * Resolves once it has seen a revision, such as one that a write to a key of it returned, or a
   * later one. Revisions of keys that it does not hold it may never see.
   *
   * @throws {JsflowError} `timeout`, or what ended the mirror; `connection_closed` when it was closed
   * @throws the signal's reason when it aborts
   */
  waitFor(revision: number, options?: StoreCallOptions): Promise<void>;
  /** Resolves when it was closed, rejects with what ended it else; then it follows no more. */
  readonly closed: Promise<void>;
  /** Ends it; what it holds stays readable. Idempotent. */
  close(): Promise<void>;
}
