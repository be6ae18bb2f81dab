import type { Codec } from "./codec.ts";
import { JsflowError } from "./errors.ts";
import { describe } from "./validate.ts";

const encoder = new TextEncoder();

/**
 * Makes a codec for strings as UTF-8.
 *
 * Strings come back exactly as they went in: a lone surrogate, which UTF-8 cannot hold, raises
 * `JsflowError` with code `encode_failed`, and invalid UTF-8 raises `decode_failed`. A byte order
 * mark is kept.
 *
 * @example
 * ```ts
 * import { text } from "@x/jsflow/client";
 *
 * const codec = text();
 * console.log(codec.decode(codec.encode("grüezi")));
 * ```
 */
export function text(): Codec<string> {
  return { contentType: "text/plain; charset=utf-8", encode, decode };
}

function encode(value: string): Uint8Array {
  if (typeof value !== "string") {
    throw new JsflowError("encode_failed", `cannot encode as text: got ${describe(value)}`);
  }
  if (!value.isWellFormed()) {
    throw new JsflowError("encode_failed", "cannot encode as text: it has a lone surrogate");
  }
  return encoder.encode(value);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new JsflowError(
      "decode_failed",
      `cannot decode the payload as text: ${bytes.length} bytes are not valid UTF-8`,
      { cause: error },
    );
  }
}
