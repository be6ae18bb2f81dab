import assert from "node:assert/strict";
import { test } from "node:test";
import { describeError } from "./_describe_error.ts";

test("the code tells the type of an error, else its name", () => {
  const coded = Object.assign(new TypeError("no"), { code: "circuit_open" });
  assert.deepEqual(describeError(coded), {
    type: "circuit_open",
    name: "TypeError",
    message: "no",
  });
  assert.equal(describeError(new RangeError("x")).type, "RangeError");
  assert.equal(describeError(new DOMException("late", "TimeoutError")).type, "TimeoutError");
});

test("types are words whatever the error says", () => {
  const odd = Object.assign(new Error("x"), { code: "a b", name: "order 7 failed" });
  assert.deepEqual(describeError(odd), { type: "Error", name: "Error", message: "x" });
  assert.equal(describeError(Object.assign(new Error(), { code: "x".repeat(65) })).type, "Error");
});

test("anything may have been thrown", () => {
  assert.deepEqual(describeError("stop"), { type: "_OTHER", name: "_OTHER", message: "stop" });
  for (const thrown of [null, 7, { secret: "s" }]) {
    assert.deepEqual(describeError(thrown), { type: "_OTHER", name: "_OTHER", message: "" });
  }
});

test("credentials in addresses are blotted out and messages have a bound", () => {
  const { message } = describeError(new Error("no nats://me:p@ss@host:4222, tls://t0ken@b/x@y"));
  assert.equal(message, "no nats://***@host:4222, tls://***@b/x@y");
  assert.equal(describeError(new Error("x".repeat(10_000))).message.length, 1_024);
});
