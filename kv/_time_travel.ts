import { type Clock, systemClock } from "../client/clock.ts";
import type { Codec } from "../client/codec.ts";
import { timeoutError, withDeadline } from "../client/deadline.ts";
import { checkOptions, describe } from "../client/validate.ts";
import type { Bounds, Bucket } from "./_bucket.ts";
import { decodeEntry } from "./_decode_entry.ts";
import { History } from "./_history.ts";
import { HistoryCache } from "./_history_cache.ts";
import type { Entry } from "./entry.ts";
import type { HistoryCacheStats } from "./history_cache.ts";
import type { TimeRange } from "./store.ts";

/** Histories that one call loads at a time. */
const MAX_LOADS = 16;

/** How much of what was loaded is kept, and by which clock. */
export interface TimeTravelSettings {
  /** Keys whose history is kept. */
  readonly historyCacheKeys: number;
  /** Milliseconds that a history is kept. */
  readonly historyCacheMs: number;
  /** For tests. @default the machine's clock */
  readonly clock?: Pick<Clock, "monotonic"> | undefined;
}

/**
 * Answers what a bucket held at other times, as far as its history reaches back.
 *
 * Before a key's first revision there is no value, and a removal is no value. Of revisions of one
 * time the later one counts. Histories are cached: they answer about times before the last revision
 * in them, when nothing can change any more; about later times once the bucket has said that it is
 * the last one still. What this process writes is noticed at once, when `wrote` is called. What others
 * purge can be seen for as long as a history is kept: the past that it answers about was so.
 */
export interface TimeTravel<T> {
  at(key: string, time: Date, bounds: Bounds): Promise<T | undefined>;
  atMany(keys: Iterable<string>, time: Date, bounds: Bounds): Promise<Map<string, T>>;
  range(key: string, range: TimeRange, bounds: Bounds): Promise<Entry<T>[]>;
  rangeMany(
    keys: Iterable<string>,
    range: TimeRange,
    bounds: Bounds,
  ): Promise<Map<string, Entry<T>[]>>;
  readonly stats: HistoryCacheStats;
  /** To be told after each attempt to write, by the key's name: it may be stored in any case. */
  wrote(name: string): void;
  /** Drops what is cached, and caches nothing more. Idempotent. */
  close(): void;
}

/** Makes the time travel of a bucket. */
export function createTimeTravel<T>(
  bucket: Bucket,
  codec: Codec<T>,
  settings: TimeTravelSettings,
): TimeTravel<T> {
  const histories = new Histories(bucket, settings);
  const load = (keys: readonly string[], untilMs: number, bounds: Bounds) =>
    histories.of(keys, untilMs, bounds);

  async function atMany(keys: Iterable<string>, time: Date, bounds: Bounds) {
    const ms = checkTime("time", time);
    const values = new Map<string, T>();
    for (const [key, history] of await load(checkKeys(keys), ms, bounds)) {
      const raw = history.at(ms);
      if (raw?.operation !== "put") continue;
      values.set(key, decodeEntry(bucket, codec, { key, raw }).value as T);
    }
    return values;
  }

  async function rangeMany(keys: Iterable<string>, range: TimeRange, bounds: Bounds) {
    const { fromMs, toMs } = checkRange(range);
    const found = new Map<string, Entry<T>[]>();
    for (const [key, history] of await load(checkKeys(keys), toMs, bounds)) {
      const entries = history.between(fromMs, toMs);
      if (entries.length === 0) continue;
      found.set(key, entries.map((raw) => decodeEntry(bucket, codec, { key, raw })));
    }
    return found;
  }

  return {
    atMany,
    rangeMany,
    at: async (key, time, bounds) => (await atMany([key], time, bounds)).get(key),
    range: async (key, range, bounds) => (await rangeMany([key], range, bounds)).get(key) ?? [],
    get stats() {
      return histories.cache.stats;
    },
    wrote: (name) => histories.forget(name),
    close: () => histories.close(),
  };
}

/** Loads histories, and keeps them in the cache. */
class Histories {
  readonly cache: HistoryCache;
  readonly #bucket: Bucket;
  /** Loads under way; one whose key was written meanwhile is out of date when it ends. */
  readonly #loads = new Set<{ readonly name: string; isStale: boolean }>();
  #isClosed = false;

  constructor(bucket: Bucket, { historyCacheKeys, historyCacheMs, clock }: TimeTravelSettings) {
    this.#bucket = bucket;
    const bounds = { maxKeys: historyCacheKeys, maxAgeMs: historyCacheMs };
    this.cache = new HistoryCache(bounds, clock ?? systemClock);
  }

