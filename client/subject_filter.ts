import { checkString, describe } from "./validate.ts";

const MAX_SUBJECT_BYTES = 1024;
const utf8 = new TextEncoder();
// deno-lint-ignore no-control-regex -- control characters are what it looks for
const FORBIDDEN = /[\s\u0000-\u001f\u007f]/u;

/** Which messages: a subject with or without wildcards as text, or a described subject's filter. */
export type SubjectFilter = string | {
  /** The subject with wildcards, as `Subject` has it. */
  readonly filter: string;
};

/**
 * Returns the text of a filter: tokens with dots between them, `*` for any one token, and `>` at the
 * end for one or more.
 *
 * @throws {TypeError} when it is no string and has no `filter`, or a token is empty, contains
 * whitespace or a control character, or a wildcard besides other characters, or when `>` is not last.
 * @throws {RangeError} when it exceeds 1,024 bytes.
 */
export function checkSubjectFilter(name: string, value: unknown): string {
  const text = checkString(name, filterOf(name, value));
  const bytes = utf8.encode(text).length;
  if (bytes > MAX_SUBJECT_BYTES) {
    throw new RangeError(`${name} must have at most ${MAX_SUBJECT_BYTES} bytes, got ${bytes}`);
  }
  const wrong = problemOf(text.split("."));
  if (wrong === undefined) return text;
  throw new TypeError(`${name} ${wrong}, got ${describe(text)}`);
}

function filterOf(name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const { filter } = value as { filter?: unknown };
  if (typeof filter === "string") return filter;
  throw new TypeError(`${name} must be a string or a subject, got ${describe(value)}`);
}

function problemOf(tokens: readonly string[]): string | undefined {
  for (const [index, token] of tokens.entries()) {
    if (token === "") return "must not have an empty token";
    if (FORBIDDEN.test(token)) return "must not contain whitespace or control characters";
    if (token === ">" && index < tokens.length - 1) return "must have > at its end only";
    if (token.length > 1 && /[*>]/.test(token)) return "must have wildcards as whole tokens";
  }
  return undefined;
}

/** Tells whether every subject that `narrow` stands for is one that `wide` stands for. */
export function filterCovers(wide: string, narrow: string): boolean {
  const outer = wide.split(".");
  const inner = narrow.split(".");
  for (const [index, token] of outer.entries()) {
    const other = inner[index];
    if (other === undefined) return false;
    if (token === ">") return true;
    if (other === ">" || (token !== "*" && token !== other)) return false;
  }
  return outer.length === inner.length;
}

/** Tells whether there is a subject that both filters stand for. */
export function filtersOverlap(one: string, other: string): boolean {
  const a = one.split(".");
  const b = other.split(".");
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [x, y] = [a[index], b[index]];
    if (x === undefined || y === undefined) return false;
    if (x === ">" || y === ">") return true;
    if (x !== y && x !== "*" && y !== "*") return false;
  }
  return true;
}
