import type { Codec } from "../client/codec.ts";
import { JsflowError } from "../client/errors.ts";
import { decodeValue, encodeValue } from "./_value_codec.ts";
import type { Migration } from "./define_object.ts";
import type { KeyedCodec, ValueAddress } from "./keyed_codec.ts";
import { ObjectVersionError } from "./object_version_error.ts";

/** A state, and the version that it is stored in. */
export interface Versioned<T> {
  /** Undefined when what is stored does not say. */
  readonly version: number | undefined;
  /**
   * Reads the state, brought to the version of today.
   *
   * @throws {ObjectVersionError} when that can't be done.
   * @throws {JsflowError} `decode_failed` or `invalid_payload`
   */
  readonly state: () => T;
}

/** How states are written, and how those of older versions are read. */
export interface VersionedForm<T> {
  readonly version: number;
  readonly codec: Codec<T>;
  readonly migrations?: readonly Migration<T>[] | undefined;
}

/** The longest mark that is looked for, `v` and the end of its line included. */
const MAX_MARK_BYTES = 8;
const LINE_END = 10;

/** A codec that puts a line with the version in front: `v2`. States are decoded when they are read. */
export function versioned<T>(form: VersionedForm<T>): KeyedCodec<Versioned<T>> {
  const refuse = (): never => {
    throw new TypeError("a stored object can be read and written at its key only");
  };
  const contentType = `application/vnd.jsflow.object; version=${form.version}`;
  return {
    contentType,
    encode: refuse,
    decode: refuse,
    bind: (address) => ({
      contentType,
      encode: (value) => mark(form, value.state(), address),
      decode: (bytes) => unmark(form, bytes, address),
    }),
  };
}

function mark<T>(
  { version, codec }: VersionedForm<T>,
  state: T,
  address: ValueAddress,
): Uint8Array {
  const line = new TextEncoder().encode(`v${version}\n`);
  const body = encodeValue(codec, state, { ...address, maxValueBytes: Infinity });
  const whole = new Uint8Array(line.length + body.length);
  whole.set(line);
  whole.set(body, line.length);
  return whole;
}

function unmark<T>(form: VersionedForm<T>, bytes: Uint8Array, address: ValueAddress): Versioned<T> {
  const end = bytes.subarray(0, MAX_MARK_BYTES).indexOf(LINE_END);
  const line = new TextDecoder().decode(bytes.subarray(0, Math.max(0, end)));
  const match = /^v([1-9]\d*)$/.exec(line);
  if (match === null) return { version: undefined, state: () => refuseUnmarked(address) };
  const version = Number(match[1]);
  const body = bytes.subarray(end + 1);
  return { version, state: () => read(form, { version, body }, address) };
}

function read<T>(
  form: VersionedForm<T>,
  { version, body }: { readonly version: number; readonly body: Uint8Array },
  address: ValueAddress,
): T {
  if (version === form.version) return decodeValue(form.codec, body, address);
  const versions = { ...address, storedVersion: version, knownVersion: form.version };
  if (version > form.version) throw new ObjectVersionError({ ...versions, reason: "newer" });
  const migration = form.migrations?.find((known) => known.version === version);
  if (migration === undefined) {
    throw new ObjectVersionError({ ...versions, reason: "no_migration" });
  }
  try {
    return refusePromise("migrate", migration.read(body, address));
  } catch (error) {
    throw new ObjectVersionError({ ...versions, reason: "failed" }, { cause: error });
  }
}

/** A promise would be stored as an empty object. */
export function refusePromise<T>(what: string, value: T): T {
  if (typeof (value as { then?: unknown } | null | undefined)?.then !== "function") return value;
  throw new TypeError(`${what} must return a state, got a promise`);
}

function refuseUnmarked({ bucket, key }: ValueAddress): never {
  throw new JsflowError(
    "decode_failed",
    `cannot read ${JSON.stringify(key).slice(0, 80)} of bucket ${bucket}: it does not begin with ` +
      "a version, so it is no stored object; use another scope, or reset it",
  );
}
