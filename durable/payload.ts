import { create } from "@bufbuild/protobuf";
import type { Codec } from "../client/codec.ts";
import { JsflowError } from "../client/errors.ts";
import { type Payload, PayloadSchema } from "./gen/jsflow/durable/v1/journal_pb.ts";

/** Encodes a value for the journal; the codec's own typed error is let through. */
export function toPayload<T>(codec: Codec<T>, value: T): Payload {
  const data = codec.encode(value);
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
  return codec.decode(payload?.data ?? new Uint8Array());
}
