import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Codec } from "./codec.ts";
import { JsflowError } from "./errors.ts";
import type { DescMessage, MessageShape } from "./native.ts";
import { describe } from "./validate.ts";

/**
 * Makes a codec for a Protobuf message, from the schema that `protoc-gen-es` generates.
 *
 * Unknown fields are kept. A message of another type, or one with a value that its field cannot
 * hold, raises `JsflowError` with code `encode_failed`; bytes that are no such message raise
 * `decode_failed`.
 *
 * @throws {TypeError} when `schema` is not a message schema.
 *
 * @example
 * ```ts
 * import { create } from "@bufbuild/protobuf";
 * import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
 * import { type Codec, protobuf } from "@x/jsflow/client";
 *
 * const codec: Codec<Timestamp> = protobuf(TimestampSchema);
 * console.log(codec.encode(create(TimestampSchema, { seconds: 1n })).length);
 * ```
 */
export function protobuf<D extends DescMessage>(schema: D): Codec<MessageShape<D>> {
  const candidate: Partial<DescMessage> | null | undefined = schema;
  if (candidate?.kind !== "message") {
    throw new TypeError(`protobuf needs the schema of a message, got ${describe(schema)}`);
  }
  return {
    contentType: "application/protobuf",
    encode: (value) => encode(schema, value),
    decode: (bytes) => decode(schema, bytes),
  };
}

function encode<D extends DescMessage>(schema: D, value: MessageShape<D>): Uint8Array {
  const type: unknown = (value as { $typeName?: unknown } | null | undefined)?.$typeName;
  if (type !== schema.typeName) {
    const got = typeof type === "string" ? type : describe(value);
    throw new JsflowError("encode_failed", `cannot encode as ${schema.typeName}: got ${got}`);
  }
  try {
    return toBinary(schema, value);
  } catch (error) {
    throw new JsflowError(
      "encode_failed",
      `cannot encode as ${schema.typeName}: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}

function decode<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new JsflowError(
      "decode_failed",
      `cannot decode the payload: ${bytes.length} bytes are not a valid ${schema.typeName}`,
      { cause: error },
    );
  }
}
