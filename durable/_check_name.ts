import { encodeName, type EncodeTokenOptions } from "../client/names.ts";

/**
 * Checks the name of a workflow or queue, or the id of an invocation.
 *
 * Beside subjects they travel in records and commands, whose strings can't hold a lone surrogate.
 *
 * @throws {TypeError} when it is empty, no string or no well-formed Unicode.
 * @throws {RangeError} when its encoded form is too long.
 */
export function checkName(text: string, options: EncodeTokenOptions): void {
  encodeName(text, options);
  if (!text.isWellFormed()) {
    throw new TypeError(`${options.what} must be well-formed Unicode: it has a lone surrogate`);
  }
}
