/**
 * Turns values of one type into bytes and back.
 *
 * A codec is a pure pair of functions: it holds no state and does no I/O, and `decode(encode(v))`
 * is equal to `v` for every value that it accepts. `encode` throws `JsflowError` with code
 * `encode_failed` or `invalid_payload`; `decode` throws it with `decode_failed` or
 * `invalid_payload`.
 *
 * @example
 * ```ts
 * import type { Codec } from "@x/jsflow/client";
 *
 * const date: Codec<Date> = {
 *   contentType: "text/plain",
 *   encode: (value) => new TextEncoder().encode(value.toISOString()),
 *   decode: (bytes) => new Date(new TextDecoder().decode(bytes)),
 * };
 * console.log(date.decode(date.encode(new Date(0))).getTime());
 * ```
 */
export interface Codec<T> {
  /** The media type of the encoded bytes, such as `application/json`. */
  readonly contentType: string;
  /** Returns the bytes that stand for `value`. */
  encode(value: T): Uint8Array;
  /** Returns the value that `bytes` stand for. */
  decode(bytes: Uint8Array): T;
}
