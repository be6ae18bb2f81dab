import { create } from "@bufbuild/protobuf";
import type { Codec } from "../client/codec.ts";
import { JsflowError } from "../client/errors.ts";
import { type Payload, PayloadSchema } from "./gen/jsflow/durable/v1/journal_pb.ts";

/**
 * Encodes a value for the journal. The bytes are copied: what the code does to the value later must
 * not change what is journaled.
 *
 * @throws {JsflowError} `encode_failed` when the codec returns no bytes; whatever the codec throws.
 */
export function toPayload<T>(codec: Codec<T>, value: T): Payload {
  const encoded: unknown = codec.encode(value);
  if (!(encoded instanceof Uint8Array)) {
    throw new JsflowError(
      "encode_failed",
      `cannot journal the value: encode() of the codec for ${codec.contentType} returned no Uint8Array`,
    );
  }
  const data = Uint8Array.from(encoded);
  return create(PayloadSchema, {
    data,
    contentType: codec.contentType,
    size: BigInt(data.byteLength),
  });
}

/**
 * Decodes a value of the journal.
 *
 * @throws {JsflowError} `unsupported` when the value lies in the payload bucket, which this version
 * can't read; whatever the codec throws.
 */
export function fromPayload<T>(codec: Codec<T>, payload: Payload | undefined): T {
  if (payload?.object) {
    throw new JsflowError(
      "unsupported",
      `cannot read payload object ${payload.object}: it was written by a newer version of jsflow`,
    );
  }
  return codec.decode(Uint8Array.from(payload?.data ?? []));
}
