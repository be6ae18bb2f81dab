import type { Codec } from "../client/codec.ts";
import { timeoutError, withDeadline } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import { streamInfo } from "../client/streams.ts";
import {
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkOptions,
  checkSignal,
  MAX_TIMER_MS,
} from "../client/validate.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import { bucketError } from "./_bucket_errors.ts";
import { ExpiryQueue } from "./_expiry_queue.ts";
import { createExpiry, type Expiry } from "./_mirror_expiry.ts";
import { RunningWatch } from "./_watch.ts";
import { parseWatchOptions } from "./_watch_options.ts";
import type { Change } from "./entry.ts";
import type { Mirror, MirrorOptions } from "./mirror.ts";
import type { StoreCallOptions } from "./store.ts";

const KEYS = [
  "filter",
  "onChange",
  "prefix",
  "signal",
  "timeoutMs",
] as const satisfies readonly (keyof MirrorOptions)[];

/** Overwritten values that the queue may hold besides those of the map, and as many once more. */
const MAX_STALE = 1_024;

const WAIT_KEYS = ["signal", "timeoutMs"] as const satisfies readonly (keyof StoreCallOptions)[];

/**
 * Opens a mirror of a bucket, or a part of it; resolves once it holds the state.
 *
 * @throws {TypeError | RangeError} for options that make no sense
 * @throws {JsflowError} `timeout`, `bucket_not_found`, or what ended it before
 * @throws the signal's reason when it aborts
 */
export async function openMirror<T>(
  bucket: Bucket,
  codec: Codec<T>,
  options: MirrorOptions & { readonly timeoutMs: number },
): Promise<Mirror<T>> {
  const { onChange, timeoutMs, ...selection } = checkOptions("mirror", options, KEYS);
  checkDurationMs("mirror: timeoutMs", timeoutMs, { min: 1 });
  if (onChange !== undefined) checkFunction("mirror: onChange", onChange);
  const settings = parseWatchOptions(bucket, selection);
  const { signal } = settings;
  signal?.throwIfAborted();
  const expiry = await expiryOf(bucket, { signal, timeoutMs });
  const mirror = new RunningMirror({ bucket, codec, settings, onChange, timeoutMs, expiry });
  await mirror.load();
  return mirror;
}

async function expiryOf(
  bucket: Bucket,
  bounds: { readonly signal: AbortSignal | undefined; readonly timeoutMs: number },
): Promise<Expiry | undefined> {
  try {
    return createExpiry(await streamInfo(bucket.core, bucket.stream, bounds));
  } catch (error) {
    throw bucketError(bucket.name, error);
  }
}

/** What a mirror is made of. */
export interface RunningMirrorOptions<T> {
  readonly bucket: Bucket;
  readonly codec: Codec<T>;
  readonly settings: ReturnType<typeof parseWatchOptions>;
  readonly onChange: ((change: Change<unknown>) => void) | undefined;
  /** Milliseconds that loading and `waitFor` take at most. */
  readonly timeoutMs: number;
  /** When values expire of which no change will tell. @default never */
  readonly expiry?: Expiry | undefined;
}

interface Held<T> {
  readonly value: T;
  readonly revision: number;
}

/** Somebody who waits for a revision. */
interface Waiter extends PromiseWithResolvers<void> {
  readonly revision: number;
}

/** The one implementation of {@link Mirror}. */
export class RunningMirror<T> implements Mirror<T> {
  readonly closed: Promise<void>;
  readonly #options: RunningMirrorOptions<T>;
  readonly #watch: RunningWatch<T>;
  /** The one that was written longest ago first. */
  readonly #held = new Map<string, Held<T>>();
  readonly #queue = new ExpiryQueue();
  readonly #waiters = new Set<Waiter>();
  #revision = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer wakes it, by the server's clock. */
  #wakesAt = Infinity;
  #end: { readonly error: unknown } | undefined;

  constructor(options: RunningMirrorOptions<T>) {
    this.#options = options;
    const { bucket, codec, settings } = options;
    const onChange = (change: Change<T>, raw: RawEntry) => this.#apply(change, raw) as void;
    this.#watch = new RunningWatch({ bucket, codec, settings, onChange });
    this.closed = this.#watch.closed;
    this.closed.then(
      () => this.#finish(this.#closedError()),
      (error) => this.#finish(error),
    );
  }

