import { createHash } from "node:crypto";
import { JsflowError } from "../client/errors.ts";
import { checkInteger, checkOptions, describe } from "../client/validate.ts";
import { type BlobMeta, digestText } from "./_blob_meta.ts";
import type { BlobStream } from "./_blob_stream.ts";
import type { Bounds } from "./_bucket.ts";
import { BlobDamagedError } from "./blob_damaged_error.ts";
import type { BlobInfo } from "./blob_info.ts";
import {
  BLOB_READ_AHEAD,
  type CollectOptions,
  MAX_COLLECTED_BYTES,
  type StoredBlob,
} from "./blob_options.ts";

/** A blob whose content can be read, once. */
export class DownloadedBlob implements StoredBlob {
  readonly info: BlobInfo;
  readonly #open: () => ReadableStream<Uint8Array>;
  #body: ReadableStream<Uint8Array> | undefined;

  constructor(stream: BlobStream, meta: BlobMeta, bounds: Bounds) {
    this.info = meta.info;
    this.#open = () => openBody(new Download(stream, meta, bounds), bounds.signal);
  }

  /** Nothing is asked for before somebody wants it. */
  get body(): ReadableStream<Uint8Array> {
    return this.#body ??= this.#open();
  }

  async bytes(options?: CollectOptions): Promise<Uint8Array> {
    const { maxBytes = MAX_COLLECTED_BYTES } = checkOptions("bytes", options, ["maxBytes"]);
    checkInteger("bytes: maxBytes", maxBytes);
    const { name, sizeBytes } = this.info;
    if (sizeBytes > maxBytes) {
      throw new JsflowError(
        "payload_too_large",
        `cannot hold ${describe(name)} in memory: it has ${sizeBytes} bytes, at most ${maxBytes} ` +
          "are allowed; read its body piece by piece, or raise maxBytes",
      );
    }
    const reader = this.body.getReader();
    const whole = new Uint8Array(sizeBytes);
    let at = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return whole;
      whole.set(value, at);
      at += value.length;
    }
  }

  async text(options?: CollectOptions): Promise<string> {
    const bytes = await this.bytes(options);
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch (error) {
      throw new JsflowError(
        "decode_failed",
        `cannot read ${describe(this.info.name)} as text: it is not valid UTF-8; read its bytes`,
        { cause: error },
      );
    }
  }
}

/** Turns a download into a stream that asks for no more than a few chunks ahead of its reader. */
function openBody(
  download: Download,
  signal: AbortSignal | undefined,
): ReadableStream<Uint8Array> {
  let forget = () => {};
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const abort = () => {
        download.cancel(signal?.reason);
        controller.error(signal?.reason);
      };
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      forget = () => signal?.removeEventListener("abort", abort);
    },
    async pull(controller) {
      try {
        const bytes = await download.next();
        if (bytes !== undefined) return controller.enqueue(bytes);
        forget();
        controller.close();
      } catch (error) {
        forget();
        if (!download.isCancelled) throw error;
      }
    },
    cancel(reason) {
      forget();
      download.cancel(reason);
    },
  }, { highWaterMark: BLOB_READ_AHEAD });
}

/** Reads the chunks of one content, one after the other, and checks them. */
class Download {
  readonly #stream: BlobStream;
  readonly #meta: BlobMeta;
  readonly #timeoutMs: number;
  readonly #over = new AbortController();
  readonly #hash = createHash("sha256");
  #sequence = 0;
  #received = 0;

  constructor(stream: BlobStream, meta: BlobMeta, { timeoutMs }: Bounds) {
    this.#stream = stream;
    this.#meta = meta;
    this.#timeoutMs = timeoutMs;
  }

  get isCancelled(): boolean {
    return this.#over.signal.aborted;
  }

  /** Ends what is under way. */
  cancel(reason: unknown): void {
    this.#over.abort(reason);
  }

  /** The next chunk; undefined behind the last. The last one is checked before it is handed out. */
  async next(): Promise<Uint8Array | undefined> {
    const { info: { sizeBytes } } = this.#meta;
    if (this.#received === sizeBytes) {
      if (sizeBytes === 0) this.#checkDigest();
      return undefined;
    }
    const bytes = await this.#nextChunk();
    this.#hash.update(bytes);
    this.#received += bytes.length;
    if (this.#received > sizeBytes) throw this.#damaged(`it has more than ${sizeBytes} bytes`);
    if (this.#received === sizeBytes) this.#checkDigest();
    return bytes;
  }

  async #nextChunk(): Promise<Uint8Array> {
    const { chunksId } = this.#meta;
    const bounds = { signal: this.#over.signal, timeoutMs: this.#timeoutMs };
    const chunk = await this.#stream.nextChunk(chunksId, this.#sequence + 1, bounds);
    if (chunk === undefined) throw await this.#explainEnd(bounds);
    this.#sequence = chunk.seq;
    return chunk.data;
  }

  /** Less is stored than there should be. */
  async #explainEnd(bounds: Bounds): Promise<Error> {
    const { info, raw } = this.#meta;
    const last = await this.#stream.lastMeta(info.name, bounds);
    if (last?.revision === raw.revision) {
      return this.#damaged(
        `${info.sizeBytes - this.#received} of ${info.sizeBytes} bytes are missing`,
      );
    }
    return new JsflowError(
      "revision_conflict",
      `cannot read ${describe(info.name)} of bucket ${this.#stream.bucket}: it was replaced or ` +
        "deleted while it was read; read it again",
    );
  }

  #checkDigest(): void {
    const found = digestText(this.#hash.digest());
    const { digest } = this.#meta.info;
    if (plain(found) === plain(digest)) return;
    throw this.#damaged(`its digest is ${found} instead of ${digest}`);
  }

  #damaged(why: string): BlobDamagedError {
    return new BlobDamagedError(this.#stream.bucket, { blob: this.#meta.info.name, why });
  }
}

/** Clients differ in alphabet and padding. */
function plain(digest: string): string {
  return digest.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
