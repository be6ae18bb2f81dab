import type { Clock } from "../client/clock.ts";
import { timeoutError } from "../client/deadline.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { validateRetryPolicy } from "../client/retry_policy.ts";
import { deleteStream } from "../client/streams.ts";
import { checkFunction, checkInteger, checkObject, describe } from "../client/validate.ts";
import type { Bounds, Bucket, RawEntry, RawWrite } from "./_bucket.ts";
import { checkBounds, type CheckedSettings, checkKeyTtl } from "./_check_store.ts";
import { decodeEntry } from "./_decode_entry.ts";
import type { StoreParts } from "./_store_parts.ts";
import type { TimeTravel } from "./_time_travel.ts";
import { runUpdate } from "./_update.ts";
import { decodeValue, encodeValue } from "./_value_codec.ts";
import type { Entry } from "./entry.ts";
import { KeyExistsError, KeyNotFoundError } from "./errors.ts";
import type { HistoryCacheStats } from "./history_cache.ts";
import type { Mirror, MirrorOptions } from "./mirror.ts";
import type {
  KeysOptions,
  RemoveOptions,
  Store,
  StoreCallOptions,
  TimeRange,
  UpdateAtOptions,
  Updated,
  UpdateOptions,
  Updater,
  WriteOptions,
} from "./store.ts";
import type { ChangeHandler, Watch, WatchHandle, WatchOptions } from "./watch.ts";

/** Writes that `create` tries, while removals of the key by others come in between. */
const MAX_CREATE_ATTEMPTS = 16;
const EMPTY = new Uint8Array(0);

/** What a store is made of. */
export interface StoreMakings<T> {
  readonly bucket: Bucket;
  readonly settings: CheckedSettings<T>;
  readonly parts: StoreParts<T>;
  readonly clock: Clock;
  readonly random: () => number;
}

/** The one implementation of `Store`. */
export class BucketStore<T> implements Store<T> {
  readonly bucket: string;
  readonly #bucket: Bucket;
  readonly #settings: CheckedSettings<T>;
  readonly #makings: StoreMakings<T>;
  readonly #travel: TimeTravel<T>;
  /** Watches and mirrors that are under way. */
  readonly #open = new Set<{ close(): Promise<void> }>();
  #closing: Promise<void> | undefined;

  constructor(makings: StoreMakings<T>) {
    this.#makings = makings;
    this.#bucket = makings.bucket;
    this.#settings = makings.settings;
    this.#travel = makings.parts.travel;
    this.bucket = makings.bucket.name;
  }

  async get(key: string, options?: StoreCallOptions): Promise<T | undefined> {
    const raw = await this.#last("get", key, options);
    return raw?.operation === "put" ? this.#value(key, raw) : undefined;
  }

  async getOrThrow(key: string, options?: StoreCallOptions): Promise<T> {
    const raw = await this.#last("getOrThrow", key, options);
    if (raw?.operation === "put") return this.#value(key, raw);
    throw new KeyNotFoundError(this.bucket, key);
  }

  async entry(key: string, options?: StoreCallOptions): Promise<Entry<T> | undefined> {
    const raw = await this.#last("entry", key, options);
    return raw && decodeEntry(this.#bucket, this.#settings.codec, { key, raw });
  }

  async getMany(keys: Iterable<string>, options?: StoreCallOptions): Promise<Map<string, T>> {
    const bounds = this.#bounds("getMany", options);
    const names = this.#names("getMany", keys);
    const found = await this.#bucket.lastOfMany([...names.values()], bounds);
    const values = new Map<string, T>();
    for (const [key, name] of names) {
      const raw = found.get(name);
      if (raw?.operation === "put") values.set(key, this.#value(key, raw));
    }
    return values;
  }

  async put(key: string, value: T, options?: WriteOptions): Promise<number> {
    return await this.#put("put", { key, value, expected: undefined }, options);
  }

  async updateAt(key: string, value: T, options: UpdateAtOptions): Promise<number> {
    const expected = checkInteger("updateAt: revision", options?.revision);
    return await this.#put("updateAt", { key, value, expected }, options, ["revision"]);
  }

  async create(key: string, value: T, options?: WriteOptions): Promise<number> {
    const bounds = this.#bounds("create", options, ["ttlMs"]);
    const write = this.#writeOf("create", { key, value }, options);
    const endsAt = this.#makings.clock.monotonic() + bounds.timeoutMs;
    let expected = 0;
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#write({ ...write, expected }, this.#until(endsAt, bounds, "create"));
      } catch (error) {
        if (!isJsflowError(error, "revision_conflict")) throw error;
        const left = this.#until(endsAt, bounds, "create");
        const last = await this.#bucket.lastAtLeader(write.name, left);
        const isTaken = last?.operation === "put" || attempt === MAX_CREATE_ATTEMPTS;
        if (isTaken) throw new KeyExistsError(this.bucket, key, { cause: error });
        expected = last?.revision ?? 0;
      }
    }
  }

