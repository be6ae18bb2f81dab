import type { Codec } from "../client/codec.ts";

/** Where a value is stored. */
export interface ValueAddress {
  /** Name of the bucket. */
  readonly bucket: string;
  /** The key, as it was given to the store. */
  readonly key: string;
}

/**
 * A codec whose bytes depend on where they are stored, so that a value which somebody copied to
 * another key is not taken for that key's.
 *
 * A store asks it for a codec of each key; everywhere else such a codec refuses to work. `encrypted`
 * makes one.
 *
 * @example
 * ```ts
 * import { text } from "@x/jsflow/client";
 * import type { KeyedCodec } from "@x/jsflow/kv";
 *
 * const refuse = (): never => {
 *   throw new TypeError("this codec needs to know the key");
 * };
 * const labelled: KeyedCodec<string> = {
 *   contentType: "text/plain",
 *   encode: refuse,
 *   decode: refuse,
 *   bind: ({ key }) => ({
 *     contentType: "text/plain",
 *     encode: (value) => text().encode(`${key}=${value}`),
 *     decode: (bytes) => text().decode(bytes).slice(key.length + 1),
 *   }),
 * };
 * const bound = labelled.bind({ bucket: "b", key: "k" });
 * console.log(bound.decode(bound.encode("v")));
 * ```
 */
export interface KeyedCodec<T> extends Codec<T> {
  /** Returns the codec for one key. */
  bind(address: ValueAddress): Codec<T>;
}
