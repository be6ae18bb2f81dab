import { createHash } from "node:crypto";
import { untilAborted } from "../client/deadline.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { describe } from "../client/validate.ts";
import type { HeaderCarrier } from "../trace/telemetry.ts";
import { type BlobMeta, decodeMeta, digestText, encodeMeta, type MetaDraft } from "./_blob_meta.ts";
import { type BlobStream, newNonce } from "./_blob_stream.ts";
import type { Bounds, RawEntry } from "./_bucket.ts";
import type { Lineage } from "./_lineage.ts";
import type { BlobContent, BlobReceipt } from "./blob_options.ts";
import { RetriesExhaustedError } from "./errors.ts";

/** How often a description is written while others write it too. */
const MAX_COMMITS = 32;
/** The most that the headers of a description take, a trace context included. */
const META_HEADER_BYTES = 3_072;

/** A blob to be stored, checked. */
export interface Upload {
  readonly name: string;
  readonly content: BlobContent;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly chunkBytes: number;
  readonly maxBytes: number;
  readonly bounds: Bounds;
}

/** What was stored of a content. */
type Stored = Pick<MetaDraft, "sizeBytes" | "chunks" | "digest">;

/**
 * Stores the chunks, then the description that leads to them, then removes what it replaced.
 *
 * Without a description chunks are no blob: whatever goes wrong, the old content stays until then.
 */
export async function uploadBlob(stream: BlobStream, upload: Upload): Promise<BlobReceipt> {
  const { name, description, metadata, chunkBytes, bounds } = upload;
  const { bucket } = stream;
  checkMetaSize(stream, upload);
  const operation = stream.core.telemetry.begin("publish", {
    destination: `$O.${bucket}.M`,
    template: `$O.${bucket}.M.{name}`,
  });
  const { tracing } = stream.core.telemetry;
  const chunksId = newNonce();
  try {
    const stored = await unlessFails(
      () => storeChunks(stream, upload, chunksId),
      () => stream.discard(chunksId, bounds.signal),
    );
    operation.note({ bodyBytes: stored.sizeBytes });
    const draft = { bucket, name, chunksId, chunkBytes, description, metadata, ...stored };
    const trace = tracing ? (headers: HeaderCarrier) => operation.inject(headers) : undefined;
    const revision = await commit(stream, draft, { ...bounds, trace });
    operation.end();
    return { name, sizeBytes: stored.sizeBytes, digest: stored.digest, revision };
  } catch (error) {
    operation.end(error);
    throw error;
  }
}

/** Removes a blob; false when there was none. */
export async function removeBlob(
  stream: BlobStream,
  name: string,
  bounds: Bounds,
): Promise<boolean> {
  const { bucket } = stream;
  const nothing = { sizeBytes: 0, chunks: 0, chunkBytes: 0, digest: "", description: "" };
  const read = () => stream.lastMeta(name, bounds);
  return await inCompetition(stream, { name, read }, async (last) => {
    const current = last && tryDecode(bucket, last);
    if (last === undefined || current?.isDeleted) return false;
    const chunksId = current?.chunksId ?? "";
    await stream.writeMeta({ bucket, name, chunksId, metadata: {}, ...nothing }, last, bounds);
    if (chunksId !== "") await stream.discard(chunksId, bounds.signal);
    return true;
  });
}

/** The server ends the connection over a message that is too large. */
function checkMetaSize(stream: BlobStream, upload: Upload): void {
  const { bucket, core: { maxPayloadBytes } } = stream;
  const { name } = upload;
  const counts = { sizeBytes: Number.MAX_SAFE_INTEGER, chunks: Number.MAX_SAFE_INTEGER };
  const ids = { chunksId: newNonce(), digest: digestText(new Uint8Array(32)) };
  const { length } = encodeMeta({ ...upload, bucket, ...counts, ...ids });
  if (length + META_HEADER_BYTES <= maxPayloadBytes) return;
  throw new JsflowError(
    "payload_too_large",
    `cannot put ${describe(name)}: its name, description and metadata take ${length} bytes, and ` +
      `the server takes ${maxPayloadBytes} with ${META_HEADER_BYTES} for headers; make them shorter`,
  );
}

async function storeChunks(
  stream: BlobStream,
  upload: Upload,
  chunksId: string,
): Promise<Stored> {
  const hash = createHash("sha256");
  let behind: Lineage | undefined;
  let sizeBytes = 0;
  let chunks = 0;
  for await (const bytes of inChunks(upload)) {
    sizeBytes += bytes.length;
    if (sizeBytes > upload.maxBytes) throw tooLarge(upload);
    hash.update(bytes);
    const chunk = { blob: upload.name, bytes, behind };
    const write = (bounds: Bounds) => stream.writeChunk(chunksId, chunk, bounds);
    // Without a connection the first one fails at once, as the client was told.
    behind = await (chunks === 0 ? write(upload.bounds) : stream.insist(upload.bounds, write));
    chunks++;
  }
  return { sizeBytes, chunks, digest: digestText(hash.digest()) };
}

