import type { Codec } from "../client/codec.ts";
import type { Abandoned } from "../client/core.ts";
import { untilAborted } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import { checkFunction } from "../client/validate.ts";
import { jsflowLogger } from "../trace/log.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import { decodeEntry } from "./_decode_entry.ts";
import { EntryFeed } from "./_watch_feed.ts";
import { parseWatchOptions, type WatchSettings } from "./_watch_options.ts";
import { EntryQueue, type QueuedEntry } from "./_watch_queue.ts";
import type { WatchTiming } from "./_watch_session.ts";
import type { Change } from "./entry.ts";
import { EntryDecodeError } from "./entry_decode_error.ts";
import type { ChangeHandler, Watch, WatchHandle, WatchOptions } from "./watch.ts";

/**
 * Begins to watch a bucket, for a reader that iterates.
 *
 * @throws {TypeError | RangeError} for options that make no sense
 * @throws {JsflowError} `connection_closed` when the client is closing or closed
 */
export function openWatch<T>(
  bucket: Bucket,
  codec: Codec<T>,
  options?: WatchOptions,
): Watch<T> {
  return new RunningWatch({ bucket, codec, settings: parseWatchOptions(bucket, options) });
}

/** The same for a function that is called for each change, one after the other. */
export function openWatchHandle<T>(
  bucket: Bucket,
  codec: Codec<T>,
  options: WatchOptions | undefined,
  onChange: ChangeHandler<T>,
): WatchHandle {
  const settings = parseWatchOptions(bucket, options);
  checkFunction("watch: onChange", onChange);
  // What is called with more than it takes may notice.
  return new RunningWatch({ bucket, codec, settings, onChange: (change) => onChange(change) });
}

/** As {@link ChangeHandler}, with the message behind the change. */
export type EntryHandler<T> = (change: Change<T>, raw: RawEntry) => void | Promise<void>;

/** What a watch is made of. */
export interface RunningWatchOptions<T> {
  readonly bucket: Bucket;
  readonly codec: Codec<T>;
  readonly settings: WatchSettings;
  /** Who is called for each change. @default nobody, it is read by iterating */
  readonly onChange?: EntryHandler<T> | undefined;
  readonly timing?: WatchTiming | undefined;
}

/** Why a watch ends: with an error, or because it was told to. */
interface WatchEnd {
  readonly error?: unknown;
}

/** The one implementation of {@link Watch}. */
export class RunningWatch<T> implements Watch<T> {
  readonly ready: Promise<void>;
  readonly closed: Promise<void>;
  readonly #options: RunningWatchOptions<T>;
  readonly #queue: EntryQueue;
  readonly #feed: EntryFeed;
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  readonly #disown: () => void;
  readonly #onAbort = () => void this.#end({ error: this.#options.settings.signal?.reason });
  readonly #settled: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  #isSettled = false;
  #pumping: Promise<void> = Promise.resolve();
  #ending: Promise<void> | undefined;
  #isRead = false;

  constructor(options: RunningWatchOptions<T>) {
    this.#options = options;
    const { bucket, timing, onChange, settings } = options;
    const { from, maxPending, pattern, select, signal } = settings;
    this.#queue = new EntryQueue({
      select,
      onDone: () => this.#feed.release(),
      onFailed: (error) => void this.#end({ error }, { keeps: true }),
    });
    this.ready = this.#queue.ready;
    this.closed = this.#closed.promise;
    this.closed.catch(() => {}); // nobody has to look at it
    this.#disown = bucket.core.own({
      stop: () => void this.#end(this.#endOfClient()),
      drain: (deadline) => this.#drain(deadline),
    });
    try {
      const reader = this.#queue;
      this.#feed = new EntryFeed({ bucket, pattern, from, maxPending, timing, reader });
    } catch (error) {
      this.#disown(); // the client is not started
      throw error;
    }
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (onChange !== undefined) this.#pumping = this.#pump(onChange);
  }

  /** Up to here nothing was missing when the state at the beginning was complete. */
  get caughtUpAt(): number | undefined {
    return this.#queue.caughtUpAt;
  }

  close(): Promise<void> {
    return this.#end({});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<Change<T>, undefined> {
    if (this.#isRead) throw new TypeError("a watch can be read once; call watch again");
    this.#isRead = true;
    return {
      next: () => this.#next(),
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
      throw: async (error: unknown) => {
        await this.close();
        throw error;
      },
    };
  }

  async #next(): Promise<IteratorResult<Change<T>, undefined>> {
    const entry = await this.#queue.take();
    if (entry === undefined) return { done: true, value: undefined };
    try {
      return { done: false, value: this.#decode(entry) };
    } catch (error) {
      void this.#end({ error });
      // Throws what ended the watch first; nothing is handed out behind what can't be decoded.
      while (await this.#queue.take() !== undefined);
      throw error;
    } finally {
      this.#queue.done(entry);
    }
  }

  async #pump(onChange: EntryHandler<T>): Promise<void> {
    try {
      while (true) {
        const entry = await this.#queue.take();
        if (entry === undefined) return;
        await onChange(this.#decode(entry), entry.raw);
        this.#queue.done(entry);
      }
    } catch (error) {
      void this.#end({ error });
    }
  }

  #decode({ initial, key, raw }: QueuedEntry): Change<T> {
    const { bucket, codec } = this.#options;
    try {
      return { ...decodeEntry(bucket, codec, { key, raw }), initial };
    } catch (error) {
      throw new EntryDecodeError({ bucket: bucket.name, key, revision: raw.revision }, error);
    }
  }

  /** When the client closes it ends; when the connection has ended by itself, that is why. */
  #endOfClient(): WatchEnd {
    const { core, name } = this.#options.bucket;
    if (!core.connection.isClosed()) return {};
    return {
      error: new JsflowError(
        "connection_closed",
        `cannot watch bucket ${name}: the connection has ended; connect again`,
      ),
    };
  }

  async #drain(deadline: AbortSignal): Promise<readonly Abandoned[]> {
    await untilAborted(this.#settled.promise, deadline).catch(() => {});
    await this.#ending;
    const what = `watch of bucket ${this.#options.bucket.name}`;
    return this.#isSettled ? [] : [{ what, count: 1 }];
  }

  /** Ends it once; resolves when nothing is left at the server, or it could not be told. */
  #end(end: WatchEnd, { keeps = false }: { readonly keeps?: boolean } = {}): Promise<void> {
    this.#ending ??= this.#finish(end, keeps);
    return this.#ending;
  }

  async #finish(end: WatchEnd, keeps: boolean): Promise<void> {
    const { bucket, onChange, settings: { signal } } = this.#options;
    if ("error" in end) {
      // Who iterates is told; a function is not, and nobody may look at `closed`.
      const level = onChange === undefined || signal?.aborted ? "debug" : "warn";
      const details = { bucket: bucket.name, error: end.error };
      jsflowLogger("kv")[level]("a watch of bucket {bucket} has ended: {error}", details);
    }
    signal?.removeEventListener("abort", this.#onAbort);
    this.#queue.end(end, { keeps });
    await this.#feed.close();
    void this.#settle(end);
  }

  /** A call of the function that is under way may itself have ended the watch. */
  async #settle(end: WatchEnd): Promise<void> {
    await this.#pumping;
    this.#isSettled = true;
    this.#settled.resolve();
    this.#disown();
    if ("error" in end) this.#closed.reject(end.error);
    else this.#closed.resolve();
  }
}
