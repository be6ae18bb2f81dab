import type { Codec } from "../client/codec.ts";
import type { OnDrift } from "../client/ensure_stream.ts";
import type { RetryPolicy } from "../client/retry_policy.ts";
import type { StreamStorage } from "../client/stream_config.ts";

/** Bytes of the largest value that a store writes unless it is told otherwise: 1 MiB. */
export const DEFAULT_MAX_VALUE_BYTES: number = 1_048_576;

/** Milliseconds that a call of a store takes at most unless it is told otherwise. */
export const DEFAULT_STORE_TIMEOUT_MS: number = 5_000;

/** How an update tries again after a conflict unless it is told otherwise. */
export const DEFAULT_UPDATE_RETRY: RetryPolicy = {
  attempts: 10,
  initialMs: 10,
  factor: 2,
  maxMs: 1_000,
};

/** How a store reads and writes; says nothing about how the bucket is stored. */
export interface StoreSettings<T> {
  /** How values become bytes. */
  readonly codec: Codec<T>;
  /** Bytes of the largest encoded value. @default 1048576 */
  readonly maxValueBytes?: number | undefined;
  /** Milliseconds that a call takes at most. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /** Pauses of `update` after conflicts. @default 10 attempts, 10 ms to 1 s */
  readonly retry?: RetryPolicy | undefined;
  /** Keys whose history is kept in memory for `at` and `range`. @default 1000 */
  readonly historyCacheKeys?: number | undefined;
  /**
   * Milliseconds that a history is kept in memory, 0 for not at all. So long `at` and `range` may
   * show revisions that another process has purged, or that have expired. @default 60000
   */
  readonly historyCacheMs?: number | undefined;
  /**
   * Whether the bucket may be replicated on a server older than 2.11, on which two writers can win
   * one compare-and-set. @default false
   */
  readonly allowUnsafeCas?: boolean | undefined;
}

/** How a store is made of a bucket that other software made. */
export interface StoreFromOptions<T> extends StoreSettings<T> {
  /** Gives up opening with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** A bucket, and how it is read and written. */
export interface StoreOptions<T> extends StoreSettings<T> {
  /** Its name: letters, digits, `_` and `-`. */
  readonly bucket: string;
  /** Revisions of each key that are kept, 1 to 64. @default 1 */
  readonly history?: number | undefined;
  /** Milliseconds after which a revision expires, at least 100. @default Infinity */
  readonly ttlMs?: number | undefined;
  /**
   * Whether single revisions can have a lifetime of their own, and expired ones are reported to
   * those who watch, or did within the hour before. Needs nats-server 2.11.2, and `history: 1`.
   * @default false
   */
  readonly perKeyTtl?: boolean | undefined;
  /** Copies in a cluster, 1 to 5. @default 1 */
  readonly replicas?: number | undefined;
  /** Where it is kept; can't be changed later. @default "file" */
  readonly storage?: StreamStorage | undefined;
  /** Bytes that the bucket holds at most. @default Infinity */
  readonly maxBytes?: number | undefined;
  /** Whether it is compressed on disk; needs nats-server 2.10. @default false */
  readonly compression?: boolean | undefined;
  /** A text for people. @default "" */
  readonly description?: string | undefined;
  /** What happens when the bucket exists with another configuration. @default "fail" */
  readonly onDrift?: OnDrift | undefined;
  /** Gives up opening with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}
