import type { Client } from "../client/client.ts";
import { coreOf } from "../client/core.ts";
import type { StreamStorage } from "../client/stream_config.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import { deleteStream, listStreams } from "../client/streams.ts";
import { checkBounds, checkBucketName } from "./_check_store.ts";
import { bucketOf, streamOf } from "./_ensure_bucket.ts";
import type { StoreCallOptions } from "./store_call_options.ts";
import { DEFAULT_STORE_TIMEOUT_MS } from "./store_options.ts";

/** What the server says about a bucket, at one moment. */
export interface StoreInfo {
  /** Its name. */
  readonly bucket: string;
  /** When it was created. */
  readonly created: Date;
  /** Revisions that it holds, marks of removals too. */
  readonly revisions: number;
  /** Bytes that they take. */
  readonly bytes: number;
  /** The last revision that was stored; 0 when there was none. */
  readonly lastRevision: number;
  /** Revisions of each key that are kept. */
  readonly history: number;
  /** Milliseconds after which a revision expires; `Infinity` for never. */
  readonly ttlMs: number;
  /** Whether single revisions can have a lifetime of their own. */
  readonly perKeyTtl: boolean;
  /** Copies in a cluster. */
  readonly replicas: number;
  /** Where it is kept. */
  readonly storage: StreamStorage;
  /** Bytes that it holds at most; `Infinity` for no bound. */
  readonly maxBytes: number;
  /** Whether it is compressed on disk. */
  readonly compression: boolean;
  /** A text for people. */
  readonly description: string;
}

/**
 * Describes all buckets, those of other software too.
 *
 * @throws {TypeError | RangeError} for an option that makes no sense
 * @throws {JsflowError} `permission_denied`, `timeout`, `not_connected`, `jetstream_disabled`,
 * `jetstream_unavailable`, while it is read
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { listStores } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   for await (const { bucket, bytes } of listStores(client)) console.log(bucket, bytes);
 *   await client.close();
 * }
 * console.log(main);
 * ```
 */
export function listStores(
  client: Client,
  options?: StoreCallOptions,
): AsyncIterableIterator<StoreInfo> {
  const core = coreOf(client);
  const bounds = checkBounds("listStores", options, { timeoutMs: DEFAULT_STORE_TIMEOUT_MS });
  return describeAll(listStreams(core, { ...bounds }));
}

async function* describeAll(
  streams: AsyncIterable<StreamInfo>,
): AsyncGenerator<StoreInfo, void, undefined> {
  for await (const info of streams) {
    const bucket = bucketOf(info);
    if (bucket !== undefined) yield describeStore(bucket, info);
  }
}

function describeStore(bucket: string, info: StreamInfo): StoreInfo {
  const { config, created, messages: revisions, bytes, lastSequence: lastRevision } = info;
  return Object.freeze({
    bucket,
    created,
    revisions,
    bytes,
    lastRevision,
    history: config.maxMessagesPerSubject,
    ttlMs: config.maxAgeMs,
    perKeyTtl: config.allowMessageTtl,
    replicas: config.replicas,
    storage: config.storage,
    maxBytes: config.maxBytes,
    compression: config.compression !== "none",
    description: config.description,
  });
}

/**
 * Deletes a bucket with all that is in it; `false` when there was none.
 *
 * Watches and mirrors of it end with `bucket_not_found`.
 *
 * @throws {TypeError | RangeError} for a name or an option that makes no sense, before any I/O
 * @throws {JsflowError} `permission_denied`, `timeout`, `not_connected`, `jetstream_disabled`,
 * `jetstream_unavailable`
 * @throws the signal's reason when it aborts
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { deleteStore } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   console.log(await deleteStore(client, "carts") ? "deleted" : "there was none");
 *   await client.close();
 * }
 * console.log(main);
 * ```
 */
export async function deleteStore(
  client: Client,
  bucket: string,
  options?: StoreCallOptions,
): Promise<boolean> {
  const core = coreOf(client);
  const stream = streamOf(checkBucketName("deleteStore: bucket", bucket));
  const bounds = checkBounds("deleteStore", options, { timeoutMs: DEFAULT_STORE_TIMEOUT_MS });
  return await deleteStream(core, stream, { ...bounds });
}
