import type { Codec } from "./codec.ts";
import { JsflowError } from "./errors.ts";
import { checkFunction, checkString, describe } from "./validate.ts";

const MAX_SUBJECT_BYTES = 1024;
/** One or more tokens of visible characters; wildcards and empty tokens are not for sending. */
// deno-lint-ignore no-control-regex
const CONCRETE = /^[^\s\u0000-\u001f\u007f-\u009f*>.]+(?:\.[^\s\u0000-\u001f\u007f-\u009f*>.]+)*$/;
// deno-lint-ignore no-control-regex
const FILTER = /^[^\s\u0000-\u001f\u007f-\u009f]+$/;
const MAX_QUEUE_BYTES = 255;
const utf8 = new TextEncoder();

/** What subjects and endpoints have in common. */
export interface Address {
  readonly pattern: string;
  readonly filter: string;
  match(subject: string): unknown;
}

let checked: Address | undefined;
let checkedName = "";

/**
 * Returns the subject to send to.
 *
 * Types admit bound addresses only, and `subject` admits no hostile pattern; this guards plain
 * JavaScript, casts and hand-made objects. A subject of 5,000 characters, for instance, would make
 * the server drop the whole connection.
 *
 * @throws {TypeError} when it has open tokens, wildcards or characters that subjects can't hold.
 */
export function concreteName(what: string, address: Address): string {
  if (checked === address) return checkedName;
  const filter: unknown = (address as Partial<Address> | null | undefined)?.filter;
  if (typeof filter !== "string") throw notAnAddress(what, address);
  if (filter !== address.pattern) {
    throw new TypeError(
      `cannot ${what} ${describe(address.pattern)}: it has open tokens; fill them using with()`,
    );
  }
  checkConcrete(what, filter);
  // Most programs send to the same few subjects over and over. A frozen one stays as it is.
  if (Object.isFrozen(address)) [checked, checkedName] = [address, filter];
  return filter;
}

/** Returns `name` as a subject that can be sent to. */
export function checkConcrete(what: string, name: string): string {
  if (hasRoom(name, MAX_SUBJECT_BYTES) && CONCRETE.test(name)) return name;
  throw new TypeError(
    `cannot ${what} ${describe(name)}: a subject has 1 to ${MAX_SUBJECT_BYTES} bytes of ` +
      "visible characters, no wildcard and no empty token",
  );
}

/** Returns the subject to listen on. */
export function filterName(what: string, address: Address): string {
  const { filter, match } = (address ?? {}) as Partial<Address>;
  if (typeof filter !== "string" || typeof match !== "function") throw notAnAddress(what, address);
  if (hasRoom(filter, MAX_SUBJECT_BYTES) && FILTER.test(filter)) return filter;
  throw new TypeError(
    `cannot ${what} ${describe(filter)}: a subject has 1 to ${MAX_SUBJECT_BYTES} bytes of ` +
      "visible characters",
  );
}

/** Returns the name of a queue group. */
export function checkQueue(what: string, queue: unknown): string {
  const name = checkString(`${what}: queue`, queue);
  if (!hasRoom(name, MAX_QUEUE_BYTES)) {
    throw new RangeError(`${what}: queue must have at most ${MAX_QUEUE_BYTES} bytes`);
  }
  if (FILTER.test(name)) return name;
  throw new TypeError(`${what}: queue must not hold whitespace, got ${describe(queue)}`);
}

/**
 * Returns the bytes of a value.
 *
 * @throws {JsflowError} as the codec does, or `encode_failed` when it throws something else.
 */
export function encodeValue<T>(what: string, codec: Codec<T>, value: T): Uint8Array {
  let payload: Uint8Array;
  try {
    payload = codec.encode(value);
  } catch (error) {
    throw codecError(`cannot ${what}: the value cannot be encoded`, "encode_failed", error);
  }
  if (payload instanceof Uint8Array) return payload;
  throw new JsflowError(
    "encode_failed",
    `cannot ${what}: the codec returned ${describe(payload)} instead of a Uint8Array`,
  );
}

/**
 * Returns the value of a payload.
 *
 * @throws {JsflowError} as the codec does, or `decode_failed` when it throws something else.
 */
export function decodeValue<T>(what: string, codec: Codec<T>, payload: Uint8Array): T {
  try {
    return codec.decode(payload);
  } catch (error) {
    throw codecError(`cannot ${what}: the payload cannot be decoded`, "decode_failed", error);
  }
}

/** Refuses a message that the server would not take. */
export function checkSize(what: string, bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  throw new JsflowError(
    "payload_too_large",
    `cannot ${what}: payload and headers have ${bytes} bytes, the server takes ${maxBytes}; ` +
      "send less, or raise its max_payload",
  );
}

/** What follows an address: options and handler, or the handler alone. */
export type Handled<O, H> = [handler: H] | [options: O | undefined, handler: H];

/** Takes options and handler apart. */
export function splitHandler<O, H extends (...args: never[]) => unknown>(
  what: string,
  given: Handled<O, H>,
): [O | undefined, H] {
  const [options, handler] = given.length === 1 ? [undefined, given[0]] : given;
  return [options, checkFunction<H>(`${what}: handler`, handler)];
}

/** Whether a text has at most so many bytes: the server counts these, and drops who exceeds them. */
function hasRoom(text: string, maxBytes: number): boolean {
  if (text.length * 3 <= maxBytes) return true; // no unit of UTF-16 has more than three bytes
  return text.length <= maxBytes && utf8.encode(text).length <= maxBytes;
}

/** A schema that turns out to be asynchronous is misuse, and stays a TypeError. */
function codecError(
  text: string,
  code: "encode_failed" | "decode_failed",
  error: unknown,
): Error {
  if (error instanceof JsflowError || error instanceof TypeError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new JsflowError(code, `${text}: ${why}`, { cause: error });
}

function notAnAddress(what: string, given: unknown): TypeError {
  return new TypeError(
    `cannot ${what} it: a subject or an endpoint is needed, as subject("a.b", json()) makes one, ` +
      `got ${describe(given)}`,
  );
}
