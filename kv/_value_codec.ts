import type { Codec } from "../client/codec.ts";
import { JsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { describe } from "../client/validate.ts";
import type { KeyedCodec, ValueAddress } from "./keyed_codec.ts";
import { showKey } from "./_show_key.ts";

/** Where a value goes, and how large it may be. */
export interface ValuePlace extends ValueAddress {
  /** Bytes once encoded. */
  readonly maxValueBytes: number;
}

/**
 * Encodes the value of a key.
 *
 * @throws {JsflowError} `payload_too_large`, or as the codec does; `encode_failed` when that throws
 * something else.
 */
export function encodeValue<T>(codec: Codec<T>, value: T, place: ValuePlace): Uint8Array {
  const { maxValueBytes } = place;
  const what = `write ${show(place)}`;
  const bytes = guarded(
    "encode_failed",
    `${what}: the value cannot be encoded`,
    () => bindCodec(codec, place).encode(value),
  );
  if (!(bytes instanceof Uint8Array)) {
    throw new JsflowError(
      "encode_failed",
      `cannot ${what}: the codec returned ${describe(bytes)} instead of a Uint8Array`,
    );
  }
  if (bytes.length <= maxValueBytes) return bytes;
  throw new JsflowError(
    "payload_too_large",
    `cannot ${what}: the value has ${bytes.length} bytes once encoded, and ${maxValueBytes} are ` +
      "allowed; store less, or raise maxValueBytes",
  );
}

/**
 * Decodes the value of a key.
 *
 * @throws {JsflowError} as the codec does, or `decode_failed` when it throws something else.
 */
export function decodeValue<T>(codec: Codec<T>, bytes: Uint8Array, address: ValueAddress): T {
  return guarded(
    "decode_failed",
    `read ${show(address)}: the value cannot be decoded`,
    () => bindCodec(codec, address).decode(bytes),
  );
}

/** Tells a codec that wants to know whose value it turns. */
export function bindCodec<T>(codec: Codec<T>, { bucket, key }: ValueAddress): Codec<T> {
  const { bind } = codec as Partial<KeyedCodec<T>>;
  return typeof bind === "function" ? bind.call(codec, { bucket, key }) : codec;
}

function guarded<R>(code: JsflowErrorCode, what: string, work: () => R): R {
  try {
    return work();
  } catch (error) {
    // A schema that is asynchronous is misuse.
    if (error instanceof JsflowError || error instanceof TypeError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new JsflowError(code, `cannot ${what}: ${why}`, { cause: error });
  }
}

function show({ bucket, key }: ValueAddress): string {
  return `${showKey(key)} of bucket ${bucket}`;
}
