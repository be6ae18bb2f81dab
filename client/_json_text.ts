import { checkJsonValue, type JsonRules } from "./_json_check.ts";
import { JsflowError } from "./errors.ts";

const encoder = new TextEncoder();

/** Returns the JSON text of a value as bytes, or throws `encode_failed` with the path at fault. */
export function encodeJson(value: unknown, rules: JsonRules): Uint8Array {
  let text: string | undefined;
  try {
    checkJsonValue(value, rules);
    text = JSON.stringify(value);
  } catch (error) {
    throw encodeFailed(error);
  }
  if (text === undefined) {
    throw new JsflowError("encode_failed", "cannot encode the value as JSON: $ has no JSON form");
  }
  return encoder.encode(text);
}

function encodeFailed(error: unknown): Error {
  if (error instanceof JsflowError) return error;
  // Runtimes report an exhausted call stack as a RangeError with texts of their own.
  const why = error instanceof RangeError
    ? "$ is nested too deeply or its text is too long"
    : `reading it threw ${String(error)}`;
  return new JsflowError("encode_failed", `cannot encode the value as JSON: ${why}`, {
    cause: error,
  });
}

/** Returns the value that JSON bytes stand for, without `__proto__` keys, or throws `decode_failed`. */
export function decodeJson(bytes: Uint8Array): unknown {
  const text = decodeText(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's message quotes the payload, so it stays in the cause.
    const what = text === "" ? "it is empty" : `${bytes.length} bytes are not valid JSON`;
    throw new JsflowError("decode_failed", `cannot decode the payload as JSON: ${what}`, {
      cause: error,
    });
  }
  // Only these texts can hold the key, spelled out or escaped.
  if (text.includes("__proto__") || text.includes("\\u")) dropProtoKeys(value);
  return value;
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new JsflowError(
      "decode_failed",
      `cannot decode the payload as JSON: ${bytes.length} bytes are not valid UTF-8`,
      { cause: error },
    );
  }
}

/** Removes every own `__proto__` key; a loop, since parsed values may nest deeper than the stack. */
function dropProtoKeys(root: unknown): void {
  const pending: unknown[] = [root];
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value !== "object" || value === null) continue;
    if (Object.hasOwn(value, "__proto__")) {
      delete (value as Record<string, unknown>)["__proto__"];
    }
    for (const child of Object.values(value)) pending.push(child);
  }
}
