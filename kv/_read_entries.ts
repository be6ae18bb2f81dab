import { timeoutError, withDeadline } from "../client/deadline.ts";
import type { Bounds, Bucket, RawEntry } from "./_bucket.ts";
import { EntryFeed } from "./_watch_feed.ts";
import { EntryQueue, type QueuedEntry } from "./_watch_queue.ts";
import { WATCH_TIMING, type WatchTiming } from "./_watch_session.ts";
import { WATCH_MAX_PENDING } from "./watch.ts";

/** One who waits for an answer is told sooner that a bucket is gone than one who watches. */
const TIMING: WatchTiming = { ...WATCH_TIMING, absenceMs: 0 };

/** What {@link readEntries} reads. */
export interface ReadEntriesOptions {
  /** A pattern behind the bucket's subject prefix: `>` or `orders.*`. */
  readonly pattern: string;
  /** The last revision of each key, or all that the bucket still has. */
  readonly from: "last" | "all";
  /** Whether values stay at the server; `bytes` is empty then. */
  readonly headersOnly: boolean;
}

/**
 * Reads what the bucket holds at this moment, in the order of the revisions, removals too. What is
 * overwritten while it reads is left out, and so is what overwrites it.
 *
 * The time counts while it waits for the server, not what the reader takes. Stopping early removes
 * what it has at the server.
 *
 * @throws {JsflowError} `timeout`, `bucket_not_found`, or what the server says
 * @throws the signal's reason when it aborts
 */
export async function* readEntries(
  bucket: Bucket,
  options: ReadEntriesOptions,
  bounds: Bounds,
): AsyncGenerator<RawEntry, void, undefined> {
  bounds.signal?.throwIfAborted();
  const listing = new Listing(bucket, options, bounds);
  try {
    for (let raw = await listing.next(); raw !== undefined; raw = await listing.next()) yield raw;
  } finally {
    await listing.close();
  }
}

/** The revisions that a feed brings until it is caught up. */
class Listing {
  readonly #bounds: Bounds;
  readonly #what: string;
  readonly #queue: EntryQueue;
  readonly #feed: EntryFeed;
  #leftMs: number;

  constructor(bucket: Bucket, options: ReadEntriesOptions, bounds: Bounds) {
    this.#bounds = bounds;
    this.#leftMs = bounds.timeoutMs;
    this.#what = `list what bucket ${bucket.name} holds`;
    const queue = this.#queue = new EntryQueue({
      select: ({ name }) => name,
      onDone: () => this.#feed.release(),
      onFailed: (error) => queue.end({ error }, { keeps: true }),
    });
    this.#feed = new EntryFeed({
      ...options,
      bucket,
      maxPending: WATCH_MAX_PENDING,
      timing: TIMING,
      reader: {
        accept: (raw, initial) => initial && queue.accept(raw, initial),
        caughtUp: () => queue.end({}, { keeps: true }),
        failed: (error) => queue.failed(error),
      },
    });
  }

  /** The next revision; undefined when there was no more. */
  async next(): Promise<RawEntry | undefined> {
    this.#bounds.signal?.throwIfAborted();
    const entry = await (this.#queue.isEmpty ? this.#wait() : this.#queue.take());
    if (entry === undefined) return undefined;
    this.#queue.done(entry);
    return entry.raw;
  }

  async close(): Promise<void> {
    this.#queue.end({}, { keeps: false });
    await this.#feed.close();
  }

  async #wait(): Promise<QueuedEntry | undefined> {
    const startedAt = performance.now();
    const { signal, timeoutMs } = this.#bounds;
    const onTimeout = () => timeoutError(this.#what, timeoutMs);
    try {
      const bounds = { signal, timeoutMs: Math.max(1, this.#leftMs), onTimeout };
      return await withDeadline(bounds, () => this.#queue.take());
    } finally {
      this.#leftMs -= performance.now() - startedAt;
    }
  }
}
