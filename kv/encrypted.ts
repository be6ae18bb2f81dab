import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import type { Codec } from "../client/codec.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import {
  checkCodec,
  checkObject,
  checkOptions,
  checkString,
  describe,
} from "../client/validate.ts";
import { bindCodec } from "./_value_codec.ts";
import type { KeyedCodec, ValueAddress } from "./keyed_codec.ts";

/** The keys of {@link encrypted}. */
export interface EncryptionKeys {
  /** Id of the key that values are written with. */
  readonly current: string;
  /**
   * Keys of 32 random bytes by id, of 1 to 64 characters. All are read with, so that values which
   * were written with an older one stay readable until they have been written again.
   */
  readonly keys: Readonly<Record<string, Uint8Array>>;
}

const ALGORITHM = "aes-256-gcm";
const VERSION = 1;
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const MAX_ID_LENGTH = 64;
const ID = /^[A-Za-z0-9_.-]+$/;

/**
 * Wraps a codec so that its bytes are stored encrypted, by AES-256-GCM.
 *
 * Every value has an initialisation vector of its own, and the id of its key in front, which is not
 * secret. Bucket and key are authenticated as well: a value that somebody copies to another key, or
 * to another bucket, is refused there. What is not hidden: keys, lengths, times, and that an older
 * value was put back in place of a newer one.
 *
 * To rotate, add a key everywhere, then make it `current`, then write the values again (`update`
 * with its argument returned does), and drop the old key at last. One key is good for four billion
 * writes.
 *
 * It must be the outermost wrapper, since it asks the store for bucket and key; compress before
 * encrypting: `encrypted(compressed(json()), keys)`. Anywhere but in a store it throws `TypeError`.
 * Decoding throws `JsflowError` with code `decode_failed` when the key is unknown, or when bytes,
 * bucket or key are not those that were written. What the wrapped codec throws keeps its code, but
 * neither its text nor its cause, since both may show the value.
 *
 * @throws {TypeError | RangeError} for a codec or keys that make no sense.
 *
 * @example
 * ```ts
 * import { randomBytes } from "node:crypto";
 * import { json } from "@x/jsflow/client";
 * import { encrypted } from "@x/jsflow/kv";
 *
 * const keys = { current: "2026", keys: { "2025": randomBytes(32), "2026": randomBytes(32) } };
 * const codec = encrypted(json<{ iban: string }>(), keys);
 * const bound = codec.bind({ bucket: "accounts", key: "a-1" }); // as a store does
 * console.log(bound.decode(bound.encode({ iban: "DE00" })).iban);
 * ```
 */
export function encrypted<T>(codec: Codec<T>, keys: EncryptionKeys): KeyedCodec<T> {
  const inner = checkCodec<T>("encrypted: codec", codec);
  const ring = checkKeys(keys);
  const contentType = `application/vnd.jsflow.encrypted; type="${
    inner.contentType.replaceAll('"', "'")
  }"`;
  return {
    contentType,
    encode: refuseUnbound,
    decode: refuseUnbound,
    bind: (address) => {
      const bound = bindCodec(inner, address);
      return {
        contentType,
        encode: (value) =>
          seal(ring, hushed("encode", () => plainOf(bound.encode(value))), address),
        decode: (bytes) => {
          const plain = open(ring, bytes, address);
          return hushed("decode", () => bound.decode(plain));
        },
      };
    },
  };
}

interface KeyRing {
  readonly current: string;
  readonly keys: ReadonlyMap<string, KeyObject>;
}

function refuseUnbound(): never {
  throw new TypeError(
    "encrypted() needs to know bucket and key: use it as a store's codec, outside of all other " +
      "wrappers",
  );
}

/** What the codec within says may show the value, and so may its cause: neither is passed on. */
function hushed<R>(verb: "encode" | "decode", work: () => R): R {
  try {
    return work();
  } catch (error) {
    const kind = error instanceof TypeError
      ? " with a TypeError, as for an asynchronous schema"
      : "";
    const text = `cannot ${verb} a value that is stored encrypted: the codec within refuses it` +
      `${kind}, and says why in words that may show the value; try it alone to read them`;
    if (error instanceof TypeError) throw new TypeError(text);
    throw new JsflowError(isJsflowError(error) ? error.code : `${verb}_failed`, text);
  }
}

