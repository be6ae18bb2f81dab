import { checkString } from "../client/validate.ts";
import type { RawEntry } from "./_bucket.ts";
import { BlobDamagedError } from "./blob_damaged_error.ts";
import type { BlobInfo, BlobLink } from "./blob_info.ts";

/** Bytes of the longest name: its subject, a third longer, must fit into a line of the protocol. */
const MAX_NAME_BYTES = 1_024;
const DIGEST_PREFIX = "SHA-256=";
/** One token of a subject. */
const CHUNKS_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** What is stored about a blob. */
export interface BlobMeta {
  readonly info: BlobInfo;
  /** The last token of the subject of its chunks; "" when it is none. */
  readonly chunksId: string;
  readonly chunks: number;
  readonly isDeleted: boolean;
  /** The message as it is stored. */
  readonly raw: RawEntry;
}

/** What is to be stored about a blob. */
export interface MetaDraft {
  readonly bucket: string;
  readonly name: string;
  readonly chunksId: string;
  readonly sizeBytes: number;
  readonly chunks: number;
  /** Bytes of each chunk but the last. */
  readonly chunkBytes: number;
  /** "" for a blob that is deleted. */
  readonly digest: string;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Checks a blob's name. */
export function checkBlobName(what: string, name: unknown): string {
  const text = checkString(`${what}: name`, name);
  if (!text.isWellFormed()) throw new TypeError(`${what}: name must not have a lone surrogate`);
  const bytes = new TextEncoder().encode(text).length;
  if (bytes <= MAX_NAME_BYTES) return text;
  throw new RangeError(`${what}: name must have at most ${MAX_NAME_BYTES} bytes, got ${bytes}`);
}

/** The token that stands for a name in the subject. */
export function nameToken(name: string): string {
  return base64Url(new TextEncoder().encode(name));
}

/** How a SHA-256 is written. */
export function digestText(hash: Uint8Array): string {
  return DIGEST_PREFIX + base64Url(hash);
}

/** Base64 with the alphabet for URLs, padded; for a few bytes. */
function base64Url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_");
}

/** Writes it in the format that all clients share. */
export function encodeMeta(draft: MetaDraft): Uint8Array {
  const { bucket, name, chunksId, sizeBytes, chunks, chunkBytes, digest } = draft;
  return new TextEncoder().encode(JSON.stringify({
    name,
    description: draft.description,
    metadata: draft.metadata,
    options: { max_chunk_size: chunkBytes },
    bucket,
    nuid: chunksId,
    size: sizeBytes,
    mtime: new Date().toISOString(), // others show it; here the server's time counts
    chunks,
    digest,
    deleted: digest === "",
  }));
}

/** A description without the message that it came in. */
export interface ParsedMeta extends Pick<BlobMeta, "chunksId" | "chunks" | "isDeleted"> {
  readonly info: Omit<BlobInfo, "revision" | "time">;
}

/**
 * Reads it, from whichever client it comes.
 *
 * @throws {BlobDamagedError} when it is nothing of the kind.
 */
export function decodeMeta(bucket: string, raw: RawEntry): BlobMeta {
  const parsed = parseMeta(bucket, { token: raw.name, bytes: raw.bytes });
  return { ...parsed, info: stamped(parsed.info, raw), raw };
}

/** Adds what the message says. */
export function stamped(
  info: ParsedMeta["info"],
  { revision, time }: Pick<BlobInfo, "revision" | "time">,
): BlobInfo {
  return { ...info, revision, time };
}

/** The same for the bytes alone. */
export function parseMeta(
  bucket: string,
  { token, bytes }: { readonly token: string; readonly bytes: Uint8Array },
): ParsedMeta {
  const native = parse(bytes);
  const { name, size, chunks, nuid, deleted } = native ?? {};
  const link = readLink(native?.["options"]);
  const isDeleted = deleted === true;
  const chunksId = CHUNKS_ID.test(textOf(nuid)) ? textOf(nuid) : "";
  const isSound = typeof name === "string" && isCount(size) && isCount(chunks) &&
    (isDeleted || link !== undefined || chunksId !== "");
  if (!isSound) {
    const blob = typeof name === "string" ? name : nameOf(token);
    throw new BlobDamagedError(bucket, { blob, why: "its description can't be read" });
  }
  const info = {
    name,
    sizeBytes: size ?? 0,
    digest: textOf(native?.["digest"]),
    description: textOf(native?.["description"]),
    metadata: readTexts(native?.["metadata"]),
    link,
  };
  return { info, chunksId, chunks: chunks ?? 0, isDeleted };
}

/** The name that a subject's last token stands for; some clients don't write it in UTF-8. */
export function nameOf(token: string): string {
  const base64 = token.slice(token.lastIndexOf(".") + 1).replaceAll("-", "+").replaceAll("_", "/");
  try {
    const text = atob(base64);
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    return utf8.includes("\ufffd") ? text : utf8;
  } catch {
    return token; // not base64 at all
  }
}

function parse(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number | undefined {
  return value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function readTexts(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== "object" || value === null) return {};
  const texts = Object.entries(value).filter(([key, text]) =>
    typeof text === "string" && key !== "__proto__"
  );
  return Object.fromEntries(texts);
}

function readLink(options: unknown): BlobLink | undefined {
  const link = (options as { link?: unknown } | null | undefined)?.link;
  if (typeof link !== "object" || link === null) return undefined;
  const { bucket, name } = link as { bucket?: unknown; name?: unknown };
  return { bucket: textOf(bucket), name: textOf(name) || undefined };
}
