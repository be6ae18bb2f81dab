import { isJsflowError, JsflowError } from "../client/errors.ts";
import { deleteStream } from "../client/streams.ts";
import { checkObject, checkString, describe } from "../client/validate.ts";
import { DownloadedBlob } from "./_blob_download.ts";
import { type BlobMeta, checkBlobName, decodeMeta } from "./_blob_meta.ts";
import type { BlobStream } from "./_blob_stream.ts";
import { removeBlob, tooLarge, type Upload, uploadBlob } from "./_blob_upload.ts";
import { listBlobs, watchBlobs } from "./_blob_watch.ts";
import type { Bounds } from "./_bucket.ts";
import { checkBounds } from "./_check_store.ts";
import type { BlobInfo } from "./blob_info.ts";
import type {
  BlobCallOptions,
  BlobContent,
  BlobReceipt,
  BlobWatchOptions,
  ListBlobsOptions,
  PutBlobOptions,
  StoredBlob,
} from "./blob_options.ts";
import type { Blobs, BlobWatch } from "./blobs.ts";
import type { StoreCallOptions } from "./store.ts";

/** How blobs are written, checked. */
export interface BlobSettings {
  readonly timeoutMs: number;
  readonly chunkBytes: number;
  readonly maxBlobBytes: number;
}

/** The one implementation of `Blobs`. */
export class BucketBlobs implements Blobs {
  readonly bucket: string;
  readonly #stream: BlobStream;
  readonly #settings: BlobSettings;
  readonly #watches = new Set<BlobWatch>();
  #isClosed = false;

  constructor(stream: BlobStream, settings: BlobSettings) {
    this.bucket = stream.bucket;
    this.#stream = stream;
    this.#settings = settings;
  }

  async put(name: string, content: BlobContent, options?: PutBlobOptions): Promise<BlobReceipt> {
    const bounds = this.#bounds("put", options, ["description", "metadata"]);
    const { chunkBytes, maxBlobBytes: maxBytes } = this.#settings;
    const upload: Upload = {
      name: checkBlobName("put", name),
      content: checkContent(content),
      description: checkString("put: description", options?.description ?? "", {
        minLength: 0,
        maxLength: 4_096,
      }),
      metadata: checkMetadata(options?.metadata),
      chunkBytes,
      maxBytes,
      bounds,
    };
    bounds.signal?.throwIfAborted();
    if (lengthOf(content) > maxBytes) throw tooLarge(upload);
    return await this.#run(`put ${describe(name)}`, () => uploadBlob(this.#stream, upload));
  }

  async get(name: string, options?: BlobCallOptions): Promise<StoredBlob | undefined> {
    const bounds = this.#bounds("get", options);
    const meta = await this.#meta("get", name, bounds);
    if (meta === undefined) return undefined;
    this.#checkReadable(meta);
    return new DownloadedBlob(this.#stream, meta, bounds);
  }

  async getOrThrow(name: string, options?: BlobCallOptions): Promise<StoredBlob> {
    const blob = await this.get(name, options);
    if (blob !== undefined) return blob;
    throw new JsflowError(
      "key_not_found",
      `cannot read ${describe(name)} of bucket ${this.bucket}: there is no such blob; check the ` +
        "name, or use get where it may be missing",
    );
  }

  async info(name: string, options?: BlobCallOptions): Promise<BlobInfo | undefined> {
    const bounds = this.#bounds("info", options);
    return (await this.#meta("info", name, bounds))?.info;
  }

  async delete(name: string, options?: BlobCallOptions): Promise<boolean> {
    const bounds = this.#bounds("delete", options);
    checkBlobName("delete", name);
    const what = `delete ${describe(name)}`;
    return await this.#run(what, () => removeBlob(this.#stream, name, bounds));
  }

  list(options?: ListBlobsOptions): AsyncIterable<BlobInfo> {
    const bounds = this.#bounds("list", options, ["prefix"]);
    const prefix = checkString("list: prefix", options?.prefix ?? "", { minLength: 0 });
    return listBlobs(this.#stream, { ...bounds, prefix });
  }

  watch(options?: BlobWatchOptions): BlobWatch {
    this.#checkOpen("watch");
    const watch = watchBlobs(this.#stream, options);
    this.#watches.add(watch);
    const forget = () => this.#watches.delete(watch);
    watch.closed.then(forget, forget);
    return watch;
  }

  async destroy(options?: StoreCallOptions): Promise<void> {
    const bounds = this.#bounds("destroy", options);
    await deleteStream(this.#stream.core, this.#stream.stream, { ...bounds });
    await this.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#watches, this.#stream].map((part) => part.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #meta(what: string, name: string, bounds: Bounds): Promise<BlobMeta | undefined> {
    checkBlobName(what, name);
    return await this.#run(`read ${describe(name)}`, async () => {
      const raw = await this.#stream.lastMeta(name, bounds);
      const meta = raw && decodeMeta(this.bucket, raw);
      return meta?.isDeleted ? undefined : meta;
    });
  }

  #checkReadable({ info: { name, link, digest, sizeBytes } }: BlobMeta): void {
    if (link === undefined && (digest.startsWith("SHA-256=") || sizeBytes === 0)) return;
    const why = link === undefined
      ? `its digest ${describe(digest)} is of an unknown kind; read it with the client that put it`
      : `it is a link to ${describe(link.name ?? "")} in bucket ${link.bucket}; read that one`;
    throw new JsflowError(
      "unsupported",
      `cannot read ${describe(name)} of bucket ${this.bucket}: ${why}`,
    );
  }

  #bounds<O extends BlobCallOptions>(
    what: string,
    options: O | undefined,
    keys: readonly (keyof O & string)[] = [],
  ): Bounds {
    const { timeoutMs } = this.#settings;
    const bounds = checkBounds(what, options, { timeoutMs, keys });
    this.#checkOpen(what);
    return bounds;
  }

  #checkOpen(what: string): void {
    if (!this.#isClosed) return;
    throw new JsflowError(
      "connection_closed",
      `cannot ${what}: the blobs of bucket ${this.bucket} are closed; open them again`,
    );
  }

  /** A bucket that is gone is told in terms of blobs. */
  async #run<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isJsflowError(error, "bucket_not_found")) throw error;
      throw new JsflowError(
        "bucket_not_found",
        `cannot ${what}: bucket ${this.bucket} does not exist; create it with openBlobs`,
        { cause: error },
      );
    }
  }
}

function checkContent(content: unknown): BlobContent {
  const fits = typeof content === "string" || content instanceof Uint8Array ||
    content instanceof ReadableStream;
  if (!fits) {
    throw new TypeError(
      `put: content must be a string, a Uint8Array or a ReadableStream, got ${describe(content)}`,
    );
  }
  if (content instanceof ReadableStream && content.locked) {
    throw new TypeError("put: content must be a stream that nobody reads, got a locked one");
  }
  return content as BlobContent;
}

function lengthOf(content: BlobContent): number {
  if (content instanceof Uint8Array) return content.length;
  return typeof content === "string" ? content.length : 0; // a text has no fewer bytes
}

function checkMetadata(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  const entries = Object.entries(checkObject("put: metadata", value));
  for (const [key, text] of entries) {
    checkString(`put: metadata.${key}`, text, { minLength: 0 });
    if (key === "__proto__") throw new TypeError("put: metadata must not have the name __proto__");
  }
  return Object.fromEntries(entries) as Record<string, string>;
}
