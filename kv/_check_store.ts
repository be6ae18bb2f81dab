import { checkOnDrift, type OnDrift } from "../client/ensure_stream.ts";
import type { Codec } from "../client/codec.ts";
import { JsflowError } from "../client/errors.ts";
import { type RetryPolicy, validateRetryPolicy } from "../client/retry_policy.ts";
import type { StreamStorage } from "../client/stream_config.ts";
import {
  checkBoolean,
  checkCodec,
  checkDurationMs,
  checkInteger,
  checkOptions,
  checkSignal,
  checkString,
  describe,
} from "../client/validate.ts";
import type { Bounds, Bucket } from "./_bucket.ts";
import type { StoreCallOptions } from "./store_call_options.ts";
import {
  DEFAULT_MAX_VALUE_BYTES,
  DEFAULT_STORE_TIMEOUT_MS,
  DEFAULT_UPDATE_RETRY,
  type StoreOptions,
  type StoreSettings,
} from "./store_options.ts";

/** Longest name of a bucket: its stream's name has three characters more. */
const MAX_BUCKET_LENGTH = 250;
const MAX_HISTORY = 64;
const MIN_TTL_MS = 100;
/** A hundred years: beyond that the server's nanoseconds overflow. */
const MAX_TTL_MS = 3_155_760_000_000;
const DEFAULT_CACHE_KEYS = 1_000;
const DEFAULT_CACHE_MS = 60_000;

/** Settings of a store, checked and complete. */
export interface CheckedSettings<T> {
  readonly codec: Codec<T>;
  readonly maxValueBytes: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly historyCacheKeys: number;
  readonly historyCacheMs: number;
  readonly allowUnsafeCas: boolean;
}

/** What a bucket is to be, checked; undefined is what the caller did not name. */
export interface WantedBucket {
  readonly bucket: string;
  readonly history: number | undefined;
  readonly ttlMs: number | undefined;
  readonly perKeyTtl: boolean | undefined;
  readonly replicas: number | undefined;
  readonly storage: StreamStorage | undefined;
  readonly maxBytes: number | undefined;
  readonly maxValueBytes: number | undefined;
  readonly compression: boolean | undefined;
  readonly description: string | undefined;
  readonly onDrift: OnDrift;
}

const SETTING_KEYS: readonly (keyof StoreSettings<unknown>)[] = [
  "codec",
  "maxValueBytes",
  "timeoutMs",
  "retry",
  "historyCacheKeys",
  "historyCacheMs",
  "allowUnsafeCas",
];
const BUCKET_KEYS: readonly (keyof StoreOptions<unknown>)[] = [
  "bucket",
  "history",
  "ttlMs",
  "perKeyTtl",
  "replicas",
  "storage",
  "maxBytes",
  "compression",
  "description",
  "onDrift",
  "signal",
];

/** Checks how a store reads and writes. */
export function checkSettings<T>(
  what: string,
  options: StoreSettings<T>,
  keys: readonly string[] = [],
): CheckedSettings<T> {
  if (options === undefined) throw new TypeError(`${what} needs options with a codec`);
  checkOptions<StoreSettings<T>>(what, options, [
    ...SETTING_KEYS,
    ...(keys as typeof SETTING_KEYS),
  ]);
  const {
    maxValueBytes = DEFAULT_MAX_VALUE_BYTES,
    timeoutMs = DEFAULT_STORE_TIMEOUT_MS,
    retry = DEFAULT_UPDATE_RETRY,
    historyCacheKeys = DEFAULT_CACHE_KEYS,
    historyCacheMs = DEFAULT_CACHE_MS,
    allowUnsafeCas = false,
  } = options;
  return {
    codec: checkCodec<T>(`${what}: codec`, options.codec),
    maxValueBytes: checkInteger(`${what}: maxValueBytes`, maxValueBytes, { min: 1 }),
    timeoutMs: checkDurationMs(`${what}: timeoutMs`, timeoutMs, { min: 1 }),
    retry: validateRetryPolicy(`${what}: retry`, retry),
    historyCacheKeys: checkInteger(`${what}: historyCacheKeys`, historyCacheKeys, { min: 1 }),
    historyCacheMs: checkDurationMs(`${what}: historyCacheMs`, historyCacheMs),
    allowUnsafeCas: checkBoolean(`${what}: allowUnsafeCas`, allowUnsafeCas),
  };
}

