import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as v from "valibot";
import type { Codec } from "./codec.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import type { StandardSchema } from "./standard_schema.ts";

const codec = json<unknown>();
const utf8 = (text: string) => new TextEncoder().encode(text);
const ascii = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function refuses(value: unknown, message: RegExp): void {
  assert.throws(() => codec.encode(value), { code: "encode_failed", message });
}

test("JSON values come back", () => {
  const values = fc.jsonValue().filter((value) => !JSON.stringify(value).includes("__proto__"));
  fc.assert(fc.property(values, (value) => {
    const safe = JSON.parse(JSON.stringify(value), (_, item) => unsafe(item) ? 0 : item);
    assert.deepEqual(codec.decode(codec.encode(safe)), safe);
  }));
});

function unsafe(item: unknown): boolean {
  return typeof item === "number" && Number.isInteger(item) && !Number.isSafeInteger(item);
}

test("what JSON drops is dropped and toJSON is honoured", () => {
  const value = { at: new Date(0), none: undefined, work: () => 1, n: 1 };
  assert.equal(ascii(codec.encode(value)), '{"at":"1970-01-01T00:00:00.000Z","n":1}');
  assert.equal(codec.contentType, "application/json");
});

test("toJSON sees its key, and what it returns is checked", () => {
  const keys: string[] = [];
  const value = {
    toJSON: (key: string) => {
      keys.push(key);
      return { big: 1n };
    },
  };
  refuses({ inner: value }, /\$\.inner\.big is a bigint/);
  assert.deepEqual(keys, ["inner"]);
  refuses(value, /\$\.big is a bigint/);
  refuses({ a: { toJSON: () => NaN } }, /\$\.a is NaN/);
  assert.equal(ascii(codec.encode({ a: { toJSON: () => undefined }, b: 1 })), '{"b":1}');
});

test("what JSON would change without a word is refused with its path", () => {
  refuses({ items: [1, { at: 5n }] }, /\$\.items\[1\]\.at is a bigint/);
  refuses({ n: 2 ** 53 }, /\$\.n is the unsafe integer 9007199254740992/);
  refuses([-(2 ** 53)], /\$\[0\] is the unsafe integer/);
  refuses({ "odd key": NaN }, /\$\["odd key"\] is NaN/);
  refuses(Infinity, /\$ is Infinity/);
  refuses([undefined], /\$\[0\] is undefined/);
  refuses(undefined, /\$ is undefined/);
  refuses(() => 1, /\$ is a function/);
  refuses([Symbol("s")], /\$\[0\] is a symbol/);
  refuses({ m: new Map([[1, 2]]) }, /\$\.m is a Map/);
  refuses({ s: new Set() }, /\$\.s is a Set/);
  refuses({ b: new Uint8Array(2) }, /\$\.b is a Uint8Array/);
  refuses({ ["__proto__"]: 1 }, /\$\.__proto__ has a key that decoding drops/);
});

test("integers at the edge of safety pass", () => {
  const edge = [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 1.5e300 / 7, 0.1, -0];
  assert.deepEqual(codec.decode(codec.encode(edge.slice(0, 2))), edge.slice(0, 2));
  assert.deepEqual(codec.decode(codec.encode([0.1])), [0.1]);
});

test("cycles are refused with their path, shared values are not", () => {
  const cyclic: Record<string, unknown> = { a: { b: [] } };
  (cyclic["a"] as { b: unknown[] }).b.push(cyclic);
  refuses(cyclic, /\$\.a\.b\[0\] is part of a cycle/);
  const shared = { n: 1 };
  assert.equal(ascii(codec.encode([shared, shared])), '[{"n":1},{"n":1}]');
});

test("a value nested too deeply and a getter that throws are refused", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 200_000; i++) deep = [deep];
  refuses(deep, /nested too deeply/);
  const hostile = {
    get secret(): never {
      throw new Error("no");
    },
  };
  refuses(hostile, /reading it threw Error: no/);
});

test("malformed payloads are refused without quoting them", () => {
  for (const payload of ["", "{", "secret", "[1,]", "NaN", "undefined", "{'a':1}"]) {
    assert.throws(
      () => codec.decode(utf8(payload)),
      (error) => isJsflowError(error, "decode_failed") && !error.message.includes("secret"),
    );
  }
  assert.throws(() => codec.decode(Uint8Array.of(0x22, 0xff, 0x22)), {
    code: "decode_failed",
    message: /not valid UTF-8/,
  });
});

