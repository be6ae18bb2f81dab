import type { Codec } from "../client/codec.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import { decodeValue } from "./_value_codec.ts";
import type { Entry } from "./entry.ts";

/**
 * Turns a stored revision into what users see.
 *
 * @throws {JsflowError} `decode_failed` or `invalid_payload`
 */
export function decodeEntry<T>(
  bucket: Pick<Bucket, "name">,
  codec: Codec<T>,
  entry: { readonly key: string; readonly raw: RawEntry },
): Entry<T> {
  const { key, raw } = entry;
  const { revision, time, operation } = raw;
  if (operation !== "put") return { key, revision, time, operation };
  const value = decodeValue(codec, raw.bytes, { bucket: bucket.name, key });
  return { key, revision, time, operation, value };
}
