import assert from "node:assert/strict";
import { test } from "node:test";
import vm from "node:vm";
import fc from "fast-check";
import { losslessJson } from "./lossless_json.ts";

const codec = losslessJson<unknown>();

function refuses(value: unknown, message: RegExp): void {
  assert.throws(() => codec.encode(value), { code: "encode_failed", message });
}

test("whatever is accepted comes back equal", () => {
  const anything = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
    withNullPrototype: true,
    withBoxedValues: true,
  });
  let accepted = 0;
  fc.assert(
    fc.property(anything, (value) => {
      let bytes: Uint8Array;
      try {
        bytes = codec.encode(value);
      } catch {
        return;
      }
      accepted++;
      assert.deepEqual(codec.decode(bytes), normal(value));
    }),
    { numRuns: 2000 },
  );
  assert.ok(accepted > 100, `${accepted} of 2000 values were accepted`);
});

/** The three differences that are allowed. */
function normal(value: unknown): unknown {
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(kept.map(([key, item]) => [key, normal(item)]));
}

test("values that JSON would change are refused with their path", () => {
  class Point {
    x = 1;
  }
  refuses({ items: [0, 1, { at: new Date(0) }] }, /\$\.items\[2\]\.at is a Date with toJSON/);
  refuses(new Map(), /\$ is a Map/);
  refuses({ s: new Set() }, /\$\.s is a Set/);
  refuses([new Uint8Array(1)], /\$\[0\] is a Uint8Array/);
  refuses(new DataView(new ArrayBuffer(1)), /\$ is a DataView/);
  refuses(new ArrayBuffer(1), /\$ is an ArrayBuffer/);
  refuses({ p: new Point() }, /\$\.p is a Point/);
  refuses(new Error("x"), /\$ is an Error/);
  refuses(/x/, /\$ is a RegExp/);
  refuses(Promise.resolve(1), /\$ is a Promise/);
  refuses(Object(1), /\$ is a Number/);
  refuses({ a: { toJSON: () => 1 } }, /\$\.a is an Object with toJSON/);
  refuses(NaN, /\$ is NaN/);
  refuses([-Infinity], /\$\[0\] is -Infinity/);
  refuses({ f: () => 1 }, /\$\.f is a function/);
  refuses({ s: Symbol("s") }, /\$\.s is a symbol/);
  refuses({ [Symbol("s")]: 1 }, /\$ has the symbol key Symbol\(s\)/);
  refuses(1n, /\$ is a bigint/);
  refuses([undefined], /\$\[0\] is undefined/);
  refuses([1, , 3], /\$\[1\] is a hole/); // deno-lint-ignore no-sparse-arrays
  refuses(Object.assign([1], { extra: 1 }), /\$ is an array with properties of its own/);
  refuses(/a/.exec("a"), /\$ is an array with properties of its own/);
  refuses({ ["__proto__"]: 1 }, /__proto__/);
  const cycle: unknown[] = [];
  cycle.push({ cycle });
  refuses(cycle, /\$\[0\]\.cycle is part of a cycle/);
});

test("large integers and extreme floats pass: they come back as they are", () => {
  for (const value of [2 ** 60, Number.MAX_VALUE, Number.MIN_VALUE, -1e21, 0.1 + 0.2]) {
    assert.equal(codec.decode(codec.encode(value)), value);
  }
});

test("a top-level undefined is zero bytes", () => {
  assert.equal(codec.encode(undefined).length, 0);
  assert.equal(codec.decode(new Uint8Array(0)), undefined);
  assert.equal(codec.decode(codec.encode(null)), null);
});

test("plain objects of another realm pass", () => {
  const foreign: unknown = vm.runInNewContext("({ a: [1, { b: 2 }] })");
  assert.deepEqual(codec.decode(codec.encode(foreign)), { a: [1, { b: 2 }] });
});

test("malformed payloads are refused", () => {
  for (const bytes of [[0xff], [0x7b], [0x20]]) {
    assert.throws(() => codec.decode(Uint8Array.from(bytes)), { code: "decode_failed" });
  }
});
