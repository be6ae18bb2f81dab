import { LRUCache } from "lru-cache";
import type { Clock } from "../client/clock.ts";
import type { History } from "./_history.ts";
import type { HistoryCacheStats } from "./history_cache.ts";

/** Bytes that the histories of one store take in memory at most, whatever their number. */
export const HISTORY_CACHE_MAX_BYTES: number = 64 * 1_048_576;

/** The bounds of a {@link HistoryCache}; it keeps nothing when one of them is 0. */
export interface HistoryCacheBounds {
  readonly maxKeys: number;
  readonly maxAgeMs: number;
  /** Bytes that all of them take at most. @default HISTORY_CACHE_MAX_BYTES */
  readonly maxBytes?: number | undefined;
}

/** Histories by the names of their keys; those that were asked for last stay. Sets no timers. */
export class HistoryCache {
  readonly #lru: LRUCache<string, History> | undefined;
  readonly #maxSize: number;
  #hits = 0;
  #misses = 0;
  #evictions = 0;

  constructor(
    { maxKeys, maxAgeMs, maxBytes }: HistoryCacheBounds,
    clock: Pick<Clock, "monotonic">,
  ) {
    const isOff = maxKeys === 0 || maxAgeMs === 0;
    this.#maxSize = isOff ? 0 : maxKeys;
    if (isOff) return;
    this.#lru = new LRUCache({
      max: maxKeys,
      maxSize: maxBytes ?? HISTORY_CACHE_MAX_BYTES,
      sizeCalculation: ({ bytes }) => bytes,
      ttl: Math.ceil(maxAgeMs),
      ttlResolution: 0, // which needs no timer
      perf: { now: () => clock.monotonic() },
      dispose: (_history, _name, reason) => {
        if (reason === "evict" || reason === "expire") this.#evictions++;
      },
    });
  }

  get stats(): HistoryCacheStats {
    this.#lru?.purgeStale();
    const { size } = this.#lru ?? { size: 0 };
    const [hits, misses, evictions] = [this.#hits, this.#misses, this.#evictions];
    return { size, maxSize: this.#maxSize, hits, misses, evictions };
  }

  get(name: string): History | undefined {
    return this.#lru?.get(name);
  }

  set(name: string, history: History): void {
    this.#lru?.set(name, history);
  }

  delete(name: string): void {
    this.#lru?.delete(name);
  }

  clear(): void {
    this.#lru?.clear();
  }

  /** Takes down how questions were answered. */
  count(answers: { readonly hits: number; readonly misses: number }): void {
    this.#hits += answers.hits;
    this.#misses += answers.misses;
  }
}
