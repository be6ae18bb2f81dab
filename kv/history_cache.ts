/** What the cache of histories did so far. */
export interface HistoryCacheStats {
  /** Keys whose history it holds. */
  readonly size: number;
  /** Keys whose history it holds at most. */
  readonly maxSize: number;
  /** Questions that it answered. */
  readonly hits: number;
  /** Questions for which a history had to be loaded. */
  readonly misses: number;
  /** Histories dropped for room or age. */
  readonly evictions: number;
}
