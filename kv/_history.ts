import type { RawEntry } from "./_bucket.ts";

/** Bytes that an entry takes besides its value, roughly. */
const ENTRY_BYTES = 256;

/**
 * The revisions of one key, as they were when they were loaded, searched by time.
 *
 * A revision counts from its own time on, but never from an earlier time than those before it: the
 * clock of a new leader may be behind that of the old one.
 */
export class History {
  /** The oldest first. */
  readonly entries: readonly RawEntry[];
  /** What it takes in memory, roughly. */
  readonly bytes: number;
  /** Since when each entry counts; never falls. */
  readonly #since: readonly number[];

  constructor(entries: readonly RawEntry[]) {
    this.entries = entries;
    let since = -Infinity;
    let bytes = ENTRY_BYTES;
    this.#since = entries.map((entry) => {
      bytes += entry.bytes.length + ENTRY_BYTES;
      return since = Math.max(since, entry.time.getTime());
    });
    this.bytes = bytes;
  }

  /** The last revision; 0 when there is none. */
  get lastRevision(): number {
    return this.entries.at(-1)?.revision ?? 0;
  }

  /** Whether revisions that came after it was loaded can't count at this time. */
  isSettledAt(ms: number): boolean {
    return ms < (this.#since.at(-1) ?? -Infinity);
  }

  /** The revision that counted at a time; of several of one time the last. */
  at(ms: number): RawEntry | undefined {
    return this.entries[this.#countUntil(ms) - 1];
  }

  /** The revisions that began to count within a span, both ends included. */
  between(fromMs: number, toMs: number): readonly RawEntry[] {
    return this.entries.slice(this.#firstFrom(fromMs), this.#countUntil(toMs));
  }

  /** How many revisions began to count at this time or before. */
  #countUntil(ms: number): number {
    return firstIndex(this.#since, (since) => since > ms);
  }

  #firstFrom(ms: number): number {
    return firstIndex(this.#since, (since) => since >= ms);
  }
}

/** The index of the first item that fits, where all behind it fit too; their number when none. */
function firstIndex(items: readonly number[], fits: (item: number) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (fits(items[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