  async update(key: string, fn: Updater<T>, options?: UpdateOptions): Promise<Updated<T>> {
    const bounds = this.#bounds("update", options, ["ttlMs", "retry"]);
    const { bucket, settings, clock, random } = this.#makings;
    const name = bucket.keys.encode(key);
    const retry = options?.retry === undefined
      ? settings.retry
      : validateRetryPolicy("update: retry", options.retry);
    const ttlMs = this.#ttl("update", options?.ttlMs);
    checkFunction("update: fn", fn);
    const { codec, maxValueBytes } = settings;
    const ground = { bucket, codec, maxValueBytes, clock, random };
    try {
      return await runUpdate(ground, { key, name, fn, retry, ttlMs, ...bounds });
    } finally {
      this.#travel.wrote(name);
    }
  }

  async delete(key: string, options?: RemoveOptions): Promise<void> {
    await this.#remove("delete", key, options);
  }

  async purge(key: string, options?: RemoveOptions): Promise<void> {
    await this.#remove("purge", key, options);
  }

  keys(options?: KeysOptions): AsyncIterable<string> {
    const bounds = this.#bounds("keys", options, ["prefix", "filter"]);
    const { prefix, filter } = options ?? {};
    return this.#makings.parts.keys(this.#bucket.keys.filter({ prefix, filter }), bounds);
  }