  /** The histories of keys, sound for questions about times up to `untilMs`. */
  async of(
    keys: readonly string[],
    untilMs: number,
    { signal, timeoutMs }: Bounds,
  ): Promise<Map<string, History>> {
    const names = new Map(keys.map((key) => [key, this.#bucket.keys.encode(key)]));
    const what = `read the history of bucket ${this.#bucket.name}`;
    const onTimeout = () => timeoutError(what, timeoutMs);
    return await withDeadline({ signal, timeoutMs, onTimeout }, async (inner) => {
      const bounds = { signal: inner, timeoutMs };
      const found = await this.#cached(new Set(names.values()), untilMs, bounds);
      const missing = [...new Set(names.values())].filter((name) => !found.has(name));
      this.cache.count({ hits: found.size, misses: missing.length });
      await inTurn(missing, async (name) => found.set(name, await this.#load(name, bounds)));
      return new Map([...names].map(([key, name]) => [key, found.get(name)!]));
    });
  }

  forget(name: string): void {
    this.cache.delete(name);
    for (const load of this.#loads) if (load.name === name) load.isStale = true;
  }

  close(): void {
    this.#isClosed = true;
    this.cache.clear();
  }

  /** Those in the cache that still tell the truth. */
  async #cached(
    names: ReadonlySet<string>,
    untilMs: number,
    bounds: Bounds,
  ): Promise<Map<string, History>> {
    const found = new Map<string, History>();
    const doubtful = new Map<string, History>();
    for (const name of names) {
      const history = this.cache.get(name);
      if (history?.isSettledAt(untilMs)) found.set(name, history);
      else if (history) doubtful.set(name, history);
    }
    const revisions = await this.#lastRevisions([...doubtful.keys()], bounds);
    for (const [name, history] of doubtful) {
      if ((revisions.get(name) ?? 0) === history.lastRevision) found.set(name, history);
    }
    return found;
  }

  async #lastRevisions(
    names: readonly string[],
    bounds: Bounds,
  ): Promise<ReadonlyMap<string, number>> {
    const [first, second] = names;
    if (first === undefined) return new Map();
    if (second === undefined) {
      const last = await this.#bucket.last(first, bounds);
      return new Map(last ? [[first, last.revision]] : []);
    }
    const last = await this.#bucket.lastOfMany(names, bounds);
    return new Map([...last].map(([name, { revision }]) => [name, revision]));
  }

  async #load(name: string, bounds: Bounds): Promise<History> {
    const load = { name, isStale: false };
    this.#loads.add(load);
    try {
      const entries = await this.#bucket.history(name, bounds);
      // A value may be a small part of the memory that it was received in.
      const history = new History(entries.map((raw) => ({ ...raw, bytes: raw.bytes.slice() })));
      if (!load.isStale && !this.#isClosed) this.cache.set(name, history);
      return history;
    } finally {
      this.#loads.delete(load);
    }
  }
}

/** Does something with each item, a few at a time; the first failure ends it. */
async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0;
  let hasFailed = false;
  const worker = async () => {
    try {
      while (next < items.length && !hasFailed) await work(items[next++]!);
    } catch (error) {
      hasFailed = true;
      throw error;
    }
  };
  await Promise.all(Array.from({ length: Math.min(MAX_LOADS, items.length) }, worker));
}

function checkKeys(keys: Iterable<string>): readonly string[] {
  const iterator: unknown = (keys as Partial<Iterable<string>> | null | undefined)
    ?.[Symbol.iterator];
  if (typeof keys === "object" && typeof iterator === "function") return [...new Set(keys)];
  throw new TypeError(`keys must be an iterable of strings, got ${describe(keys)}`);
}

/** Returns a time in milliseconds since 1970. */
function checkTime(name: string, value: unknown): number {
  if (!(value instanceof Date)) {
    throw new TypeError(`${name} must be a Date, got ${describe(value)}`);
  }
  const ms = value.getTime();
  if (Number.isNaN(ms)) throw new TypeError(`${name} must be a valid Date, got an invalid one`);
  return ms;
}

function checkRange(range: TimeRange): { readonly fromMs: number; readonly toMs: number } {
  if (range === undefined) throw new TypeError("range must have from and to, got undefined");
  const { from, to } = checkOptions("range", range, ["from", "to"]);
  const fromMs = checkTime("range: from", from);
  const toMs = checkTime("range: to", to);
  if (fromMs <= toMs) return { fromMs, toMs };
  throw new RangeError("range: from must not be later than to");
}
