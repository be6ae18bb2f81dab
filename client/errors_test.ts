import assert from "node:assert/strict";
import { test } from "node:test";
import { isJsflowError, JsflowError } from "./errors.ts";

test("JsflowError carries code, message, name and cause", () => {
  const cause = new Error("below");
  const error = new JsflowError("timeout", "cannot wait", { cause });
  assert.equal(error.name, "JsflowError");
  assert.equal(error.code, "timeout");
  assert.equal(error.message, "cannot wait");
  assert.equal(error.cause, cause);
  assert.ok(error instanceof Error);
});

test("isJsflowError tells by class and code", () => {
  const error: unknown = new JsflowError("fenced", "stop");
  assert.ok(isJsflowError(error));
  assert.ok(isJsflowError(error, "fenced"));
  assert.ok(!isJsflowError(error, "timeout"));
  assert.ok(!isJsflowError(new Error("fenced"), "fenced"));
  assert.ok(!isJsflowError(undefined));
  assert.ok(!isJsflowError({ name: "JsflowError", code: "fenced" }, "fenced"));
});
