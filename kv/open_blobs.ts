import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { type ClientCore, coreOf } from "../client/core.ts";
import { checkOnDrift, ensureStream, type OnDrift } from "../client/ensure_stream.ts";
import { isJsflowError } from "../client/errors.ts";
import type { StreamConfig } from "../client/stream_config.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import { tryStreamInfo } from "../client/streams.ts";
import {
  checkBoolean,
  checkDurationMs,
  checkInteger,
  checkOptions,
  checkSignal,
} from "../client/validate.ts";
import { BlobStream } from "./_blob_stream.ts";
import type { Bounds } from "./_bucket.ts";
import { type BlobSettings, BucketBlobs } from "./_bucket_blobs.ts";
import { checkBucketName } from "./_check_store.ts";
import { factsOf } from "./_ensure_bucket.ts";
import { type BlobsOptions, DEFAULT_CHUNK_BYTES } from "./blob_options.ts";
import type { Blobs } from "./blobs.ts";
import { DEFAULT_STORE_TIMEOUT_MS } from "./store_options.ts";

const MIN_CHUNK_BYTES = 1_024;
/** Room for a chunk's headers within the largest message that the server takes. */
const HEADER_ROOM_BYTES = 512;

const KEYS: readonly (keyof BlobsOptions)[] = [
  "bucket",
  "maxBlobBytes",
  "chunkBytes",
  "timeoutMs",
  "ttlMs",
  "replicas",
  "storage",
  "maxBytes",
  "compression",
  "description",
  "onDrift",
  "signal",
];

/**
 * Opens a bucket for large values, and creates it when there is none.
 *
 * An existing bucket is compared in what the options name; it may have been made by other software.
 *
 * @throws {TypeError | RangeError} for options that make no sense, before any I/O.
 * @throws {JsflowError} `config_drift` when the bucket exists and differs, `unsupported` when the
 * server lacks a feature, or what the server says.
 * @throws the signal's reason when it aborts.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { openBlobs } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   try {
 *     const files = await openBlobs(client, { bucket: "files", maxBlobBytes: 10_000_000 });
 *     const { sizeBytes } = await files.put("hello.txt", "hello");
 *     console.log(sizeBytes, await (await files.get("hello.txt"))?.text());
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export async function openBlobs(client: Client, options: BlobsOptions): Promise<Blobs> {
  const core = coreOf(client);
  const { bucket, config, settings, bounds, onDrift } = checkBlobsOptions(options);
  bounds.signal?.throwIfAborted();
  const info = await ensureBlobBucket(core, config, { ...bounds, onDrift });
  const stream = new BlobStream({
    core,
    clock: systemClock,
    bucket,
    stream: info.name,
    facts: factsOf(info),
  });
  const chunkBytes = Math.min(settings.chunkBytes, core.maxPayloadBytes - HEADER_ROOM_BYTES);
  return new BucketBlobs(stream, { ...settings, chunkBytes });
}

interface CheckedOptions {
  readonly bucket: string;
  /** What the caller has named, and what any such bucket has. */
  readonly config: StreamConfig;
  readonly settings: BlobSettings;
  readonly bounds: Bounds;
  readonly onDrift: OnDrift;
}

function checkBlobsOptions(options: BlobsOptions): CheckedOptions {
  if (options === undefined) throw new TypeError("openBlobs needs options with a bucket");
  checkOptions("openBlobs", options, KEYS);
  const bucket = checkBucketName("openBlobs: bucket", options.bucket);
  const { maxBlobBytes = Infinity, chunkBytes = DEFAULT_CHUNK_BYTES, compression } = options;
  const { timeoutMs = DEFAULT_STORE_TIMEOUT_MS } = options;
  if (compression !== undefined) checkBoolean("openBlobs: compression", compression);
  return {
    bucket,
    config: {
      name: `OBJ_${bucket}`,
      subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
      allowRollup: true,
      description: options.description,
      storage: options.storage,
      replicas: options.replicas,
      maxAgeMs: options.ttlMs,
      maxBytes: options.maxBytes,
      compression: compression === undefined ? undefined : compression ? "s2" : "none",
    },
    settings: {
      maxBlobBytes: maxBlobBytes === Infinity
        ? maxBlobBytes
        : checkInteger("openBlobs: maxBlobBytes", maxBlobBytes),
      chunkBytes: checkInteger("openBlobs: chunkBytes", chunkBytes, { min: MIN_CHUNK_BYTES }),
      timeoutMs: checkDurationMs("openBlobs: timeoutMs", timeoutMs, { min: 1 }),
    },
    bounds: { signal: checkSignal("openBlobs: signal", options.signal), timeoutMs },
    onDrift: checkOnDrift("openBlobs", options.onDrift),
  };
}

/** What nobody has named is as other clients make it, and not compared when the bucket exists. */
async function ensureBlobBucket(
  core: ClientCore,
  named: StreamConfig,
  options: Bounds & { readonly onDrift: OnDrift },
): Promise<StreamInfo> {
  const { signal, timeoutMs } = options;
  for (let attempt = 0;; attempt++) {
    const existing = await tryStreamInfo(core, named.name, { signal, timeoutMs });
    const config: StreamConfig = existing === undefined
      ? { ...named, discard: "new", allowDirect: true }
      : named;
    try {
      return await ensureStream(core, config, options);
    } catch (error) {
      // Another client may have created it in between, with defaults of its own.
      const isRace = existing === undefined && isJsflowError(error, "config_drift");
      if (!isRace || attempt > 0) throw error;
    }
  }
}
