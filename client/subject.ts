import { parsePattern, type PatternPart } from "./_subject_pattern.ts";
import type { Codec } from "./codec.ts";
import { decodeToken, encodeToken } from "./names.ts";
import { checkCodec, checkOptions, describe } from "./validate.ts";

const MAX_SUBJECT_BYTES = 1024;
const utf8 = new TextEncoder();

/** The tokens of a pattern as a union: `"region" | "rest..."` for `a.{region}.{rest...}`. */
export type PatternTokens<P extends string> = string extends P ? string
  : P extends `${string}{${infer Name}}${infer Rest}` ? Name | PatternTokens<Rest>
  : never;

/** The name of a token: `"rest"` for `"rest..."`. */
export type TokenName<K extends string> = K extends `${infer Name}...` ? Name : K;

/** The tokens of `K` that are called `N`. */
export type TokensNamed<K extends string, N extends string> = string extends K ? K
  : K extends unknown ? TokenName<K> extends N ? K : never
  : never;

/** What fills a token: text, and for `{rest...}` several texts, or one with dots between them. */
export type TokenValue<K extends string> = string extends K ? string | readonly string[]
  : K extends `${string}...` ? string | readonly string[]
  : string;

/** The tokens of `K` that stay open once those named `N` are filled. */
export type OpenTokens<K extends string, N extends string> = string extends K ? K
  : Exclude<K, TokensNamed<K, N>>;

/** Values for the tokens named `N`; none at all when `N` is `never`. */
export type TokenValues<K extends string, N extends string> = [N] extends [never]
  ? { readonly [name: string]: never }
  : { readonly [Name in N]: TokenValue<TokensNamed<K, Name>> };

/** The values that {@link Subject.match} finds for the open tokens `K`. */
export type SubjectParams<K extends string> = {
  readonly [Token in K as TokenName<Token>]: string extends Token ? string | readonly string[]
    : Token extends `${string}...` ? readonly string[]
    : string;
};

/**
 * An address in NATS and the type of what travels there.
 *
 * `T` is the payload's type. `K` is the union of the open tokens as they stand in the pattern's
 * braces, or `never` when all are filled; it is invariant, so a subject with an open token is no
 * {@link BoundSubject} and cannot be published to. Where a subject is exported, its type can be
 * written by hand: `Subject<Order, "region">`.
 */
export interface Subject<T, K extends string = never> {
  /** The pattern with its open tokens in braces, such as `orders.{region}`. */
  readonly pattern: string;
  /** The pattern as it was first described, before any token was filled: few, where names are many. */
  readonly template: string;
  /** The subject that a subscription listens on: `*` and `>` in place of open tokens. */
  readonly filter: string;
  /** How payloads become bytes. */
  readonly codec: Codec<T>;
  /** Has no value; it makes `K` invariant. */
  readonly "~open"?: ((token: K) => K) | undefined;
  /**
   * Returns the subject with some open tokens filled; this one stays as it is.
   *
   * Any string is a valid value: what a token cannot hold is escaped, reversibly. For `{rest...}`
   * pass the tokens as an array, or as one string with dots between them.
   *
   * @throws {TypeError} when a token is unknown or filled already, or a value is no string, `*` or
   * `>`.
   * @throws {RangeError} when an encoded value exceeds 255 bytes, or the subject 1,024.
   */
  with<N extends TokenName<K>>(
    values: TokenValues<K, N>,
  ): Subject<T, OpenTokens<K, N>>;
  /**
   * Returns the values of the open tokens in a concrete subject, or `undefined` when the subject
   * does not match.
   *
   * Values come back as they were given to {@link Subject.with}; a token that others published and
   * that is no encoded value is returned as it is. `{rest...}` gives one text for each token.
   */
  match(subject: string): SubjectParams<K> | undefined;
}

/** A subject without open tokens: one that can be published to. */
export type BoundSubject<T> = Subject<T, never>;

/**
 * Describes an address: a pattern of tokens with dots between them, and the codec of its payloads.
 *
 * `{name}` stands for one token, and `{name...}`, only at the end, for one or more.
 *
 * @throws {TypeError} when a token is empty, is or contains a wildcard, has whitespace, control
 * characters or stray braces, or when a name repeats.
 * @throws {RangeError} when the pattern exceeds 1,024 bytes.
 *
 * @example
 * ```ts
 * import { json, type Subject, subject } from "@x/jsflow/client";
 *
 * interface Order {
 *   id: string;
 * }
 * export const Orders: Subject<Order, "region"> = subject("orders.{region}", json<Order>());
 *
 * const eu = Orders.with({ region: "eu" });
 * console.log(Orders.filter, eu.pattern); // "orders.*" "orders.eu"
 * console.log(Orders.match("orders.eu")?.region); // "eu"
 * ```
 */
