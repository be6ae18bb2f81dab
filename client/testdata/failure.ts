import assert from "node:assert/strict";
import { isJsflowError, type JsflowErrorCode } from "../errors.ts";

/** For `assert.rejects`: an error of the library with this code, whose message has these parts. */
export function failure(
  code: JsflowErrorCode,
  ...parts: readonly (string | RegExp)[]
): (error: unknown) => true {
  return (error) => {
    assert.ok(isJsflowError(error), String(error));
    assert.equal(error.code, code, error.message);
    for (const part of parts) {
      if (typeof part === "string") assert.ok(error.message.includes(part), error.message);
      else assert.match(error.message, part);
    }
    return true;
  };
}
