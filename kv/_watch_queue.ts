import { JsflowError } from "../client/errors.ts";
import type { RawEntry } from "./_bucket.ts";
import type { FeedReader } from "./_watch_feed.ts";

/** A revision that waits for its reader. */
export interface QueuedEntry {
  readonly key: string;
  readonly raw: RawEntry;
  readonly initial: boolean;
}

/** What a queue asks its owner. */
export interface EntryQueueOptions {
  /** The key of a revision that is meant; undefined for one that is not. */
  readonly select: (raw: RawEntry) => string | undefined;
  /** Called for each entry that is done. */
  readonly onDone: () => void;
  /** Called once when the feed has ended by itself. */
  readonly onFailed: (error: unknown) => void;
}

/** What lies between a feed and its reader. The feed bounds it: each entry counts until it is done. */
export class EntryQueue implements FeedReader {
  /** Resolves when all of the state at the beginning is done; rejects when it ends before. */
  readonly ready: Promise<void>;
  readonly #options: EntryQueueOptions;
  readonly #ready: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  /** Those that wait for an entry; there are none while entries wait. */
  readonly #waiting: PromiseWithResolvers<QueuedEntry | undefined>[] = [];
  #entries: QueuedEntry[] = [];
  #head = 0;
  /** Initial entries that are not done. */
  #initial = 0;
  #caughtUpAt: number | undefined;
  #end: { readonly error?: unknown } | undefined;

  constructor(options: EntryQueueOptions) {
    this.#options = options;
    this.ready = this.#ready.promise;
    this.ready.catch(() => {}); // nobody has to look at it
  }

  /** Up to here nothing was missing when the state at the beginning was complete. */
  get caughtUpAt(): number | undefined {
    return this.#caughtUpAt;
  }

  /** Whether a reader would have to wait. */
  get isEmpty(): boolean {
    return this.#head >= this.#entries.length;
  }

  accept(raw: RawEntry, initial: boolean): boolean {
    const key = this.#end === undefined ? this.#options.select(raw) : undefined;
    if (key === undefined) return false;
    const entry: QueuedEntry = { key, raw, initial };
    if (initial) this.#initial++;
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#entries.push(entry);
    else waiter.resolve(entry);
    return true;
  }

  caughtUp(revision: number): void {
    this.#caughtUpAt = revision;
    this.#settleReady();
  }

  failed(error: unknown): void {
    this.#options.onFailed(error);
  }

  /**
   * The next entry, as soon as there is one; undefined when it was ended.
   *
   * @throws what it was ended with, once and behind the entries before.
   */
  take(): Promise<QueuedEntry | undefined> {
    const entry = this.#entries[this.#head];
    if (entry !== undefined) {
      this.#shift();
      return Promise.resolve(entry);
    }
    if (this.#end === undefined) {
      const waiter = Promise.withResolvers<QueuedEntry | undefined>();
      this.#waiting.push(waiter);
      return waiter.promise;
    }
    return this.#takeEnd(this.#end);
  }

  /** An entry that was taken was handed on. */
  done({ initial }: QueuedEntry): void {
    if (initial) this.#initial--;
    this.#settleReady();
    this.#options.onDone();
  }

  /** Ends it; what waits in it is dropped unless `keeps` is true. Only the first call counts. */
  end(end: { readonly error?: unknown }, { keeps }: { readonly keeps: boolean }): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    if (!keeps) {
      this.#entries = [];
      this.#head = 0;
    }
    this.#ready.reject("error" in end ? end.error : closedError());
    for (const waiter of this.#waiting.splice(0)) {
      this.#takeEnd(this.#end).then(waiter.resolve, waiter.reject);
    }
  }

  #settleReady(): void {
    if (this.#caughtUpAt !== undefined && this.#initial === 0) this.#ready.resolve();
  }

  #takeEnd(end: { readonly error?: unknown }): Promise<undefined> {
    if (!("error" in end)) return Promise.resolve(undefined);
    this.#end = {};
    return Promise.reject(end.error);
  }

  #shift(): void {
    this.#entries[this.#head++] = undefined as unknown as QueuedEntry; // holds no memory
    if (this.#head < this.#entries.length) return;
    this.#entries = [];
    this.#head = 0;
  }
}

function closedError(): JsflowError {
  return new JsflowError(
    "connection_closed",
    "cannot read the state of the bucket: the watch was closed before that was complete",
  );
}
