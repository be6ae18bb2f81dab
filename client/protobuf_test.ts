import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type Duration,
  DurationSchema,
  NullValueSchema,
  type Timestamp,
  TimestampSchema,
} from "@bufbuild/protobuf/wkt";
import type { Codec } from "./codec.ts";
import type { DescMessage } from "./native.ts";
import { protobuf } from "./protobuf.ts";

const codec: Codec<Timestamp> = protobuf(TimestampSchema);

test("messages come back", () => {
  const message = create(TimestampSchema, { seconds: 12n, nanos: 5 });
  assert.deepEqual(codec.decode(codec.encode(message)), message);
  assert.equal(codec.contentType, "application/protobuf");
});

test("other values and values out of range are refused", () => {
  const duration = create(DurationSchema, { seconds: 1n }) as unknown as Timestamp;
  for (const value of [duration, {} as Timestamp, null as unknown as Timestamp]) {
    assert.throws(() => codec.encode(value), { code: "encode_failed", message: /Timestamp: got / });
  }
  const tooLarge = create(TimestampSchema, { nanos: 2 ** 40 });
  assert.throws(() => codec.encode(tooLarge), { code: "encode_failed" });
});

test("bytes that are no such message are refused", () => {
  for (const bytes of [[0x08], [0xff, 0xff], [0x12, 0x05, 0x01]]) {
    assert.throws(() => codec.decode(Uint8Array.from(bytes)), { code: "decode_failed" });
  }
});

test("protobuf refuses what is no message schema", () => {
  for (const schema of [undefined, null, {}, NullValueSchema]) {
    assert.throws(() => protobuf(schema as unknown as DescMessage), TypeError);
  }
});

test("types: the codec is of the schema's message", () => {
  // @ts-expect-error -- a codec of timestamps is none of durations
  const wrong: Codec<Duration> = protobuf(TimestampSchema);
  assert.ok(wrong);
});
