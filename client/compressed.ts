import { deflateSync, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import type { Codec } from "./codec.ts";
import { JsflowError } from "./errors.ts";
import { checkCodec, checkInteger, checkOneOf, checkOptions } from "./validate.ts";

/** How payloads are compressed; both are read whatever is chosen for writing. */
export type CompressionAlgorithm = "gzip" | "deflate";

/** How {@link compressed} works. */
export interface CompressedOptions {
  /** `deflate` (RFC 1950) is 12 bytes shorter, `gzip` (RFC 1952) better known. @default "gzip" */
  readonly algorithm?: CompressionAlgorithm | undefined;
  /** Payloads of fewer bytes stay as they are. @default 1024 */
  readonly thresholdBytes?: number | undefined;
  /** The most bytes that a payload may have before compression and after. @default 67108864 */
  readonly maxBytes?: number | undefined;
}

const DEFAULT_THRESHOLD_BYTES = 1_024;
const DEFAULT_MAX_BYTES = 64 * 1_048_576;
const LARGEST_BYTES = 2 ** 31 - 1;

const PLAIN = 0;
const GZIP = 1;
const DEFLATE = 2;

/**
 * Wraps a codec so that its payloads travel compressed when that makes them smaller.
 *
 * On the wire there is one byte in front, which says what follows: 0 for the payload as the inner
 * codec made it, 1 for gzip, 2 for deflate with the zlib header. Publishers and subscribers must
 * both use the wrapper; those that don't know it cannot read the payload. A payload that would
 * become larger than `maxBytes` is refused before that much memory is taken.
 *
 * Errors are those of the inner codec, besides `encode_failed` for a payload above `maxBytes`, and
 * `decode_failed` for one that is damaged, or grows beyond `maxBytes`.
 *
 * @throws {TypeError | RangeError} when codec or options are not of their kind.
 *
 * @example
 * ```ts
 * import { compressed, json } from "@x/jsflow/client";
 *
 * const codec = compressed(json<string[]>(), { thresholdBytes: 100 });
 * const bytes = codec.encode(Array(1_000).fill("again"));
 * console.log(bytes.length < 200, codec.decode(bytes).length); // true 1000
 * ```
 */
export function compressed<T>(codec: Codec<T>, options?: CompressedOptions): Codec<T> {
  const inner = checkCodec<T>("compressed: codec", codec);
  const settings = parseOptions(options);
  return {
    contentType: `application/vnd.jsflow.compressed; type="${
      inner.contentType.replaceAll('"', "'")
    }"`,
    encode: (value) => pack(inner.encode(value), settings),
    decode: (bytes) => inner.decode(unpack(bytes, settings.maxBytes)),
  };
}

interface Settings {
  readonly algorithm: CompressionAlgorithm;
  readonly thresholdBytes: number;
  readonly maxBytes: number;
}

function parseOptions(options: CompressedOptions | undefined): Settings {
  const known = checkOptions("compressed", options, ["algorithm", "thresholdBytes", "maxBytes"]);
  const { algorithm = "gzip", thresholdBytes = DEFAULT_THRESHOLD_BYTES } = known;
  const { maxBytes = DEFAULT_MAX_BYTES } = known;
  checkOneOf("compressed: algorithm", algorithm, ["gzip", "deflate"]);
  checkInteger("compressed: thresholdBytes", thresholdBytes);
  checkInteger("compressed: maxBytes", maxBytes, { min: 1, max: LARGEST_BYTES });
  return { algorithm, thresholdBytes, maxBytes };
}

function pack(payload: Uint8Array, settings: Settings): Uint8Array {
  const { algorithm, thresholdBytes, maxBytes } = settings;
  if (payload.length > maxBytes) {
    throw new JsflowError(
      "encode_failed",
      `cannot compress the payload: it has ${payload.length} bytes, at most ${maxBytes} are ` +
        "allowed; send less, or raise maxBytes on both sides",
    );
  }
  if (payload.length < thresholdBytes) return marked(PLAIN, payload);
  const small = algorithm === "gzip" ? gzipSync(payload) : deflateSync(payload);
  if (small.length >= payload.length) return marked(PLAIN, payload);
  return marked(algorithm === "gzip" ? GZIP : DEFLATE, small);
}

function marked(mark: number, payload: Uint8Array): Uint8Array {
  const whole = new Uint8Array(payload.length + 1);
  whole[0] = mark;
  whole.set(payload, 1);
  return whole;
}

function unpack(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const [mark] = bytes;
  const body = bytes.subarray(1);
  if (mark === GZIP || mark === DEFLATE) return inflate(mark, body, maxBytes);
  if (mark !== PLAIN) {
    const got = mark === undefined ? "an empty payload" : `the mark ${mark}`;
    throw new JsflowError(
      "decode_failed",
      `cannot decompress the payload: it begins with a mark from 0 to 2, got ${got}; wrap the ` +
        "publisher's codec in compressed() as well",
    );
  }
  if (body.length > maxBytes) throw tooLarge(maxBytes);
  return body;
}

function inflate(mark: number, body: Uint8Array, maxBytes: number): Uint8Array {
  const limit = { maxOutputLength: maxBytes };
  try {
    const buffer = mark === GZIP ? gunzipSync(body, limit) : inflateSync(body, limit);
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    const why = error instanceof Error ? error.message : String(error);
    throw new JsflowError("decode_failed", `cannot decompress the payload: ${why}`, {
      cause: error,
    });
  }
}

function tooLarge(maxBytes: number): JsflowError {
  return new JsflowError(
    "decode_failed",
    `cannot decompress the payload: it has more than ${maxBytes} bytes; raise maxBytes if that ` +
      "is meant to be",
  );
}
