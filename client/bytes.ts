import type { Codec } from "./codec.ts";
import { JsflowError } from "./errors.ts";
import { describe } from "./validate.ts";

/**
 * Makes a codec that passes bytes through as they are, without a copy.
 *
 * The decoded array may share memory with the received message: copy it (`slice()`) to change it.
 * Anything but a `Uint8Array` raises `JsflowError` with code `encode_failed`.
 *
 * @example
 * ```ts
 * import { bytes } from "@x/jsflow/client";
 *
 * console.log(bytes().encode(new Uint8Array([1, 2, 3])).length);
 * ```
 */
export function bytes(): Codec<Uint8Array> {
  return { contentType: "application/octet-stream", encode, decode: (payload) => payload };
}

function encode(value: Uint8Array): Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new JsflowError("encode_failed", `cannot encode as bytes: got ${describe(value)}`);
  }
  return value;
}
