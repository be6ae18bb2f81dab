import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { bytes } from "./bytes.ts";
import { compressed, type CompressedOptions } from "./compressed.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";

const failsToDecode = (error: unknown) => isJsflowError(error, "decode_failed");

test("values come back, whatever the algorithm and the threshold", () => {
  for (const algorithm of ["gzip", "deflate"] as const) {
    for (const thresholdBytes of [0, 20, 1_000]) {
      const codec = compressed(json<string[]>(), { algorithm, thresholdBytes });
      fc.assert(fc.property(fc.array(fc.string()), (value) => {
        assert.deepEqual(codec.decode(codec.encode(value)), value);
      }));
    }
  }
});

test("small payloads stay plain behind the mark, and so do those that would grow", () => {
  const codec = compressed(bytes(), { thresholdBytes: 10 });
  assert.deepEqual([...codec.encode(new Uint8Array(9))], Array(10).fill(0));
  assert.equal(codec.encode(new Uint8Array(1_000))[0], 1);
  assert.equal(compressed(bytes(), { algorithm: "deflate" }).encode(new Uint8Array(2_000))[0], 2);
  const noise = crypto.getRandomValues(new Uint8Array(1_000));
  const kept = codec.encode(noise);
  assert.deepEqual([kept[0], kept.length], [0, 1_001]);
  assert.deepEqual(codec.decode(kept), noise);
  assert.equal(codec.encode(new Uint8Array()).length, 1);
  assert.equal(codec.decode(new Uint8Array([0])).length, 0);
});

test("both algorithms are read by every codec", () => {
  const gzip = compressed(json<string>(), { thresholdBytes: 0 });
  const deflate = compressed(json<string>(), { thresholdBytes: 0, algorithm: "deflate" });
  const value = "again ".repeat(100);
  assert.equal(gzip.decode(deflate.encode(value)), value);
  assert.equal(deflate.decode(gzip.encode(value)), value);
});

test("a payload that would outgrow the bound is refused", () => {
  const codec = compressed(bytes(), { maxBytes: 1_000 });
  const big = new Uint8Array(50_000_000);
  for (const [mark, body] of [[1, gzipSync(big)], [2, deflateSync(big)]] as const) {
    const bomb = new Uint8Array([mark, ...body]);
    assert.ok(bomb.length < 60_000);
    assert.throws(() => codec.decode(bomb), (error) => {
      return failsToDecode(error) && /more than 1000 bytes/.test((error as Error).message);
    });
  }
  assert.throws(() => codec.decode(new Uint8Array(1_002)), failsToDecode);
  assert.equal(codec.decode(new Uint8Array(1_001)).length, 1_000);
  assert.throws(
    () => codec.encode(new Uint8Array(1_001)),
    (error) => isJsflowError(error, "encode_failed"),
  );
});

test("damaged payloads are refused", () => {
  const codec = compressed(bytes(), { thresholdBytes: 0 });
  const good = codec.encode(new Uint8Array(10_000));
  const damaged = [
    new Uint8Array(),
    new Uint8Array([3, 1]),
    new Uint8Array([123]),
    new Uint8Array([1]),
    new Uint8Array([2]),
    new Uint8Array([1, 2, 3, 4]),
    good.subarray(0, good.length - 5),
    good.with(good.length - 6, (good.at(-6) ?? 0) ^ 0xff),
  ];
  for (const payload of damaged) assert.throws(() => codec.decode(payload), failsToDecode);
  assert.throws(() => compressed(json(), {}).decode(new Uint8Array([0, 123])), failsToDecode);
});

test("options and codec are checked", () => {
  assert.throws(() => compressed(undefined as unknown as ReturnType<typeof bytes>), TypeError);
  const types: unknown[] = [{ algorithm: "brotli" }, { level: 9 }, { maxBytes: "1" }, null];
  for (const options of types) {
    assert.throws(() => compressed(bytes(), options as CompressedOptions), TypeError);
  }
  for (const options of [{ maxBytes: 0 }, { maxBytes: NaN }, { thresholdBytes: -1 }]) {
    assert.throws(() => compressed(bytes(), options), RangeError);
  }
  const { contentType } = compressed(json(), { maxBytes: undefined, algorithm: undefined });
  assert.equal(contentType, 'application/vnd.jsflow.compressed; type="application/json"');
});

test("wrappers compose", () => {
  const codec = compressed(compressed(json<string>(), { thresholdBytes: 0 }));
  assert.equal(codec.decode(codec.encode("x".repeat(5_000))), "x".repeat(5_000));
});
