import { decodeJson, encodeJson } from "./_json_text.ts";
import type { Codec } from "./codec.ts";

const RULES = { lossless: true } as const;
const NOTHING = new Uint8Array(0);

/**
 * Makes a JSON codec for values that must come back equal to what went in.
 *
 * Encoding refuses, with `JsflowError` code `encode_failed` and the path (`$.items[2].at`), every
 * value that JSON would change: Dates, Maps, Sets, typed arrays and other class instances, anything
 * with `toJSON`, NaN and infinities, bigints, functions, symbols and symbol keys, `undefined` and
 * holes in arrays, arrays with properties of their own, cycles, and `__proto__` keys.
 *
 * Three differences are allowed: a property that is `undefined` is left out, -0 becomes 0, and an
 * object without a prototype comes back with the usual one. A top-level `undefined` becomes zero
 * bytes and comes back as `undefined`. Decoding raises `decode_failed` for anything that is not
 * JSON in UTF-8.
 *
 * @example
 * ```ts
 * import { losslessJson } from "@x/jsflow/client";
 *
 * const codec = losslessJson<{ at: string } | undefined>();
 * console.log(codec.decode(codec.encode(undefined)) === undefined);
 * ```
 */
export function losslessJson<T>(): Codec<T> {
  return {
    contentType: "application/json",
    encode: (value) => value === undefined ? NOTHING.slice() : encodeJson(value, RULES),
    decode: (bytes) => (bytes.length === 0 ? undefined : decodeJson(bytes)) as T,
  };
}
