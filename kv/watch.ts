import type { Change } from "./entry.ts";
import type { KeySelection } from "./key_selection.ts";

/** Changes that a watch holds for its reader before it stops asking the server for more. */
export const WATCH_MAX_PENDING: number = 1_024;

/** What a watch reports. */
export interface WatchOptions extends KeySelection {
  /** Only this key; not together with `prefix` or `filter`. @default all that those let through */
  readonly key?: string | undefined;
  /**
   * Where it begins: with the last revision of each key (`state`), with every revision that the
   * bucket still has (`history`), with what is written once it has begun (`new`), or after a
   * revision that was seen.
   * @default "state"
   */
  readonly from?: "state" | "history" | "new" | { readonly afterRevision: number } | undefined;
  /** Whether removals are part of what is reported. @default true */
  readonly removals?: boolean | undefined;
  /** Changes that wait for their reader at most, 1 to 100000. @default 1024 */
  readonly maxPending?: number | undefined;
  /** Ends the watch with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** Called for one change after the other; when it throws, the watch ends with what it threw. */
export type ChangeHandler<T> = (change: Change<T>) => void | Promise<void>;

/** A watch that is under way. */
export interface WatchHandle extends AsyncDisposable {
  /**
   * Resolves once the state at the beginning was handed out: read by the one who iterates, or
   * handled by the function. It resolves at once for a bucket that holds nothing, and when the watch
   * begins with what is new. What is written from then on is reported.
   *
   * Rejects when the watch ends before. Who iterates must go on reading for it to resolve.
   */
  readonly ready: Promise<void>;
  /**
   * Resolves when the watch was closed, rejects with what ended it else. A call of the function that
   * is under way may end first. Nobody has to look at it.
   */
  readonly closed: Promise<void>;
  /**
   * Ends it; what waits to be read is dropped. Resolves when nothing is left at the server, or soon
   * when that can't be reached. Idempotent.
   */
  close(): Promise<void>;
}

/**
 * A watch of a bucket, read by iterating, once.
 *
 * The state at the beginning comes first, with `initial` true, then each change to it. Revisions rise
 * strictly: none comes twice, and none is missed. Whatever happens to the connection, the server or
 * the consumer behind the watch, it goes on behind the last revision that it has seen. Only what the
 * bucket itself has dropped meanwhile, because newer revisions took its place, is skipped; so the
 * last revision of each key always comes.
 *
 * At most `maxPending` changes wait for a reader that is slow or away; the rest stays at the server,
 * and comes later.
 *
 * What removes messages without leaving a marker is not reported: a purge of the whole stream, and
 * values that expire, unless the bucket keeps markers of those (`perKeyTtl`).
 *
 * Leaving the loop by `break` or an error closes the watch. It ends by itself, once what has come was
 * read, with
 *
 * - `bucket_not_found` when the bucket is deleted, or deleted and made again, or went back to an
 *   older state than the one that was seen; of a replicated bucket it believes that after 20
 *   seconds, since a leader that was cut off from the others may say so as long;
 * - {@link EntryDecodeError} at a value that the codec refuses;
 * - `permission_denied`, `connection_closed`, or the signal's reason at once.
 *
 * @example
 * ```ts
 * import type { Store } from "@x/jsflow/kv";
 *
 * async function follow(store: Store<number>, signal: AbortSignal): Promise<void> {
 *   for await (const change of store.watch({ prefix: "stock.", signal })) {
 *     if (change.operation === "put") console.log(change.key, "is now", change.value);
 *     else console.log(change.key, "is gone:", change.operation);
 *   }
 * }
 * console.log(follow);
 * ```
 */
export interface Watch<T> extends WatchHandle, AsyncIterable<Change<T>> {}