  async history(key: string, options?: StoreCallOptions): Promise<Entry<T>[]> {
    const bounds = this.#bounds("history", options);
    const found = await this.#bucket.history(this.#bucket.keys.encode(key), bounds);
    return found.map((raw) => decodeEntry(this.#bucket, this.#settings.codec, { key, raw }));
  }

  watch(options?: WatchOptions): Watch<T>;
  watch(options: WatchOptions, onChange: ChangeHandler<T>): WatchHandle;
  watch(options: WatchOptions = {}, onChange?: ChangeHandler<T>): Watch<T> | WatchHandle {
    this.#checkOpen("watch");
    const { parts } = this.#makings;
    const watch = onChange === undefined
      ? parts.watch(options)
      : parts.watchHandle(options, checkFunction("watch: onChange", onChange));
    this.#keep(watch);
    return watch;
  }

  async mirror(options?: MirrorOptions): Promise<Mirror<T>> {
    this.#checkOpen("mirror");
    if (options !== undefined) checkObject("mirror options", options);
    const { parts, settings } = this.#makings;
    const timeoutMs = options?.timeoutMs === undefined ? settings.timeoutMs : options.timeoutMs;
    const mirror = await parts.mirror({ ...options, timeoutMs });
    if (this.#closing !== undefined) await mirror.close(); // while it was loading
    this.#checkOpen("mirror");
    this.#keep(mirror);
    return mirror;
  }

  at(key: string, time: Date, options?: StoreCallOptions): Promise<T | undefined>;
  at(keys: Iterable<string>, time: Date, options?: StoreCallOptions): Promise<Map<string, T>>;
  async at(
    keys: string | Iterable<string>,
    time: Date,
    options?: StoreCallOptions,
  ): Promise<T | undefined | Map<string, T>> {
    const bounds = this.#bounds("at", options);
    return typeof keys === "string"
      ? await this.#travel.at(keys, time, bounds)
      : await this.#travel.atMany(keys, time, bounds);
  }

  range(key: string, range: TimeRange, options?: StoreCallOptions): Promise<Entry<T>[]>;
  range(
    keys: Iterable<string>,
    range: TimeRange,
    options?: StoreCallOptions,
  ): Promise<Map<string, Entry<T>[]>>;
  async range(
    keys: string | Iterable<string>,
    range: TimeRange,
    options?: StoreCallOptions,
  ): Promise<Entry<T>[] | Map<string, Entry<T>[]>> {
    const bounds = this.#bounds("range", options);
    return typeof keys === "string"
      ? await this.#travel.range(keys, range, bounds)
      : await this.#travel.rangeMany(keys, range, bounds);
  }

  get historyCache(): HistoryCacheStats {
    return this.#travel.stats;
  }

  async destroy(options?: StoreCallOptions): Promise<void> {
    const bounds = this.#bounds("destroy", options);
    await deleteStream(this.#bucket.core, this.#bucket.stream, { ...bounds });
    await this.close();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#travel.close();
    await Promise.all([...this.#open].map((resource) => resource.close()));
  }

  /** Ends it with the store. */
  #keep(resource: { close(): Promise<void>; readonly closed: Promise<void> }): void {
    this.#open.add(resource);
    const forget = () => this.#open.delete(resource);
    resource.closed.then(forget, forget);
  }

  async #last(
    what: string,
    key: string,
    options: StoreCallOptions | undefined,
  ): Promise<RawEntry | undefined> {
    const bounds = this.#bounds(what, options);
    return await this.#bucket.last(this.#bucket.keys.encode(key), bounds);
  }

  #value(key: string, raw: RawEntry): T {
    return decodeValue(this.#settings.codec, raw.bytes, { bucket: this.bucket, key });
  }

  async #put(
    what: string,
    { key, value, expected }: {
      readonly key: string;
      readonly value: T;
      readonly expected: number | undefined;
    },
    options: WriteOptions | undefined,
    more: readonly string[] = [],
  ): Promise<number> {
    const bounds = this.#bounds(what, options, ["ttlMs", ...more]);
    const write = this.#writeOf(what, { key, value }, options);
    return await this.#write({ ...write, expected }, bounds);
  }

  async #remove(
    operation: "delete" | "purge",
    key: string,
    options: RemoveOptions | undefined,
  ): Promise<void> {
    const bounds = this.#bounds(operation, options, ["revision"]);
    const name = this.#bucket.keys.encode(key);
    const expected = options?.revision === undefined
      ? undefined
      : checkInteger(`${operation}: revision`, options.revision, { min: 1 });
    await this.#write({ name, bytes: EMPTY, operation, expected }, bounds);
  }

  #writeOf(
    what: string,
    { key, value }: { readonly key: string; readonly value: T },
    options: WriteOptions | undefined,
  ): Omit<RawWrite, "expected"> {
    const name = this.#bucket.keys.encode(key);
    const ttlMs = this.#ttl(what, options?.ttlMs);
    const { codec, maxValueBytes } = this.#settings;
    const bytes = encodeValue(codec, value, { bucket: this.bucket, key, maxValueBytes });
    return { name, bytes, operation: "put", ttlMs };
  }

  async #write(write: RawWrite, bounds: Bounds): Promise<number> {
    try {
      return await this.#bucket.write(write, bounds);
    } finally {
      this.#travel.wrote(write.name);
    }
  }

  #ttl(what: string, ttlMs: number | undefined): number | undefined {
    return checkKeyTtl(what, ttlMs, this.#bucket);
  }

  /** Names by key. */
  #names(what: string, keys: Iterable<string>): Map<string, string> {
    if (typeof keys === "string" || typeof keys?.[Symbol.iterator] !== "function") {
      throw new TypeError(`${what}: keys must be an iterable of keys, got ${describe(keys)}`);
    }
    return new Map(Array.from(keys, (key) => [key, this.#bucket.keys.encode(key)]));
  }

  #bounds(
    what: string,
    options: StoreCallOptions | undefined,
    keys: readonly string[] = [],
  ): Bounds {
    this.#checkOpen(what);
    const { timeoutMs } = this.#settings;
    return checkBounds(what, options, { timeoutMs, keys: keys as never });
  }

  #checkOpen(what: string): void {
    if (this.#closing === undefined) return;
    throw new JsflowError(
      "connection_closed",
      `cannot ${what} in bucket ${this.bucket}: the store is closed; open it again`,
    );
  }

  #until(endsAt: number, { signal, timeoutMs }: Bounds, what: string): Bounds {
    const leftMs = endsAt - this.#makings.clock.monotonic();
    if (leftMs <= 0) throw timeoutError(`${what} in bucket ${this.bucket}`, timeoutMs);
    return { signal, timeoutMs: leftMs };
  }
}
