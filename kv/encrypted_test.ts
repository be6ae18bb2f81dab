import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { Kvm } from "@nats-io/kv";
import fc from "fast-check";
import { bytes } from "../client/bytes.ts";
import type { Codec } from "../client/codec.ts";
import { compressed } from "../client/compressed.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { text } from "../client/text.ts";
import { withConnected } from "../client/testdata/server_ground.ts";
import { encrypted, type EncryptionKeys } from "./encrypted.ts";
import { openStore } from "./open_store.ts";

const keyOf = (fill: number) => new Uint8Array(32).fill(fill);
const OLD = { "2025": keyOf(1) };
const KEYS: EncryptionKeys = { current: "2026", keys: { ...OLD, "2026": keyOf(2) } };
const HERE = { bucket: "b", key: "k" };

const isDecodeFailure = (error: unknown) => isJsflowError(error, "decode_failed");

test("values come back", () => {
  const codec = encrypted(bytes(), KEYS);
  fc.assert(fc.property(fc.string(), fc.string(), fc.uint8Array(), (bucket, key, value) => {
    const bound = codec.bind({ bucket, key });
    assert.deepEqual(bound.decode(bound.encode(value)), value);
  }));
  const empty = encrypted(bytes(), KEYS).bind(HERE);
  assert.deepEqual(empty.decode(empty.encode(new Uint8Array(0))), new Uint8Array(0));
});

test("nothing of a value shows, and it never looks the same twice", () => {
  const bound = encrypted(text(), KEYS).bind(HERE);
  const first = bound.encode("a secret of some length");
  assert.ok(!new TextDecoder("latin1").decode(first).includes("secret"));
  assert.notDeepEqual(bound.encode("a secret of some length"), first);
});

test("a value is refused wherever it was not written", () => {
  const codec = encrypted(text(), KEYS);
  const place = fc.tuple(fc.string(), fc.string());
  const lone = fc.constantFrom("\ud800", "\ud801", "\udfff");
  const places = fc.oneof(place, fc.tuple(lone, lone), fc.constantFrom(["a", "bc"], ["ab", "c"]));
  fc.assert(fc.property(places, places, (one, other) => {
    fc.pre(one[0] !== other[0] || one[1] !== other[1]);
    const [bucket = "", key = ""] = one;
    const sealed = codec.bind({ bucket, key }).encode("v");
    const [toBucket = "", toKey = ""] = other;
    const there = codec.bind({ bucket: toBucket, key: toKey });
    assert.throws(() => there.decode(sealed), isDecodeFailure);
  }));
});

test("any change is noticed", () => {
  const bound = encrypted(text(), KEYS).bind(HERE);
  const sealed = bound.encode("value");
  for (let index = 0; index < sealed.length; index++) {
    for (const bit of [1, 128]) {
      const changed = sealed.slice();
      changed[index]! ^= bit;
      assert.throws(() => bound.decode(changed), isDecodeFailure, `byte ${index}`);
    }
  }
  for (let length = 0; length < sealed.length; length++) {
    assert.throws(() => bound.decode(sealed.subarray(0, length)), isDecodeFailure);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (any) => {
    assert.throws(() => bound.decode(any), isDecodeFailure);
  }));
});

test("keys can be rotated", () => {
  const before = encrypted(text(), { current: "2025", keys: OLD }).bind(HERE);
  const during = encrypted(text(), KEYS).bind(HERE);
  const after = encrypted(text(), { current: "2026", keys: { "2026": keyOf(2) } }).bind(HERE);
  const old = before.encode("v");
  assert.equal(during.decode(old), "v");
  assert.throws(() => after.decode(old), /"2025"/);
  const renewed = during.encode(during.decode(old));
  assert.equal(after.decode(renewed), "v");
  assert.throws(() => before.decode(renewed), isDecodeFailure);
});

test("keys are copied, and show nowhere", () => {
  const key = keyOf(7);
  const keys = { a: key };
  const codec = encrypted(text(), { current: "a", keys });
  const sealed = codec.bind(HERE).encode("v");
  key.fill(0);
  keys.a = keyOf(8);
  assert.equal(codec.bind(HERE).decode(sealed), "v");
  assert.ok(!inspect(codec.bind(HERE), { depth: 9, showHidden: true }).includes("7, 7"));
});