  /** Resolves once it holds the state; closes it when that fails. */
  async load(): Promise<void> {
    const { bucket, timeoutMs } = this.#options;
    const onTimeout = () => timeoutError(`load a mirror of bucket ${bucket.name}`, timeoutMs);
    try {
      await withDeadline({ timeoutMs, onTimeout }, () => this.#watch.ready);
      this.#see(this.#watch.caughtUpAt ?? 0);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get size(): number {
    return this.#held.size;
  }

  get revision(): number {
    return this.#revision;
  }

  get(key: string): T | undefined {
    return this.#held.get(key)?.value;
  }

  has(key: string): boolean {
    return this.#held.has(key);
  }

  revisionOf(key: string): number | undefined {
    return this.#held.get(key)?.revision;
  }

  keys(): IterableIterator<string> {
    return this.#held.keys();
  }

  *values(): Generator<T, void, undefined> {
    for (const { value } of this.#held.values()) yield value;
  }

  *entries(): Generator<[string, T], void, undefined> {
    for (const [key, { value }] of this.#held) yield [key, value];
  }

  [Symbol.iterator](): Generator<[string, T], void, undefined> {
    return this.entries();
  }

  async waitFor(revision: number, options?: StoreCallOptions): Promise<void> {
    checkInteger("waitFor: revision", revision);
    const { signal, timeoutMs = this.#options.timeoutMs } = checkOptions(
      "waitFor",
      options,
      WAIT_KEYS,
    );
    checkDurationMs("waitFor: timeoutMs", timeoutMs, { min: 1 });
    checkSignal("waitFor: signal", signal)?.throwIfAborted();
    if (revision <= this.#revision) return;
    if (this.#end !== undefined) throw this.#end.error;
    const { name } = this.#options.bucket;
    const onTimeout = () => timeoutError(`see revision ${revision} of bucket ${name}`, timeoutMs);
    const waiter: Waiter = { ...Promise.withResolvers<void>(), revision };
    this.#waiters.add(waiter);
    try {
      await withDeadline({ signal, timeoutMs, onTimeout }, () => waiter.promise);
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  close(): Promise<void> {
    return this.#watch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #apply(change: Change<T>, raw: RawEntry): unknown {
    const { key, operation, revision, value } = change;
    this.#held.delete(key); // what is set anew comes last
    if (operation === "put") {
      this.#held.set(key, { value, revision });
      this.#limit(key, raw);
    }
    this.#see(revision);
    return this.#options.onChange?.(change);
  }

  /** Takes down when a value expires of which nobody else will tell. */
  #limit(key: string, raw: RawEntry): void {
    const { expiry } = this.#options;
    const at = expiry?.expiresAt(raw) ?? Infinity;
    if (at === Infinity) return;
    this.#queue.add({ at, key, revision: raw.revision });
    if (this.#queue.size > 2 * this.#held.size + MAX_STALE) this.#queue.retain(this.#isHeld);
    this.#expire();
  }

  readonly #isHeld = ({ key, revision }: { readonly key: string; readonly revision: number }) =>
    this.revisionOf(key) === revision;

  /** Takes out what has expired, and comes back for the next one. */
  #expire(): void {
    const { expiry } = this.#options;
    if (expiry === undefined || this.#end !== undefined) return;
    const now = expiry.now();
    for (let at = this.#queue.nextAt; at !== undefined; at = this.#queue.nextAt) {
      if (at > now) return this.#wake(at, at - now);
      const due = this.#queue.shift()!;
      if (this.#isHeld(due)) this.#held.delete(due.key);
    }
  }

  #wake(at: number, inMs: number): void {
    if (at >= this.#wakesAt) return;
    clearTimeout(this.#timer);
    this.#wakesAt = at;
    this.#timer = setTimeout(() => {
      this.#wakesAt = Infinity;
      this.#expire();
    }, Math.min(inMs + 1, MAX_TIMER_MS));
  }

  #see(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    for (const waiter of this.#waiters) {
      if (waiter.revision <= revision) waiter.resolve();
    }
  }

  #finish(error: unknown): void {
    this.#end = { error };
    clearTimeout(this.#timer);
    for (const waiter of this.#waiters) waiter.reject(error);
  }

  #closedError(): JsflowError {
    const { name } = this.#options.bucket;
    return new JsflowError(
      "connection_closed",
      `cannot wait for a revision of bucket ${name}: the mirror was closed; open another one`,
    );
  }
}
