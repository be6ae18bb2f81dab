import assert from "node:assert/strict";
import { test } from "node:test";
import { text } from "./text.ts";
import {
  checkBoolean,
  checkCodec,
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkObject,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkString,
  describe,
} from "./validate.ts";

test("checkDurationMs returns what is in range", () => {
  assert.equal(checkDurationMs("timeoutMs", 0), 0);
  assert.equal(checkDurationMs("timeoutMs", 1.5), 1.5);
  assert.equal(checkDurationMs("timeoutMs", 2 ** 31 - 1), 2 ** 31 - 1);
});

test("checkDurationMs refuses by kind and range", () => {
  for (const value of [NaN, -1, Infinity, 2 ** 31, -Infinity]) {
    assert.throws(() => checkDurationMs("timeoutMs", value), RangeError);
  }
  for (const value of ["5", null, undefined, 5n, {}]) {
    assert.throws(() => checkDurationMs("timeoutMs", value), TypeError);
  }
  assert.throws(
    () => checkDurationMs("graceMs", 4, { min: 5 }),
    /graceMs must be from 5 to .* got 4/,
  );
});

test("checkInteger refuses fractions, unsafe integers and what is out of range", () => {
  assert.equal(checkInteger("size", 3, { min: 1, max: 3 }), 3);
  for (const value of [1.5, NaN, Infinity, 2 ** 53, -1]) {
    assert.throws(() => checkInteger("size", value), RangeError);
  }
  assert.throws(() => checkInteger("size", "3"), TypeError);
});

test("checkString refuses the empty string unless it is allowed", () => {
  assert.equal(checkString("name", "a"), "a");
  assert.equal(checkString("name", "", { minLength: 0 }), "");
  assert.throws(() => checkString("name", ""), TypeError);
  assert.throws(() => checkString("name", 1), TypeError);
  assert.throws(() => checkString("name", "abc", { maxLength: 2 }), RangeError);
  assert.throws(() => checkString("name", "abc", { minLength: 4 }), RangeError);
});

test("checkBoolean, checkFunction and checkSignal refuse other kinds", () => {
  assert.equal(checkBoolean("jitter", false), false);
  assert.throws(() => checkBoolean("jitter", 0), TypeError);
  const work = () => 1;
  assert.equal(checkFunction("work", work), work);
  assert.throws(() => checkFunction("work", {}), TypeError);
  const { signal } = new AbortController();
  assert.equal(checkSignal("signal", signal), signal);
  assert.equal(checkSignal("signal", undefined), undefined);
  assert.throws(() => checkSignal("signal", new AbortController()), TypeError);
});

test("checkOptions names the unknown key and the known ones", () => {
  const options = { timeoutMs: 1 };
  assert.equal(checkOptions("connect", options, ["timeoutMs"]), options);
  assert.deepEqual(checkOptions<{ a: number }>("connect", undefined, ["a"]), {});
  assert.throws(
    () => checkOptions<{ a?: number }>("connect", { timeOutMs: 1 } as { a?: number }, ["a"]),
    new TypeError('connect does not know the option "timeOutMs"; it takes a'),
  );
  for (const value of [null, 1, "x", [], true]) {
    assert.throws(() => checkOptions("connect", value as unknown as object, []), TypeError);
  }
});

test("checkCodec refuses what lacks a part of a codec", () => {
  const codec = text();
  assert.equal(checkCodec("input", codec), codec);
  assert.throws(
    () => checkCodec("input", "json"),
    new TypeError('input must be a codec such as json(), got the string "json"'),
  );
  for (const part of ["contentType", "encode", "decode"]) {
    assert.throws(() => checkCodec("input", { ...codec, [part]: undefined }), TypeError);
  }
  for (const value of [undefined, null, text]) {
    assert.throws(() => checkCodec("input", value), TypeError);
  }
});

test("checkObject refuses null, arrays, functions and what is no object", () => {
  const value = { a: 1 };
  assert.equal(checkObject("tls", value), value);
  assert.throws(() => checkObject("tls", []), new TypeError("tls must be an object, got an array"));
  for (const other of [undefined, null, 1, "x", () => 1]) {
    assert.throws(() => checkObject("tls", other), TypeError);
  }
});

test("checkOneOf refuses what is not among the choices", () => {
  assert.equal(checkOneOf("settle", "ack", ["ack", "nak"]), "ack");
  const text = 'settle must be one of "ack", "nak", got the string "no"';
  assert.throws(() => checkOneOf("settle", "no", ["ack", "nak"]), new TypeError(text));
  for (const other of [undefined, null, ["ack"], "toString"]) {
    assert.throws(() => checkOneOf("settle", other, ["ack"]), TypeError);
  }
});

test("describe says the kind without the content of objects", () => {
  assert.equal(describe("a"), 'the string "a"');
  assert.equal(describe("a".repeat(100)), "a string of 100 characters");
  assert.equal(describe(null), "null");
  assert.equal(describe([1]), "an array");
  assert.equal(describe({ secret: 1 }), "an object (Object)");
  assert.equal(describe(new Map()), "an object (Map)");
  assert.equal(describe(Object.create(null)), "an object (without prototype)");
  assert.equal(describe(Symbol("s")), "a symbol");
  assert.equal(describe(() => 1), "a function");
  assert.equal(describe(1n), "1");
});
