/**
 * Typed state that many processes share: a store with compare-and-set updates, watches and history,
 * objects with migrations, large values, and coordination by locks, elections, limits and counts.
 *
 * @example
 * ```ts
 * import { connect, json } from "@x/jsflow/client";
 * import { openStore } from "@x/jsflow/kv";
 *
 * interface Cart {
 *   readonly items: number;
 * }
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   try {
 *     const carts = await openStore(client, { bucket: "carts", codec: json<Cart>() });
 *     await carts.update("c1", (cart) => ({ items: (cart?.items ?? 0) + 1 }));
 *     console.log(await carts.get("c1"));
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 *
 * @module
 */
export { type Barrier, barrier, type BarrierOptions, MAX_PARTIES } from "./barrier.ts";
export { BlobDamagedError } from "./blob_damaged_error.ts";
export type { BlobInfo, BlobLink } from "./blob_info.ts";
export {
  BLOB_READ_AHEAD,
  type BlobCallOptions,
  type BlobChange,
  type BlobContent,
  type BlobReceipt,
  type BlobsOptions,
  type BlobWatchOptions,
  type CollectOptions,
  DEFAULT_CHUNK_BYTES,
  type ListBlobsOptions,
  MAX_COLLECTED_BYTES,
  type PutBlobOptions,
  type StoredBlob,
} from "./blob_options.ts";
export type { Blobs, BlobWatch } from "./blobs.ts";
export {
  type Coordination,
  type CoordinationOptions,
  DEFAULT_COORDINATION_BUCKET,
} from "./coordination.ts";
export { type Counter, counter } from "./counter.ts";
export {
  defineObject,
  migrateFrom,
  type Migration,
  type MigrationSteps,
  type ObjectDefinition,
} from "./define_object.ts";
export { electLeader } from "./elect_leader.ts";
export type { Election, ElectionEvent, ElectionOptions, Term } from "./election.ts";
export { encrypted, type EncryptionKeys } from "./encrypted.ts";
export type { Change, Entry, EntryFields, Operation, RemovalEntry, ValueEntry } from "./entry.ts";
export { EntryDecodeError, type UndecodedEntry } from "./entry_decode_error.ts";
export {
  isConflict,
  isNotFound,
  KeyExistsError,
  KeyNotFoundError,
  RetriesExhaustedError,
  RevisionConflictError,
} from "./errors.ts";
export type { HistoryCacheStats } from "./history_cache.ts";
export type { KeySelection } from "./key_selection.ts";
export type { KeyedCodec, ValueAddress } from "./keyed_codec.ts";
export type { Lease } from "./lease.ts";
export { deleteStore, listStores, type StoreInfo } from "./list_stores.ts";
export {
  type Lock,
  lock,
  type LockOptions,
  tryLock,
  withLock,
  type WithLockOptions,
} from "./lock.ts";
export type { Metric, MetricKind, MetricLabels, MetricsSnapshot } from "./metric.ts";
export {
  type CountOptions,
  type GaugeOptions,
  type MetricsBoard,
  metricsBoard,
  type MetricsBoardOptions,
} from "./metrics_board.ts";
export type { Mirror, MirrorOptions } from "./mirror.ts";
export type { KV } from "./native.ts";
export type {
  ObjectChange,
  ObjectSnapshot,
  ObjectStore,
  ObjectWatch,
  ObjectWatchOptions,
  OpenObjectsOptions,
  UpdateObjectOptions,
} from "./object_store.ts";
export { ObjectVersionError, type UnreadObject } from "./object_version_error.ts";
export { forgetOnce, onceFor, type OnceOptions, type OnceRun } from "./once_for.ts";
export { openBlobs } from "./open_blobs.ts";
export { openCoordination } from "./open_coordination.ts";
export { openObjects } from "./open_objects.ts";
export { openStore } from "./open_store.ts";
export {
  MAX_RATE_TOKENS,
  type RateLimiter,
  rateLimiter,
  type RateLimiterOptions,
  type RateVerdict,
  type TakeOptions,
} from "./rate_limiter.ts";
export {
  MAX_PERMITS,
  type Permit,
  type Semaphore,
  semaphore,
  type SemaphoreOptions,
} from "./semaphore.ts";
export type {
  KeysOptions,
  RemoveOptions,
  Store,
  TimeRange,
  UpdateAtOptions,
  UpdateChoices,
  Updated,
  UpdateOptions,
  Updater,
  WriteOptions,
} from "./store.ts";
export type { StoreCallOptions } from "./store_call_options.ts";
export { storeFrom } from "./store_from.ts";
export {
  DEFAULT_MAX_VALUE_BYTES,
  DEFAULT_STORE_TIMEOUT_MS,
  DEFAULT_UPDATE_RETRY,
  type StoreFromOptions,
  type StoreOptions,
  type StoreSettings,
} from "./store_options.ts";
export { type WaitGroup, waitGroup } from "./wait_group.ts";
export {
  type ChangeHandler,
  type Watch,
  WATCH_MAX_PENDING,
  type WatchHandle,
  type WatchOptions,
} from "./watch.ts";
