import type { OnDrift } from "../client/ensure_stream.ts";
import type { StreamStorage } from "../client/stream_config.ts";
import type { BlobInfo } from "./blob_info.ts";
import type { StoreCallOptions } from "./store.ts";

/** Bytes of a chunk unless it is told otherwise: 128 KiB, as in other clients. */
export const DEFAULT_CHUNK_BYTES: number = 131_072;

/** Chunks that are read ahead of a slow reader. */
export const BLOB_READ_AHEAD: number = 2;

/** Bytes that `bytes` and `text` hold unless they are told otherwise: 64 MiB. */
export const MAX_COLLECTED_BYTES: number = 67_108_864;

/** A bucket for blobs, and how it is used. */
export interface BlobsOptions {
  /** Its name: letters, digits, `_` and `-`. */
  readonly bucket: string;
  /** Bytes of the largest blob that is put. @default Infinity */
  readonly maxBlobBytes?: number | undefined;
  /**
   * Bytes of the chunks that blobs are stored in, at least 1,024; no more than the server takes as
   * one message.
   * @default 131072
   */
  readonly chunkBytes?: number | undefined;
  /**
   * Milliseconds that opening may take as a whole, and later each exchange with the server, retries
   * included.
   * @default 5000
   */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds after which blobs expire, at least 100. @default Infinity */
  readonly ttlMs?: number | undefined;
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
  /**
   * Whether the bucket may be replicated on a server older than 2.11, on which two puts can both
   * believe that theirs is the one that stays. @default false
   */
  readonly allowUnsafeCas?: boolean | undefined;
  /** What happens when the bucket exists with another configuration. @default "fail" */
  readonly onDrift?: OnDrift | undefined;
  /** Gives up opening with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** What a blob can be put from. Bytes must stay as they are until that is done. */
export type BlobContent = string | Uint8Array | ReadableStream<Uint8Array>;

/** The bounds of one call; reading or writing a content takes many exchanges with the server. */
export interface BlobCallOptions extends StoreCallOptions {
  /** Milliseconds that each exchange may take, retries included. @default the bucket's, 5000 */
  readonly timeoutMs?: number | undefined;
}

/** What is stored along with a blob. */
export interface PutBlobOptions extends BlobCallOptions {
  /** A text for people. @default "" */
  readonly description?: string | undefined;
  /** Texts for programs, by name. @default {} */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** What was stored by a put. */
export interface BlobReceipt extends Pick<BlobInfo, "name" | "sizeBytes" | "digest" | "revision"> {}

/** How a content is collected in memory. */
export interface CollectOptions {
  /** Bytes that it may have. @default 67108864 */
  readonly maxBytes?: number | undefined;
}

/** A blob whose content can be read, once. */
export interface StoredBlob {
  /** What is known about it. */
  readonly info: BlobInfo;
  /**
   * Its content, chunk by chunk; a slow reader keeps no more than two chunks waiting. Nothing is
   * read before this is looked at. Read it to its end or cancel it.
   *
   * It fails with {@link BlobDamagedError} when what is stored is not what was put (before the last
   * chunk is handed out, at the latest), with `revision_conflict` when the blob is replaced or
   * deleted meanwhile, and with the signal's reason when it aborts.
   */
  readonly body: ReadableStream<Uint8Array>;
  /**
   * Reads all of it.
   *
   * @throws {JsflowError} `payload_too_large` when it has more than `maxBytes`, or as `body` does.
   */
  bytes(options?: CollectOptions): Promise<Uint8Array>;
  /** The same as a text in UTF-8. @throws {JsflowError} `decode_failed` when it is none. */
  text(options?: CollectOptions): Promise<string>;
}

/** What a watch of blobs reports. */
export interface BlobWatchOptions {
  /** Only blobs whose names begin with this text. @default "" */
  readonly prefix?: string | undefined;
  /**
   * Where it begins: with the blobs that there are (`state`), with what comes next (`new`), or after
   * a revision that was seen.
   * @default "state"
   */
  readonly from?: "state" | "new" | { readonly afterRevision: number } | undefined;
  /** Whether deletions are reported. @default true */
  readonly removals?: boolean | undefined;
  /** Changes that wait for their reader at most. @default 1024 */
  readonly maxPending?: number | undefined;
  /** Ends the watch with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** What happened to a blob. */
export interface BlobChange {
  /** Whether it was stored or deleted. */
  readonly operation: "put" | "delete";
  /** The blob as it is now; of a deleted one only name, revision and time mean something. */
  readonly info: BlobInfo;
  /** Whether it is part of the state at the time when the watch began. */
  readonly initial: boolean;
}

/** Which blobs are listed. */
export interface ListBlobsOptions extends BlobCallOptions {
  /** Only blobs whose names begin with this text. @default "" */
  readonly prefix?: string | undefined;
}
