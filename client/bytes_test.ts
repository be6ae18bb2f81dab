import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes } from "./bytes.ts";

test("bytes pass through without a copy", () => {
  const value = Uint8Array.of(0, 1, 255);
  assert.equal(bytes().encode(value), value);
  assert.equal(bytes().decode(value), value);
});

test("anything else is refused", () => {
  for (const value of ["a", [1], new ArrayBuffer(1), null, undefined, new Uint16Array(1)]) {
    assert.throws(() => bytes().encode(value as unknown as Uint8Array), { code: "encode_failed" });
  }
});
