import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { text } from "./text.ts";

const codec = text();

test("well-formed text comes back, byte order mark included", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      (value) => codec.decode(codec.encode(value)) === value,
    ),
  );
  assert.equal(codec.decode(codec.encode("\ufeffa")), "\ufeffa");
  assert.equal(codec.decode(new Uint8Array(0)), "");
});

test("what UTF-8 cannot hold is refused", () => {
  assert.throws(() => codec.encode("a\ud800"), { code: "encode_failed" });
  assert.throws(() => codec.encode(5 as unknown as string), { code: "encode_failed" });
});

test("invalid UTF-8 is refused, and a later payload still decodes", () => {
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
    assert.throws(() => codec.decode(Uint8Array.from(bytes)), { code: "decode_failed" });
    assert.equal(codec.decode(Uint8Array.of(0x61)), "a");
  }
});