test("__proto__ keys are dropped at every depth, however they are spelled", () => {
  const spellings = ["__proto__", "\\u005f_proto__", "_\\u005Fproto_\\u005f", "__\\u0070roto__"];
  for (const key of spellings) {
    const payload = `{"a":[{"${key}":{"admin":true},"b":1}],"${key}":{"admin":true}}`;
    const value = codec.decode(utf8(payload)) as { a: [{ b: number }]; admin?: boolean };
    assert.deepEqual(Object.keys(value), ["a"]);
    assert.deepEqual(Object.keys(value.a[0]), ["b"]);
    assert.equal(value.admin, undefined);
    assert.equal((Object.assign({}, value) as { admin?: boolean }).admin, undefined);
  }
  assert.equal(({} as { admin?: boolean }).admin, undefined);
  assert.deepEqual(codec.decode(utf8('"__proto__"')), "__proto__");
  assert.deepEqual(codec.decode(utf8('{"constructor":{"prototype":1}}')), {
    constructor: { prototype: 1 },
  });
});

test("a deeply nested payload cannot exhaust the stack", () => {
  const depth = 100_000;
  const payload = utf8('["__proto__",'.repeat(depth) + "1" + "]".repeat(depth));
  try {
    codec.decode(payload);
  } catch (error) {
    assert.ok(isJsflowError(error, "decode_failed"), String(error)); // a parser that recurses
  }
});

const Order = v.object({ id: v.pipe(v.string(), v.minLength(1)), amount: v.number() });

test("a schema checks both ways", () => {
  const orders: Codec<{ id: string; amount: number }> = json(Order);
  const order = { id: "o-1", amount: 3 };
  assert.deepEqual(orders.decode(orders.encode(order)), order);
  assert.throws(() => orders.encode({ id: "", amount: 3 }), {
    code: "invalid_payload",
    message: /cannot encode the value: the schema rejects it: \$\.id: .*length/,
  });
  assert.throws(() => orders.decode(utf8('{"id":"a","amount":"3"}')), {
    code: "invalid_payload",
    message: /cannot decode the payload: the schema rejects it: \$\.amount: /,
  });
  assert.throws(() => orders.decode(utf8("{")), { code: "decode_failed" });
});

test("issues are listed with paths, and at most five", () => {
  const list = json(v.object({ items: v.array(v.number()) }));
  const items = Array.from({ length: 8 }, () => "x") as unknown as number[];
  assert.throws(() => list.encode({ items }), (error) => {
    assert.ok(isJsflowError(error, "invalid_payload"));
    assert.match(error.message, /\$\.items\[0\]: .*; \$\.items\[4\]: .*; and 3 more$/);
    assert.equal((error.cause as unknown[]).length, 8);
    return true;
  });
});

test("what the schema returns is what travels", () => {
  const named = json<{ id: string; tag?: string | undefined }>(
    v.object({ id: v.string(), tag: v.optional(v.string(), "none") }),
  );
  assert.equal(
    ascii(named.encode({ id: "a", extra: 1 } as { id: string })),
    '{"id":"a","tag":"none"}',
  );
});

test("an asynchronous schema is misuse, and leaves no rejection behind", async () => {
  const failing = v.objectAsync({
    id: v.pipeAsync(v.string(), v.checkAsync(() => Promise.reject(new Error("late")))),
  });
  const slow = json<{ id: string }>(failing as unknown as StandardSchema<{ id: string }>);
  assert.throws(() => slow.encode({ id: "a" }), TypeError);
  assert.throws(() => slow.decode(utf8('{"id":"a"}')), TypeError);
  await new Promise((resolve) => setImmediate(resolve));
});

test("json refuses what is no schema", () => {
  for (const schema of [undefined, null, {}, 5, { "~standard": {} }, v]) {
    assert.throws(() => json(schema as unknown as StandardSchema<string>), TypeError);
  }
});

test("types: a schema whose input and output differ is refused", () => {
  const transforming = v.pipe(v.string(), v.transform((text) => text.length));
  // @ts-expect-error -- string in, number out
  json(transforming);
  // @ts-expect-error -- not the schema's type
  const wrong: Codec<{ id: number }> = json(Order);
  assert.ok(wrong);
});