export function subject<const P extends string, T>(
  pattern: P,
  codec: Codec<T>,
): Subject<T, PatternTokens<P>> {
  return build(parsePattern(pattern), checkCodec<T>("subject: codec", codec));
}

/**
 * Returns the subject's name as messages carry it.
 *
 * The type admits bound subjects only; the check at run time guards plain JavaScript and casts.
 *
 * @throws {TypeError} when a token is still open.
 *
 * @example
 * ```ts
 * import { subject, subjectName, text } from "@x/jsflow/client";
 *
 * console.log(subjectName(subject("logs.{app}", text()).with({ app: "web" }))); // "logs.web"
 * ```
 */
export function subjectName(subject: BoundSubject<unknown>): string {
  if (subject.filter === subject.pattern) return subject.filter;
  throw new TypeError(
    `cannot publish to ${subject.pattern}: it has open tokens; fill them using with()`,
  );
}

function build<T, K extends string>(
  parts: readonly PatternPart[],
  codec: Codec<T>,
  described?: string,
): Subject<T, K> {
  const pattern = parts.map(patternToken).join(".");
  checkSize(pattern);
  return Object.freeze<Subject<T, K>>({
    pattern,
    template: described ?? pattern,
    filter: parts.map(filterToken).join("."),
    codec,
    with: (values: object) => build(fill(parts, values), codec, described ?? pattern),
    match: (text) => matchParts(parts, text) as SubjectParams<K> | undefined,
  });
}

function checkSize(pattern: string): void {
  if (pattern.length * 3 <= MAX_SUBJECT_BYTES) return; // UTF-8 takes at most three bytes a unit
  const bytes = utf8.encode(pattern).length;
  if (bytes <= MAX_SUBJECT_BYTES) return;
  throw new RangeError(`a subject must have at most ${MAX_SUBJECT_BYTES} bytes, got ${bytes}`);
}

function patternToken(part: PatternPart): string {
  if (part.kind === "literal") return part.text;
  return part.kind === "one" ? `{${part.name}}` : `{${part.name}...}`;
}

function filterToken(part: PatternPart): string {
  if (part.kind === "literal") return part.text;
  return part.kind === "one" ? "*" : ">";
}

function fill(parts: readonly PatternPart[], values: object): PatternPart[] {
  const given = checkValues(parts, values);
  const filled: PatternPart[] = [];
  for (const part of parts) {
    if (part.kind === "literal" || !Object.hasOwn(given, part.name)) {
      filled.push(part);
    } else if (part.kind === "one") {
      filled.push({ kind: "literal", text: token(part.name, given[part.name]) });
    } else {
      for (const text of restTexts(part.name, given[part.name])) {
        filled.push({ kind: "literal", text: token(part.name, text) });
      }
    }
  }
  return filled;
}

function checkValues(parts: readonly PatternPart[], values: object): Record<string, unknown> {
  if (values === undefined) throw new TypeError("with() needs an object of token values");
  const names = parts.flatMap((part) => part.kind === "literal" ? [] : [part.name]);
  return checkOptions("with()", values as Record<string, unknown>, names);
}

function restTexts(name: string, value: unknown): readonly unknown[] {
  const texts: readonly unknown[] = Array.isArray(value)
    ? value
    : typeof value === "string"
    ? value.split(".")
    : [value];
  if (texts.length === 0) throw new TypeError(`token ${name} needs at least one value`);
  return texts;
}

function token(name: string, value: unknown): string {
  if (typeof value !== "string") {
    throw new TypeError(`token ${name} must be a string, got ${describe(value)}`);
  }
  if (value === "*" || value === ">") {
    throw new TypeError(`token ${name} is the wildcard ${value}; leave the token open instead`);
  }
  return encodeToken(value, { what: `token ${name}` });
}

function matchParts(
  parts: readonly PatternPart[],
  text: string,
): Record<string, string | readonly string[]> | undefined {
  const tokens = text.split(".");
  const open = parts.at(-1)?.kind === "rest";
  if (open ? tokens.length < parts.length : tokens.length !== parts.length) return undefined;
  const entries: [string, string | readonly string[]][] = [];
  for (const [index, part] of parts.entries()) {
    const found = tokens[index] ?? "";
    if (found === "") return undefined;
    if (part.kind === "literal" && part.text !== found) return undefined;
    if (part.kind === "one") entries.push([part.name, tokenText(found)]);
    if (part.kind === "rest") entries.push([part.name, tokens.slice(index).map(tokenText)]);
  }
  return Object.fromEntries(entries);
}

function tokenText(found: string): string {
  try {
    return decodeToken(found);
  } catch {
    return found; // published by others: not one of our encodings
  }
}