test("what the codec within throws does not show the value", async () => {
  const secret = "DE89370400440532013000";
  const broken: Codec<string> = {
    contentType: "text/plain",
    encode: (value) => new TextEncoder().encode(value),
    decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
  };
  const url: Codec<string> = { ...broken, decode: (bytes) => `${new URL(`${bytes}`)}` };
  const schema: Codec<string> = {
    ...broken,
    decode: () => {
      throw new JsflowError("invalid_payload", `it is ${secret}`, { cause: [secret] });
    },
  };
  const cases: [Codec<string>, string][] = [
    [broken, "decode_failed"],
    [url, "TypeError"],
    [schema, "invalid_payload"],
  ];
  await withConnected({}, async ({ client }) => {
    for (const [index, [codec, kind]] of cases.entries()) {
      const bucket = `b${index}`;
      const store = await openStore(client, { bucket, codec: encrypted(codec, KEYS) });
      await store.put("k", secret);
      const failures = [await errorOf(() => store.get("k"))];
      for (const watch of [store.watch(), store.watch({ from: "history" })]) {
        failures.push(await errorOf(() => watch[Symbol.asyncIterator]().next()));
      }
      for (const error of failures) {
        assert.ok(!inspect(error, { depth: 9 }).includes(secret), inspect(error));
      }
      const [first] = failures;
      assert.equal(isJsflowError(first) ? first.code : (first as Error).name, kind);
    }
  });
});

async function errorOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return assert.fail("it does not fail");
}

test("a value that can't be encoded does not show, nor is a text taken for bytes", () => {
  const secret = "DE89370400440532013000";
  const refuses = encrypted(bytes(), KEYS).bind(HERE);
  const texts = encrypted({ ...text(), encode: (value: string) => value as never }, KEYS).bind(
    HERE,
  );
  for (const encode of [() => refuses.encode(secret as never), () => texts.encode(secret)]) {
    assert.throws(encode, (error) => {
      assert.ok(isJsflowError(error, "encode_failed"));
      return !inspect(error).includes(secret);
    });
  }
});

test("what comes out has memory of its own", () => {
  const bound = encrypted(bytes(), KEYS).bind(HERE);
  const sealed = bound.encode(new Uint8Array([1, 2, 3]));
  const plain = bound.decode(sealed);
  assert.deepEqual(plain, new Uint8Array([1, 2, 3]));
  assert.equal(plain.buffer.byteLength, 3);
  assert.equal(sealed.buffer.byteLength, sealed.length);
});

test("only a store can use it, as the outermost wrapper", () => {
  const codec = encrypted(text(), KEYS);
  assert.throws(() => codec.encode("v"), TypeError);
  assert.throws(() => codec.decode(new Uint8Array(99)), TypeError);
  assert.throws(() => compressed(codec).encode("v"), TypeError);
  const right = encrypted(compressed(json<string[]>()), KEYS).bind(HERE);
  const value = Array(1_000).fill("again");
  assert.ok(right.encode(value).length < 200);
  assert.deepEqual(right.decode(right.encode(value)), value);
});

test("a store keeps nothing but what is encrypted, and refuses what was moved", async () => {
  await withConnected({}, async ({ client }) => {
    const codec = encrypted(json<unknown>(), KEYS);
    const store = await openStore(client, { bucket: "secrets", codec, history: 5 });
    await store.create("a", { iban: "DE00" });
    await store.update("a", (value) => ({ ...value as object, n: 1 }));
    const expected = { iban: "DE00", n: 1 };
    assert.deepEqual(await store.get("a"), expected);
    assert.deepEqual(await store.getMany(["a"]), new Map([["a", expected]]));
    assert.equal((await store.history("a")).length, 2);
    assert.deepEqual(await store.at("a", new Date(Date.now() + 1_000)), expected);
    const watch = store.watch();
    for await (const change of watch) {
      assert.deepEqual([change.key, change.value], ["a", expected]);
      break;
    }
    const native = await new Kvm(client.jetstream).open("secrets");
    const raw = (await native.get("a"))!.value;
    assert.ok(!new TextDecoder("latin1").decode(raw).includes("DE00"));
    await native.put("b", raw);
    await assert.rejects(store.get("b"), isDecodeFailure);
    const other = await openStore(client, { bucket: "others", codec });
    await (await new Kvm(client.jetstream).open("others")).put("a", raw);
    await assert.rejects(other.get("a"), isDecodeFailure);
  });
});

test("keys that make no sense", () => {
  const refused = (given: unknown, kind: typeof TypeError | typeof RangeError) =>
    assert.throws(() => encrypted(text(), given as EncryptionKeys), kind);
  refused(undefined, TypeError);
  refused(null, TypeError);
  refused({}, TypeError);
  refused({ current: "a" }, TypeError);
  refused({ current: "a", keys: {} }, TypeError);
  refused({ current: "b", keys: { a: keyOf(1) } }, TypeError);
  refused({ current: "__proto__", keys: { a: keyOf(1) } }, TypeError);
  refused({ current: "a", keys: { a: "x".repeat(32) } }, TypeError);
  refused({ current: "a", keys: { a: keyOf(1).subarray(1) } }, RangeError);
  refused({ current: "a", keys: { a: keyOf(1), "b c": keyOf(1) } }, TypeError);
  refused({ current: "a", keys: { a: keyOf(1), ["x".repeat(65)]: keyOf(1) } }, RangeError);
  refused({ current: "a", keys: { a: keyOf(1) }, extra: 1 }, TypeError);
  assert.throws(() => encrypted(undefined as never, KEYS), TypeError);
});
