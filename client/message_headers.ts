import { headers as nativeHeaders } from "@nats-io/nats-core";
import type { NatsHeaders } from "./native.ts";
import { checkObject, describe } from "./validate.ts";

/** The most bytes that the headers of one message may have. */
export const MAX_HEADER_BYTES: number = 65_536;

const MAX_NAME_LENGTH = 255;
/** "NATS/1.0", and two line ends. */
const FRAME_BYTES = 12;
const NAME = /^[!-9;-~]+$/; // printable ASCII without the colon
const RESERVED = /^(?:nats|jsflow)-/i;
const FORBIDDEN_IN_VALUE = /[\r\n\0]/;

/**
 * Headers to send: an object, or anything that yields names with their values, such as a `Map` or
 * native headers.
 *
 * A name has 1 to 255 printable ASCII characters and no colon; names that begin with `Nats-` or
 * `Jsflow-` are reserved and refused, so the headers of a received message can be passed on only
 * without such names. A value holds no CR, LF or NUL, and loses whitespace around it. All in all
 * headers have at most 65,536 bytes. They are copied: what is passed is never changed.
 */
export type MessageHeaders =
  | Readonly<Record<string, string | readonly string[]>>
  | Iterable<readonly [name: string, values: string | readonly string[]]>;

/**
 * The headers of a received message.
 *
 * Lookups ignore the case of names, since other clients write `traceparent` or `Traceparent`;
 * `names` and iteration give them as they arrived. To pass them on as {@link MessageHeaders}, leave
 * out the reserved names, which `Nats-Msg-Id` and others may be among: sending them is refused.
 *
 * @example
 * ```ts
 * import type { MessageHeaders, ReadonlyHeaders } from "@x/jsflow/client";
 *
 * function passOn(received: ReadonlyHeaders): MessageHeaders {
 *   return [...received].filter(([name]) => !/^(?:nats|jsflow)-/i.test(name));
 * }
 * console.log(passOn);
 * ```
 */
export interface ReadonlyHeaders extends Iterable<readonly [string, readonly string[]]> {
  /** Returns the first value, or `undefined` when there is none. */
  get(name: string): string | undefined;
  /** Returns all values, in the order in which they arrived. */
  getAll(name: string): readonly string[];
  /** Tells whether there is a header of that name. */
  has(name: string): boolean;
  /** Returns the names as they arrived. */
  names(): readonly string[];
}

/**
 * Makes native headers from headers given by a user; the result is always a new object.
 *
 * `what` is how errors call them.
 *
 * @throws {TypeError} when a name or a value is not allowed.
 * @throws {RangeError} when a name, or all of them together, are too long.
 */
export function copyHeaders(what: string, given: MessageHeaders | undefined): NatsHeaders {
  const copy = nativeHeaders();
  if (given === undefined) return copy;
  for (const [name, values] of entriesOf(what, given)) {
    checkHeaderName(what, name);
    for (const value of typeof values === "string" ? [values] : valuesOf(what, name, values)) {
      copy.append(name, checkHeaderValue(what, name, value));
    }
  }
  const bytes = headerBytes(copy);
  if (bytes > MAX_HEADER_BYTES) {
    throw new RangeError(`${what} must have at most ${MAX_HEADER_BYTES} bytes, got ${bytes}`);
  }
  return copy;
}

/** Returns the size of headers on the wire; 0 when there are none. */
export function headerBytes(headers: NatsHeaders | undefined): number {
  if (headers === undefined) return 0;
  let bytes = FRAME_BYTES;
  for (const [name, values] of headers) {
    for (const value of values) bytes += name.length + utf8Length(value) + 4;
  }
  return bytes === FRAME_BYTES ? 0 : bytes;
}

/** Returns the view of native headers that handlers get. */
export function readHeaders(headers: NatsHeaders | undefined): ReadonlyHeaders {
  return headers === undefined ? NO_HEADERS : new HeadersView(headers);
}

function entriesOf(
  what: string,
  given: MessageHeaders,
): Iterable<readonly [string, string | readonly string[]]> {
  if (Array.isArray(given)) return given.map((entry) => pair(what, entry));
  checkObject(what, given);
  if (Symbol.iterator in given) {
    return Array.from(given as Iterable<unknown>, (entry) => pair(what, entry));
  }
  return Object.entries(given);
}

function pair(what: string, entry: unknown): readonly [string, string | readonly string[]] {
  if (Array.isArray(entry) && entry.length === 2) return entry as [string, string];
  throw new TypeError(`${what} must yield pairs of name and value, got ${describe(entry)}`);
}

function valuesOf(what: string, name: string, values: unknown): readonly unknown[] {
  if (Array.isArray(values)) return values;
  throw new TypeError(
    `${what}: the value of ${name} must be a string or an array of strings, got ` +
      describe(values),
  );
}

function checkHeaderName(what: string, name: unknown): void {
  if (typeof name !== "string" || !NAME.test(name)) {
    throw new TypeError(
      `${what}: a name must be printable ASCII without spaces and colons, got ${describe(name)}`,
    );
  }
  if (name.length > MAX_NAME_LENGTH) {
    throw new RangeError(
      `${what}: a name must have at most ${MAX_NAME_LENGTH} characters, got ${name.length}`,
    );
  }
  if (RESERVED.test(name)) {
    throw new TypeError(`${what}: ${name} is reserved; choose a name without Nats- and Jsflow-`);
  }
}

function checkHeaderValue(what: string, name: string, value: unknown): string {
  if (typeof value !== "string") {
    throw new TypeError(`${what}: the value of ${name} must be a string, got ${describe(value)}`);
  }
  if (FORBIDDEN_IN_VALUE.test(value)) {
    throw new TypeError(`${what}: the value of ${name} must not hold CR, LF or NUL`);
  }
  if (!value.isWellFormed()) {
    throw new TypeError(`${what}: the value of ${name} has a lone surrogate`);
  }
  return value;
}

function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // Either half of a surrogate pair counts for two of its four bytes.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}

class HeadersView implements ReadonlyHeaders {
  readonly #native: NatsHeaders;

  constructor(native: NatsHeaders) {
    this.#native = native;
  }

  get(name: string): string | undefined {
    const wanted = name.toLowerCase();
    for (const [found, values] of this.#native) {
      if (found.toLowerCase() === wanted && values.length > 0) return values[0];
    }
    return undefined;
  }

  getAll(name: string): readonly string[] {
    const wanted = name.toLowerCase();
    const all: string[] = [];
    for (const [found, values] of this.#native) {
      if (found.toLowerCase() === wanted) all.push(...values);
    }
    return all;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  names(): readonly string[] {
    return this.#native.keys();
  }

  *[Symbol.iterator](): IterableIterator<readonly [string, readonly string[]]> {
    for (const [name, values] of this.#native) yield [name, [...values]];
  }
}

const NO_HEADERS: ReadonlyHeaders = {
  get: () => undefined,
  getAll: () => [],
  has: () => false,
  names: () => [],
  [Symbol.iterator]: () => [][Symbol.iterator](),
};