/** Writes the description; chunks that it certainly does not lead to are removed when it fails. */
async function commit(
  stream: BlobStream,
  draft: MetaDraft,
  options: Parameters<BlobStream["writeMeta"]>[2],
): Promise<number> {
  const { trace, ...bounds } = options;
  const { name } = draft;
  let mayLead = false;
  const read = () => stream.insist(bounds, (left) => stream.lastMeta(name, left));
  const write = (last: RawEntry | undefined) => {
    mayLead = true;
    return stream.insist(bounds, (left) => stream.writeMeta(draft, last, { ...left, trace }))
      .catch((error) => {
        mayLead = isJsflowError(error, "outcome_unknown") || bounds.signal?.aborted === true;
        throw error;
      });
  };
  return await unlessFails(
    () =>
      inCompetition(stream, { name, read }, async (last) => {
        const replaced = last && tryDecode(stream.bucket, last);
        if (last && replaced?.chunksId === draft.chunksId) return last.revision; // it is the own one
        const revision = await write(last);
        if (replaced?.chunksId && !replaced.isDeleted) {
          await stream.discard(replaced.chunksId, bounds.signal);
        }
        return revision;
      }),
    () => mayLead ? Promise.resolve() : stream.discard(draft.chunksId, bounds.signal),
  );
}

/** Reads the description and changes it, again while others are faster. */
async function inCompetition<T>(
  stream: BlobStream,
  blob: { readonly name: string; readonly read: () => Promise<RawEntry | undefined> },
  change: (last: RawEntry | undefined) => Promise<T>,
): Promise<T> {
  for (let attempts = 1;; attempts++) {
    try {
      return await change(await blob.read());
    } catch (error) {
      if (!isJsflowError(error, "revision_conflict")) throw error;
      if (attempts < MAX_COMMITS) continue;
      throw new RetriesExhaustedError(stream.bucket, { key: blob.name, attempts }, {
        cause: error,
      });
    }
  }
}

/** Damaged ones can be replaced and removed. */
function tryDecode(bucket: string, raw: RawEntry): BlobMeta | undefined {
  try {
    return decodeMeta(bucket, raw);
  } catch {
    return undefined;
  }
}

async function unlessFails<T>(work: () => Promise<T>, undo: () => Promise<void>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await undo();
    throw error;
  }
}

/** Cuts a content into chunks of one size, but for the last. */
async function* inChunks(upload: Upload): AsyncGenerator<Uint8Array> {
  const { content, chunkBytes } = upload;
  if (content instanceof ReadableStream) return yield* regrouped(content, upload);
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

async function* regrouped(
  content: ReadableStream<Uint8Array>,
  { chunkBytes, bounds: { signal } }: Upload,
): AsyncGenerator<Uint8Array> {
  const reader = content.getReader();
  let isDone = false;
  try {
    let chunk = new Uint8Array(chunkBytes);
    let filled = 0;
    for (;;) {
      const read = reader.read();
      const { done, value } = await (signal ? untilAborted(read, signal) : read);
      isDone = done;
      if (done) break;
      if (!(value instanceof Uint8Array)) throw wrongPiece(value);
      for (let at = 0; at < value.length;) {
        const piece = value.subarray(at, at + chunkBytes - filled);
        chunk.set(piece, filled);
        filled += piece.length;
        at += piece.length;
        if (filled < chunkBytes) continue;
        yield chunk;
        chunk = new Uint8Array(chunkBytes); // the connection may still hold the last one
        filled = 0;
      }
    }
    if (filled > 0) yield chunk.subarray(0, filled);
  } finally {
    if (!isDone) reader.cancel(signal?.reason).catch(() => {}); // which may never end
    reader.releaseLock();
  }
}

function wrongPiece(value: unknown): TypeError {
  return new TypeError(`put: content must be a stream of Uint8Array, got ${describe(value)} in it`);
}

/** The error for a content that exceeds the limit. */
export function tooLarge({ name, maxBytes }: Pick<Upload, "name" | "maxBytes">): JsflowError {
  return new JsflowError(
    "payload_too_large",
    `cannot put ${describe(name)}: it has more than ${maxBytes} bytes; store less, or raise ` +
      "maxBlobBytes",
  );
}
