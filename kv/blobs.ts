import type { BlobInfo } from "./blob_info.ts";
import type {
  BlobCallOptions,
  BlobChange,
  BlobContent,
  BlobReceipt,
  BlobWatchOptions,
  ListBlobsOptions,
  PutBlobOptions,
  StoredBlob,
} from "./blob_options.ts";
import type { StoreCallOptions } from "./store.ts";
import type { WatchHandle } from "./watch.ts";

/** A watch of blobs that is read by iterating, once; it follows as a `Watch` of a store does. */
export interface BlobWatch extends WatchHandle, AsyncIterable<BlobChange> {}

/**
 * Large values by name, in chunks, in a bucket of JetStream's object store, which other clients and
 * the nats CLI read and write too.
 *
 * A put replaces the whole content at one moment: readers see the old one or the new one. Of several
 * puts of one name at a time each is stored, and the last one stays. A put whose process dies on the
 * way leaves the old content as it was, and chunks that nothing leads to.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { openBlobs } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   try {
 *     const files = await openBlobs(client, { bucket: "files" });
 *     const response = await fetch("https://example.com/report.pdf");
 *     if (response.body) await files.put("report.pdf", response.body);
 *     const report = await files.getOrThrow("report.pdf");
 *     for await (const chunk of report.body) console.log(chunk.length);
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export interface Blobs extends AsyncDisposable {
  /** Name of the bucket. */
  readonly bucket: string;
  /**
   * Stores a content under a name, in place of what was there.
   *
   * A stream is read as fast as the server takes its chunks, two of which are in memory at most.
   * When it fails, what was stored of the new content is removed; when the signal aborts that goes on
   * behind the call.
   *
   * @throws {TypeError | RangeError} for a name, content or option that makes no sense.
   * @throws {JsflowError} `payload_too_large` above `maxBlobBytes`; `outcome_unknown` when nobody can
   * tell whether the new content is there; `bucket_not_found`, `timeout`, `not_connected`, or `nats`
   * when the bucket is full.
   * @throws what the stream fails with, or the signal's reason when it aborts.
   */
  put(name: string, content: BlobContent, options?: PutBlobOptions): Promise<BlobReceipt>;
  /**
   * Finds a blob, whose content can then be read; undefined when there is none.
   *
   * The signal ends the reading of the content, too.
   *
   * @throws {BlobDamagedError} when its description can't be read.
   * @throws {JsflowError} `unsupported` when it is a link, or has a digest of another kind;
   * `bucket_not_found`, `timeout`, `not_connected`.
   */
  get(name: string, options?: BlobCallOptions): Promise<StoredBlob | undefined>;
  /** The same. @throws {JsflowError} `key_not_found` when there is none. */
  getOrThrow(name: string, options?: BlobCallOptions): Promise<StoredBlob>;
  /** What is known about a blob; undefined when there is none. */
  info(name: string, options?: BlobCallOptions): Promise<BlobInfo | undefined>;
  /**
   * The blobs that there are, in no particular order. One whose description can't be read is left
   * out, with a warning in the log; `info` of its name says more.
   */
  list(options?: ListBlobsOptions): AsyncIterable<BlobInfo>;
  /** Deletes a blob; `false` when there was none. */
  delete(name: string, options?: BlobCallOptions): Promise<boolean>;
  /** The blobs that there are, then every change to them. */
  watch(options?: BlobWatchOptions): BlobWatch;
  /** Deletes the bucket and all that is in it, and ends the watches. */
  destroy(options?: StoreCallOptions): Promise<void>;
  /**
   * Ends the watches, and waits for the cleaning up behind calls that were aborted; client, bucket
   * and what is being read or put go on. Idempotent.
   */
  close(): Promise<void>;
}
