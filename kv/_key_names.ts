import { decodeToken, encodeToken } from "../client/names.ts";
import { checkString, describe } from "../client/validate.ts";
import type { KeySelection } from "./key_selection.ts";

/** Which names of a bucket a selection means. */
export interface NameFilter {
  /** A subject pattern behind the bucket's prefix, for the server: `>` or `orders.*`. */
  readonly pattern: string;
  /** Whether a key that the pattern lets through is meant. */
  readonly matches: (key: string) => boolean;
}

/** How a bucket's keys stand in subjects. */
export interface KeyNames {
  /** @throws {TypeError | RangeError} when the key can't be one. */
  encode(key: string): string;
  /** Undefined when no key is stored under this name by these rules. */
  decode(name: string): string | undefined;
  /** @throws {TypeError | RangeError} when the selection makes no sense. */
  filter(selection: KeySelection): NameFilter;
}

/** The most bytes of a key's name: subjects must stay far below what ends a connection. */
export const MAX_NAME_BYTES: number = 1_024;

/** Names that stand for themselves, which most do. */
const PLAIN = /^[A-Za-z0-9_/-]+(?:\.[A-Za-z0-9_/-]+)*$/;
/** What other clients take for a key. */
const RAW = /^[A-Za-z0-9_/=-]+(?:\.[A-Za-z0-9_/=-]+)*$/;

/**
 * Any string is a key. Dots separate tokens and `/` stays; an empty token and what subjects can't
 * hold is escaped, one string to one name.
 */
export const escapedKeyNames: KeyNames = {
  encode: (key) => {
    checkKeyText(key);
    return PLAIN.test(key) ? key : bounded(key.split(".").map(encodeKeyToken).join("."), key);
  },
  decode: (name) => {
    if (name.length > MAX_NAME_BYTES) return undefined;
    return PLAIN.test(name) ? name : decodeName(name);
  },
  filter: (selection) => selectNames(selection, encodeKeyToken),
};

/** Keys are names as they are, as other clients write them. */
export const rawKeyNames: KeyNames = {
  encode: (key) => {
    if (RAW.test(checkKeyText(key))) return key;
    throw new TypeError(
      `a key of this bucket must be made of tokens of letters, digits and _ / = - with dots ` +
        `between them, got ${describe(key)}`,
    );
  },
  decode: (name) => RAW.test(name) && name.length <= MAX_NAME_BYTES ? name : undefined,
  filter: (selection) =>
    selectNames(selection, (token) => {
      if (/^[A-Za-z0-9_/=-]+$/.test(token)) return token;
      throw new TypeError(
        `a token of a filter must be *, > or letters, digits and _ / = -, got ${describe(token)}`,
      );
    }),
};

function checkKeyText(key: string): string {
  // Encoding never shortens, so a huge key costs nothing.
  return checkString("a key", key, { minLength: 0, maxLength: MAX_NAME_BYTES });
}

function bounded(name: string, key: string): string {
  if (name.length <= MAX_NAME_BYTES) return name;
  throw new RangeError(
    `a key must have at most ${MAX_NAME_BYTES} bytes once encoded, got ${key.length} characters; ` +
      "letters, digits, _ - / and . take one byte each, others three for each UTF-8 byte",
  );
}

function encodeKeyToken(token: string): string {
  if (token === "") return "=";
  return token.split("/").map((part) => part === "" ? "" : encodePart(part)).join("/");
}

function encodePart(part: string): string {
  return encodeToken(part, { what: "a key", maxBytes: 9 * MAX_NAME_BYTES });
}

function decodeName(name: string): string | undefined {
  try {
    const key = name.split(".").map(decodeKeyToken).join(".");
    return key.split(".").map(encodeKeyToken).join(".") === name ? key : undefined;
  } catch {
    return undefined; // written by other software
  }
}

function decodeKeyToken(token: string): string {
  if (token === "=") return "";
  return token.split("/").map((part) => part === "" ? "" : decodeToken(part)).join("/");
}

function selectNames(
  { prefix, filter }: KeySelection,
  encodeOne: (token: string) => string,
): NameFilter {
  const isPrefixed = prefixMatcher(prefix);
  if (filter === undefined) {
    const pattern = prefixPattern(prefix ?? "", encodeOne);
    return { pattern, matches: isPrefixed };
  }
  const tokens = checkFilter(filter);
  const pattern = boundedPattern(tokens.map((token) => isWild(token) ? token : encodeOne(token)));
  return { pattern, matches: (key) => isPrefixed(key) && matchesFilter(tokens, key) };
}

function prefixMatcher(prefix: string | undefined): (key: string) => boolean {
  if (prefix === undefined) return () => true;
  checkString("prefix", prefix, { minLength: 0, maxLength: MAX_NAME_BYTES });
  return (key) => key.startsWith(prefix);
}

/** The tokens that are whole; what remains of the prefix is up to the client. */
function prefixPattern(prefix: string, encodeOne: (token: string) => string): string {
  const whole = prefix.split(".").slice(0, -1);
  return boundedPattern([...whole.map(encodeOne), ">"]);
}

function checkFilter(filter: string): readonly string[] {
  const tokens = checkString("filter", filter, { maxLength: MAX_NAME_BYTES }).split(".");
  const at = tokens.indexOf(">");
  if (at === -1 || at === tokens.length - 1) return tokens;
  throw new TypeError(`filter must have > at its end only, got ${describe(filter)}`);
}

function matchesFilter(tokens: readonly string[], key: string): boolean {
  const parts = key.split(".");
  const isOpen = tokens.at(-1) === ">";
  if (isOpen ? parts.length < tokens.length : parts.length !== tokens.length) return false;
  return tokens.every((token, index) => isWild(token) || token === parts[index]);
}

function isWild(token: string): boolean {
  return token === "*" || token === ">";
}

function boundedPattern(tokens: readonly string[]): string {
  const pattern = tokens.join(".");
  if (pattern.length <= MAX_NAME_BYTES) return pattern;
  throw new RangeError(
    `a prefix or filter must have at most ${MAX_NAME_BYTES} bytes once encoded, got ` +
      `${pattern.length}`,
  );
}