/** A text would be encrypted, too, and come back as bytes. */
function plainOf(bytes: Uint8Array): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  throw new JsflowError("encode_failed", "the codec returned something else than a Uint8Array");
}

function seal(ring: KeyRing, plain: Uint8Array, address: ValueAddress): Uint8Array {
  const { current, keys } = ring;
  const header = headerOf(current);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(ALGORITHM, keys.get(current)!, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(associated(header, address));
  const body = [cipher.update(plain), cipher.final()];
  return joined([header, iv, ...body, cipher.getAuthTag()]);
}

function open(ring: KeyRing, bytes: Uint8Array, address: ValueAddress): Uint8Array {
  const id = readId(bytes);
  const key = ring.keys.get(id);
  if (key === undefined) {
    throw failure(`it was written with the key ${JSON.stringify(id)}; add that one to keys`);
  }
  const header = headerOf(id);
  const ivAt = header.length;
  const bodyAt = ivAt + IV_BYTES;
  const tagAt = bytes.length - TAG_BYTES;
  const iv = bytes.subarray(ivAt, bodyAt);
  const decipher = createDecipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(associated(header, address));
  decipher.setAuthTag(bytes.subarray(tagAt));
  try {
    return joined([decipher.update(bytes.subarray(bodyAt, tagAt)), decipher.final()]);
  } catch (error) {
    const why = "it was changed, or belongs to another key or bucket";
    throw failure(`${why}; restore it from a copy, and find out who wrote it`, error);
  }
}

/** In memory of its own: buffers share theirs with others, and a codec may hand it out. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Version, length of the id, id: what says how to read the rest. */
function headerOf(id: string): Uint8Array {
  return Uint8Array.of(VERSION, id.length, ...Buffer.from(id, "latin1"));
}

function readId(bytes: Uint8Array): string {
  const [version, length = 0] = bytes;
  if (version !== VERSION || bytes.length < 2 + length + IV_BYTES + TAG_BYTES) {
    throw failure("it was not written by encrypted(); write it again through this store");
  }
  return Buffer.from(bytes.subarray(2, 2 + length)).toString("latin1");
}

/** As JSON the two texts can't run into each other, and lone surrogates stay apart. */
function associated(header: Uint8Array, { bucket, key }: ValueAddress): Uint8Array {
  return Buffer.concat([header, Buffer.from(JSON.stringify([bucket, key]), "utf8")]);
}

function failure(why: string, cause?: unknown): JsflowError {
  const text = `cannot decrypt the value: ${why}`;
  return new JsflowError("decode_failed", text, cause === undefined ? undefined : { cause });
}

function checkKeys(given: EncryptionKeys): KeyRing {
  if (given === undefined) throw new TypeError("encrypted needs keys");
  checkOptions("encrypted", given, ["current", "keys"]);
  const entries = Object.entries(checkObject("encrypted: keys", given.keys));
  const keys = new Map(entries.map(([id, key]) => [checkId(id), checkKey(id, key)]));
  const current = checkString("encrypted: current", given.current);
  if (keys.has(current)) return { current, keys };
  throw new TypeError(
    `encrypted: current must be the id of one of keys, got ${JSON.stringify(current).slice(0, 80)}`,
  );
}

function checkId(id: string): string {
  checkString("encrypted: a key's id", id, { maxLength: MAX_ID_LENGTH });
  if (ID.test(id)) return id;
  throw new TypeError(
    `encrypted: a key's id must be made of letters, digits and _ . -, got ${describe(id)}`,
  );
}

/** Copied, so that nobody changes it later; and in a form that shows nothing when it is printed. */
function checkKey(id: string, key: unknown): KeyObject {
  if (!(key instanceof Uint8Array)) {
    throw new TypeError(`encrypted: key ${id} must be a Uint8Array, got ${typeof key}`);
  }
  if (key.length === KEY_BYTES) return createSecretKey(Buffer.from(key));
  throw new RangeError(`encrypted: key ${id} must have ${KEY_BYTES} bytes, got ${key.length}`);
}
