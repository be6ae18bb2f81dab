import { checkString } from "./validate.ts";

const MAX_LENGTH = 255;
// deno-lint-ignore no-control-regex -- control characters are what it looks for
const FORBIDDEN = /[\s.*>/\\\u0000-\u001f\u007f]/u;

/**
 * Returns `value` as the name of a stream or a consumer.
 *
 * @throws {TypeError} when it is no string, empty, or has whitespace, a control character, `.`, `*`,
 * `>`, `/` or `\`.
 * @throws {RangeError} when it is longer than 255 characters.
 */
export function checkStreamName(name: string, value: unknown): string {
  const text = checkString(name, value, { maxLength: MAX_LENGTH });
  if (!FORBIDDEN.test(text)) return text;
  throw new TypeError(
    `${name} must not contain whitespace, control characters, . * > / or \\, got ` +
      JSON.stringify(text),
  );
}