/** Checks a store's options. */
export function checkStoreOptions<T>(
  what: string,
  options: StoreOptions<T>,
): { readonly settings: CheckedSettings<T>; readonly wanted: WantedBucket } {
  const settings = checkSettings<T>(what, options, BUCKET_KEYS);
  const { storage } = options;
  if (storage !== undefined && storage !== "file" && storage !== "memory") {
    throw new TypeError(`${what}: storage must be "file" or "memory", got ${describe(storage)}`);
  }
  checkSignal(`${what}: signal`, options.signal);
  const wanted: WantedBucket = {
    bucket: checkBucketName(`${what}: bucket`, options.bucket),
    history: optional(
      options.history,
      (value) => checkInteger(`${what}: history`, value, { min: 1, max: MAX_HISTORY }),
    ),
    ttlMs: optional(options.ttlMs, (value) => checkTtl(`${what}: ttlMs`, value)),
    perKeyTtl: optional(options.perKeyTtl, (value) => checkBoolean(`${what}: perKeyTtl`, value)),
    replicas: optional(
      options.replicas,
      (value) => checkInteger(`${what}: replicas`, value, { min: 1, max: 5 }),
    ),
    storage,
    maxBytes: optional(
      options.maxBytes,
      (value) => value === Infinity ? value : checkInteger(`${what}: maxBytes`, value, { min: 1 }),
    ),
    maxValueBytes: options.maxValueBytes,
    compression: optional(
      options.compression,
      (value) => checkBoolean(`${what}: compression`, value),
    ),
    description: optional(
      options.description,
      (value) => checkString(`${what}: description`, value, { minLength: 0, maxLength: 4_096 }),
    ),
    onDrift: checkOnDrift(what, options.onDrift),
  };
  if (wanted.perKeyTtl === true && (wanted.history ?? 1) > 1) {
    throw new RangeError(
      `${what}: history must be 1 with perKeyTtl, since the revision before one that expires would ` +
        `come back, got ${wanted.history}`,
    );
  }
  return { settings, wanted };
}

/** Checks the name of a bucket. */
export function checkBucketName(name: string, value: unknown): string {
  const text = checkString(name, value, { maxLength: MAX_BUCKET_LENGTH });
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text;
  throw new TypeError(`${name} must be made of letters, digits, _ and -, got ${describe(text)}`);
}

/** Checks the bounds of a call; `keys` are its other options. */
export function checkBounds<O extends StoreCallOptions>(
  what: string,
  options: O | undefined,
  { timeoutMs, keys = [] }: {
    readonly timeoutMs: number;
    readonly keys?: readonly (keyof O & string)[];
  },
): Bounds {
  const known = checkOptions<O>(what, options, ["signal", "timeoutMs", ...keys]);
  return {
    signal: checkSignal(`${what}: signal`, known.signal),
    timeoutMs: known.timeoutMs === undefined
      ? timeoutMs
      : checkDurationMs(`${what}: timeoutMs`, known.timeoutMs, { min: 1 }),
  };
}

/** Checks a key's own lifetime. */
export function checkKeyTtl(
  what: string,
  value: number | undefined,
  { name, facts }: Pick<Bucket, "name" | "facts">,
): number | undefined {
  if (value === undefined) return undefined;
  checkDurationMs(`${what}: ttlMs`, value, { min: 1_000, max: MAX_TTL_MS });
  if (facts.allowMessageTtl && facts.history === 1) return value;
  const why = facts.allowMessageTtl
    ? "it keeps older revisions, and the one before would come back; use one with history: 1"
    : "it was not opened with perKeyTtl, which needs nats-server 2.11.2 or newer";
  const text = `cannot ${what} with ttlMs in bucket ${name}: ${why}`;
  throw new JsflowError("unsupported", text);
}

function checkTtl(name: string, value: number): number {
  if (value === Infinity) return value;
  return checkDurationMs(name, value, { min: MIN_TTL_MS, max: MAX_TTL_MS });
}

function optional<V, R>(value: V | undefined, check: (value: V) => R): R | undefined {
  return value === undefined ? undefined : check(value);
}
