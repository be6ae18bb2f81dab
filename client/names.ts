import { checkInteger, describe } from "./validate.ts";

const DEFAULT_MAX_BYTES = 255;
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How {@link encodeToken} and {@link encodeName} name and bound a string. */
export interface EncodeTokenOptions {
  /** What the string is, for error messages: `"workflow name"`, `"token region"`. */
  readonly what: string;
  /** The most bytes that the encoded form may have. @default 255 */
  readonly maxBytes?: number | undefined;
}

/**
 * Encodes any string as one subject token that is also valid in stream, consumer, bucket and key
 * names.
 *
 * Letters, digits, `_` and `-` stay as they are. Everything else becomes its UTF-8 bytes as `=HH`,
 * a lone surrogate becomes `=uHHHH`, and the empty string becomes `=`. Two different strings never
 * share an encoding, and {@link decodeToken} restores every one.
 *
 * @throws {TypeError} when `text` is not a string.
 * @throws {RangeError} when the encoded form is longer than `maxBytes`.
 *
 * @example
 * ```ts
 * import { decodeToken, encodeToken } from "@x/jsflow/client";
 *
 * const token = encodeToken("a.b c", { what: "order id" }); // "a=2Eb=20c"
 * console.log(decodeToken(token) === "a.b c");
 * ```
 */
export function encodeToken(text: string, options: EncodeTokenOptions): string {
  const { what, maxBytes = DEFAULT_MAX_BYTES } = options;
  if (typeof text !== "string") {
    throw new TypeError(`${what} must be a string, got ${describe(text)}`);
  }
  checkInteger("maxBytes", maxBytes, { min: 1 });
  // Encoding never shortens, so this spares building a huge string that is refused anyway.
  if (text.length > maxBytes) throw tooLong(what, text, maxBytes);
  const token = escape(text);
  if (token.length > maxBytes) throw tooLong(what, text, maxBytes);
  return token;
}

/**
 * Encodes like {@link encodeToken}, but refuses the empty string: for names that must be one.
 *
 * @throws {TypeError} when `text` is not a string or is empty.
 * @throws {RangeError} when the encoded form is longer than `maxBytes`.
 */
export function encodeName(text: string, options: EncodeTokenOptions): string {
  if (text === "") throw new TypeError(`${options.what} must not be empty`);
  return encodeToken(text, options);
}

/**
 * Restores the string that {@link encodeToken} encoded.
 *
 * @throws {TypeError} when `token` is not what `encodeToken` returns for any string, so that
 * decoding is injective too.
 */
export function decodeToken(token: string): string {
  if (typeof token !== "string") {
    throw new TypeError(`a token must be a string, got ${describe(token)}`);
  }
  if (token === "=") return "";
  const text = token.includes("=") ? decodeEscapes(token) : token;
  if (text === "" || escape(text) !== token) throw malformed(token);
  return text;
}

function escape(text: string): string {
  return text === "" ? "=" : text.replace(/[^A-Za-z0-9_-]/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  const unit = character.charCodeAt(0);
  if (character.length === 1 && unit >= 0xd800 && unit <= 0xdfff) {
    return `=u${unit.toString(16).toUpperCase()}`;
  }
  return Array.from(utf8.encode(character), hexByte).join("");
}

function hexByte(byte: number): string {
  return `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

function decodeEscapes(token: string): string {
  const runs = /((?:=[0-9A-F]{2})+)|=u(D[89A-F][0-9A-F]{2})|([A-Za-z0-9_-]+)/y;
  let text = "";
  while (runs.lastIndex < token.length) {
    const at = runs.lastIndex;
    const match = runs.exec(token);
    if (match === null) throw malformed(token, at);
    if (match[1] !== undefined) text += decodeBytes(match[1], token);
    else if (match[2] !== undefined) text += String.fromCharCode(parseInt(match[2], 16));
    else text += match[3];
  }
  return text;
}

function decodeBytes(escapes: string, token: string): string {
  const bytes = Uint8Array.from(escapes.slice(1).split("="), (hex) => parseInt(hex, 16));
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw malformed(token);
  }
}

function malformed(token: string, at?: number): TypeError {
  const where = at === undefined ? "" : ` at position ${at}`;
  return new TypeError(`cannot decode the token: ${describe(token)} is no encoded name${where}`);
}

function tooLong(what: string, text: string, maxBytes: number): RangeError {
  return new RangeError(
    `${what} must have at most ${maxBytes} bytes once encoded, got ${text.length} characters; ` +
      "letters, digits, _ and - take one byte each, others three for each UTF-8 byte",
  );
}
