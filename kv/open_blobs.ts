import { bytes } from "../client/bytes.ts";
import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { type ClientCore, coreOf } from "../client/core.ts";
import { ensureStream, type OnDrift } from "../client/ensure_stream.ts";
import { isJsflowError } from "../client/errors.ts";
import type { StreamConfig } from "../client/stream_config.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import { tryStreamInfo } from "../client/streams.ts";
import { checkInteger, checkOptions } from "../client/validate.ts";
import { BlobStream } from "./_blob_stream.ts";
import type { Bounds } from "./_bucket.ts";
import { type BlobSettings, BucketBlobs } from "./_bucket_blobs.ts";
import { checkStoreOptions, type WantedBucket } from "./_check_store.ts";
import { factsOf, refuseUnsafeCas } from "./_ensure_bucket.ts";
import { timeLeft } from "./_time_left.ts";
import { type BlobsOptions, DEFAULT_CHUNK_BYTES } from "./blob_options.ts";
import type { Blobs } from "./blobs.ts";

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
  "allowUnsafeCas",
  "onDrift",
  "signal",
];

/**
 * Opens a bucket for large values, and creates it when there is none.
 *
 * An existing bucket is compared in what the options name; it may have been made by other software.
 *
 * @throws {TypeError | RangeError} for options that make no sense, before any I/O.
 * @throws {JsflowError} `config_drift` when the bucket exists and differs; `unsafe_cas` when it is
 * replicated on a server older than 2.11; `unsupported` when the server lacks a feature;
 * `permission_denied`, `timeout`, `not_connected`, `jetstream_disabled`, `jetstream_unavailable`.
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
  const { bucket, config, settings, allowUnsafeCas, onDrift, signal } = checkBlobsOptions(options);
  const left = timeLeft({ signal, timeoutMs: settings.timeoutMs });
  await core.ready(`open bucket ${bucket}`, left());
  refuseUnsafeCas(core, { name: bucket, replicas: config.replicas ?? 1 }, allowUnsafeCas);
  const info = await ensureBlobBucket(core, config, { onDrift, left });
  const facts = factsOf(info);
  refuseUnsafeCas(core, { name: bucket, replicas: facts.replicas }, allowUnsafeCas);
  const stream = new BlobStream({ core, clock: systemClock, bucket, stream: info.name, facts });
  const chunkBytes = Math.min(settings.chunkBytes, core.maxPayloadBytes - HEADER_ROOM_BYTES);
  return new BucketBlobs(stream, { ...settings, chunkBytes });
}

interface CheckedOptions {
  readonly bucket: string;
  /** What the caller has named, and what any such bucket has. */
  readonly config: StreamConfig;
  readonly settings: BlobSettings;
  readonly allowUnsafeCas: boolean;
  readonly onDrift: OnDrift;
  readonly signal: AbortSignal | undefined;
}

/** What it shares with a bucket of values is checked as that is. */
function checkBlobsOptions(options: BlobsOptions): CheckedOptions {
  const what = "openBlobs";
  if (options === undefined) throw new TypeError(`${what} needs options with a bucket`);
  checkOptions(what, options, KEYS);
  const { maxBlobBytes = Infinity, chunkBytes = DEFAULT_CHUNK_BYTES, ...shared } = options;
  const { settings, wanted } = checkStoreOptions(what, { ...shared, codec: bytes() });
  return {
    bucket: wanted.bucket,
    config: configOf(wanted),
    settings: {
      maxBlobBytes: maxBlobBytes === Infinity
        ? maxBlobBytes
        : checkInteger(`${what}: maxBlobBytes`, maxBlobBytes),
      chunkBytes: checkInteger(`${what}: chunkBytes`, chunkBytes, { min: MIN_CHUNK_BYTES }),
      timeoutMs: settings.timeoutMs,
    },
    allowUnsafeCas: settings.allowUnsafeCas,
    onDrift: wanted.onDrift,
    signal: options.signal,
  };
}

function configOf(wanted: WantedBucket): StreamConfig {
  const { bucket, compression } = wanted;
  return {
    name: `OBJ_${bucket}`,
    subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
    allowRollup: true,
    description: wanted.description,
    storage: wanted.storage,
    replicas: wanted.replicas,
    maxAgeMs: wanted.ttlMs,
    maxBytes: wanted.maxBytes,
    compression: compression === undefined ? undefined : compression ? "s2" : "none",
  };
}

/** What nobody has named is as other clients make it, and not compared when the bucket exists. */
async function ensureBlobBucket(
  core: ClientCore,
  named: StreamConfig,
  { onDrift, left }: { readonly onDrift: OnDrift; readonly left: () => Bounds },
): Promise<StreamInfo> {
  for (let attempt = 0;; attempt++) {
    const existing = await tryStreamInfo(core, named.name, { ...left() });
    const config: StreamConfig = existing === undefined
      ? { ...named, discard: "new", allowDirect: true }
      : named;
    try {
      return await ensureStream(core, config, { ...left(), onDrift });
    } catch (error) {
      // Another client may have created it in between, with defaults of its own.
      const isRace = existing === undefined && isJsflowError(error, "config_drift");
      if (!isRace || attempt > 0) throw error;
    }
  }
}
