import type { CallBounds } from "../client/call_options.ts";
import { systemClock } from "../client/clock.ts";
import type { StreamDelivery } from "../client/delivery.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import { readStreamInfo, type StreamInfo } from "../client/stream_info.ts";
import { streamInfo } from "../client/streams.ts";
import { translateError } from "../client/translate_error.ts";
import type { Logger } from "../trace/native.ts";
import { jsflowLogger } from "../trace/log.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import { onReconnect } from "./_reconnects.ts";
import { Farewells } from "./_watch_farewell.ts";
import { isFatal } from "./_watch_failures.ts";
import { operationOf } from "./_stored_message.ts";
import { lastMatch } from "./_watch_consumer.ts";
import { FeedPosition, type FeedStart } from "./_watch_position.ts";
import { type SessionEnd, WATCH_TIMING, WatchSession, type WatchTiming } from "./_watch_session.ts";

/** Pauses after failures; there is none before the first attempt, nor after a reconnect. */
const BACKOFF: RetryPolicy = { attempts: Infinity, initialMs: 100, factor: 2, maxMs: 5_000 };
/** Milliseconds that a request takes at most, unless others failed before it. */
const FIRST_TIMEOUT_MS = 1_500;
/**
 * How often in a row the bucket must seem to be gone, or to have lost what it held: after a restart
 * of the server it may only not be loaded yet.
 */
const CONFIRMATIONS = 4;

const logger: Logger = jsflowLogger("kv");

/** Who reads a feed. */
export interface FeedReader {
  /**
   * Takes a revision; each is higher than the one before. Returns whether it is kept, and counts as
   * held until the feed's `release` is called.
   */
  accept(entry: RawEntry, initial: boolean): boolean;
  /** All that was there when the feed began has come; nothing up to `revision` is missing. */
  caughtUp(revision: number): void;
  /** It has ended by itself. */
  failed(error: unknown): void;
}

/** What a feed is made of. */
export interface EntryFeedOptions {
  readonly bucket: Bucket;
  /** A pattern behind the bucket's subject prefix. */
  readonly pattern: string;
  readonly from: FeedStart;
  /** Whether values stay at the server. @default false */
  readonly headersOnly?: boolean | undefined;
  /** Revisions that the reader holds at most. */
  readonly maxPending: number;
  /** @default WATCH_TIMING */
  readonly timing?: WatchTiming | undefined;
  readonly reader: FeedReader;
}

/**
 * The revisions of a bucket in their order, from some point on, each once: whatever happens to the
 * connection, to the server and to the consumer behind it.
 *
 * Each time that something is wrong the consumer is replaced by one that begins with the last
 * revision that was seen. When that one comes again it must be the same message: otherwise the
 * bucket was replaced by another one, or an older copy of itself, and there is no going on.
 */
export class EntryFeed {
  readonly #options: EntryFeedOptions;
  readonly #timing: WatchTiming;
  readonly #position: FeedPosition;
  readonly #closed = new AbortController();
  readonly #farewells = new Farewells();
  readonly #forget: () => void;
  readonly #running: Promise<void>;
  #session: WatchSession | undefined;
  #held = 0;
  /** Of those that are held, how many came before the session that runs. */
  #carried = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #pause: AbortController | undefined;
  #failures = 0;
  /** Looks in a row at which the bucket seemed to be gone. */
  #absences = 0;
  #absentSince = 0;
  /** Whether the look that goes on is one of them. */
  #seemsGone = false;
  #wasServed = false;
  #wasCaughtUp = false;
  #isReplaced = false;

  constructor(options: EntryFeedOptions) {
    this.#options = options;
    const { bucket: { core, facts }, from, timing = WATCH_TIMING } = options;
    this.#timing = timing;
    this.#position = new FeedPosition(from, facts);
    this.#forget = onReconnect(core, () => this.#renew());
    this.#running = this.#run();
  }

  /** The oldest revision that was accepted and kept is held no more. */
  release(): void {
    this.#held--;
    if (this.#carried > 0) this.#carried--;
    else this.#session?.release();
    if (this.#hasRoom) this.#room?.resolve();
  }

  /** Ends it; resolves when nothing of it is left. Idempotent, never rejects. */
  async close(): Promise<void> {
    this.#closed.abort(new Error("the watch was closed"));
    this.#pause?.abort();
    this.#room?.resolve();
    this.#session?.end("closed", "the watch was closed");
    await this.#running;
  }

  get #hasRoom(): boolean {
    return this.#held <= this.#options.maxPending / 2;
  }

  /** The connection is back: what was on its way is lost, and there is no reason to wait. */
  #renew(): void {
    this.#failures = 0;
    this.#pause?.abort();
    this.#session?.end("reconnected", "the connection was lost meanwhile");
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    try {
      while (!signal.aborted) {
        await this.#untilRoom();
        await this.#rest();
        if (!signal.aborted) await this.#attempt();
      }
    } catch (error) {
      if (!signal.aborted) this.#options.reader.failed(error);
    }
    this.#forget();
    await this.#farewells.close();
  }

  /** A reader that is away needs no consumer. */
  async #untilRoom(): Promise<void> {
    if (this.#hasRoom || this.#closed.signal.aborted) return;
    this.#room = Promise.withResolvers<void>();
    await this.#room.promise;
    this.#room = undefined;
  }

  async #rest(): Promise<void> {
    if (this.#failures === 0 || this.#closed.signal.aborted) return;
    const delayMs = retryDelayMs(BACKOFF, this.#failures, Math.random) ?? 0;
    const pause = this.#pause = new AbortController();
    await systemClock.sleep(delayMs, pause.signal).catch(() => {});
    this.#pause = undefined;
  }

  /** One session; rejects when there is no use in another one. */
  async #attempt(): Promise<void> {
    this.#seemsGone = false;
    try {
      if (!this.#position.hasBegun) await this.#begin();
      await this.#serve(this.#session = this.#createSession());
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      const { core, name } = this.#options.bucket;
      core.telemetry.count("fetchErrors");
      this.#failures++;
      const cause = this.#explain(error);
      if (!this.#seemsGone) this.#absences = 0; // nobody knows what there was meanwhile
      if (isFatal(cause, this.#wasServed)) throw cause;
      logger.debug("a watch of bucket {bucket} is held up: {error}", { bucket: name, error });
    }
  }

  async #begin(): Promise<void> {
    const target = await this.#lastMatch();
    this.#position.begin(await this.#checkStream(), target);
  }

  /** The last revision that is meant, where the consumer may be on a server that is behind. */
  async #lastMatch(): Promise<number> {
    const { bucket, from, pattern } = this.#options;
    if (bucket.facts.replicas === 1 || from === "new") return 0;
    try {
      return await lastMatch(bucket, pattern, this.#bounds);
    } catch (error) {
      if (!isJsflowError(error, "permission_denied")) throw error;
      logger.warn(
        "a watch of bucket {bucket} may not ask the leader, and takes the state for complete when " +
          "the server of its consumer does: {error}",
        { bucket: bucket.name, error },
      );
      return 0;
    }
  }

  async #serve(session: WatchSession): Promise<void> {
    try {
      const { num_pending: pending } = await session.open(this.#bounds);
      await this.#checkStream(); // asked now, it says which stream the consumer belongs to
      this.#position.opened(pending);
      this.#tellCaughtUp();
      session.start();
      this.#judge(session, await session.ended);
    } finally {
      this.#session = undefined;
      session.end("closed", "it is replaced");
      await session.dismiss(this.#farewells);
    }
  }

  /** A consumer that the server places on a dead member of its cluster is never answered for. */
  get #bounds(): { readonly signal: AbortSignal; readonly timeoutMs: number } {
    const { requestTimeoutMs } = this.#options.bucket.core;
    const timeoutMs = Math.min(requestTimeoutMs, FIRST_TIMEOUT_MS * 2 ** this.#failures);
    return { signal: this.#closed.signal, timeoutMs };
  }

  #createSession(): WatchSession {
    const { bucket, headersOnly = false, maxPending, pattern } = this.#options;
    this.#carried = this.#held;
    return new WatchSession({
      bucket,
      plan: { pattern, headersOnly, start: this.#position.start },
      capacity: maxPending - this.#held,
      timing: this.#timing,
      onMessage: (delivery) => this.#receive(delivery),
      onServed: () => {
        this.#wasServed = true;
        this.#failures = 0;
      },
      isCaughtUp: () => this.#position.isCaughtUp,
      onIdle: () => this.#settle(),
    });
  }

  /** Nothing waits where the consumer is. What was still missing there may have been removed. */
  async #settle(): Promise<void> {
    this.#position.catchUp();
    if (!this.#position.isCaughtUp) {
      try {
        this.#position.lowerTarget(await this.#currentTarget());
      } catch {
        return; // the next look tries again
      }
      this.#position.catchUp();
    }
    this.#tellCaughtUp();
  }

  /**
   * The last revision that is meant by now. Whoever says that there is less than at the beginning
   * may be a leader that was cut off: it must have come as far as the bucket was then.
   */
  async #currentTarget(): Promise<number> {
    const { bucket, pattern } = this.#options;
    const last = await this.#lastMatch();
    const { created, lastSequence, isEmpty } = await describeMatches(bucket, pattern, this.#bounds);
    const isUpToDate = created.getTime() === bucket.facts.createdMs &&
      lastSequence >= this.#position.end;
    if (isUpToDate && isEmpty) return 0;
    if (isUpToDate && last > 0) return last;
    throw new JsflowError("jetstream_unavailable", "the bucket is not up to date");
  }

  /** Returns the last revision of the stream, once it is known to be the one that is meant. */
  async #checkStream(): Promise<number> {
    const { core, facts, stream } = this.#options.bucket;
    const { created, lastSequence } = await streamInfo(core, stream, this.#bounds);
    const isOther = created.getTime() !== facts.createdMs;
    const { end } = this.#position;
    if (!isOther && lastSequence >= end) {
      this.#absences = 0;
      return lastSequence;
    }
    const why = isOther
      ? "it was deleted and made again; open it again"
      : `it ends at revision ${lastSequence}, but was at ${end} before: it lost what it held, or ` +
        "was replaced by an older copy; read it anew";
    // Only what is newer can't be told by a leader that has missed something.
    if (created.getTime() > facts.createdMs || this.#noteAbsence()) throw this.#gone(why);
    throw new JsflowError("jetstream_unavailable", "the bucket is not up to date");
  }

  /** Takes down that the bucket seems to be gone; returns whether that has lasted. */
  #noteAbsence(): boolean {
    const { facts } = this.#options.bucket;
    const now = performance.now();
    this.#seemsGone = true;
    if (this.#absences++ === 0) this.#absentSince = now;
    if (this.#absences < CONFIRMATIONS) return false;
    return facts.replicas === 1 || now - this.#absentSince >= this.#timing.absenceMs;
  }

  #gone(why: string, cause?: unknown): JsflowError {
    const { name } = this.#options.bucket;
    return new JsflowError("bucket_not_found", `cannot watch bucket ${name}: ${why}`, { cause });
  }

  #explain(error: unknown): unknown {
    if (isJsflowError(error, "stream_not_found") && this.#noteAbsence()) {
      return this.#gone("it does not exist; it was deleted, or check its name", error);
    }
    return translateError(error, `watch bucket ${this.#options.bucket.name}`);
  }

  /** Decides what the end of a session means. */
  #judge(session: WatchSession, { cause, detail }: SessionEnd): void {
    const { core, name } = this.#options.bucket;
    logger.debug("a watch of bucket {bucket} looks again: {cause}, {detail}", {
      bucket: name,
      cause,
      detail,
    });
    if (this.#isReplaced) {
      throw this.#gone("revision and content do not fit together any more; read it anew");
    }
    if (cause === "closed" || cause === "reconnected") return;
    core.telemetry.count("fetchErrors");
    if (cause === "refused" && !this.#wasServed) {
      throw new JsflowError("nats", `cannot watch bucket ${name}: ${detail}`);
    }
    if (!session.isServed || cause === "gap") this.#failures++;
  }

  /** Returns whether it is kept. */
  #receive(delivery: StreamDelivery): boolean {
    const { bucket, reader } = this.#options;
    const verdict = this.#position.receive(delivery);
    if (verdict === "replaced") {
      this.#isReplaced = true;
      this.#session?.end("gap", "another message has the revision that was seen last");
      return false;
    }
    const isKept = verdict !== "known" &&
      reader.accept(toEntry(bucket, delivery), verdict === "initial");
    if (isKept) this.#held++;
    this.#tellCaughtUp();
    return isKept;
  }

  #tellCaughtUp(): void {
    if (this.#wasCaughtUp || !this.#position.isCaughtUp) return;
    this.#wasCaughtUp = true;
    this.#session?.relax();
    this.#options.reader.caughtUp(this.#position.revision);
  }
}

/** What one server says of a bucket's stream, and whether it has anything that a pattern matches. */
async function describeMatches(
  { core, name, stream, subjectPrefix }: Bucket,
  pattern: string,
  bounds: CallBounds,
): Promise<StreamInfo & { readonly isEmpty: boolean }> {
  const options = { ...bounds, jetstream: true, failOnDisconnect: true };
  return await core.guard(`watch bucket ${name}`, options, async (signal) => {
    const { streams } = await core.manager({ ...bounds, signal });
    const native = await streams.info(stream, { subjects_filter: subjectPrefix + pattern });
    const isEmpty = Object.keys(native.state.subjects ?? {}).length === 0;
    return { ...readStreamInfo(native), isEmpty };
  });
}

function toEntry({ subjectPrefix }: Bucket, delivery: StreamDelivery): RawEntry {
  const { data, message: { headers }, streamSeq, subject, timeMs } = delivery;
  return {
    name: subject.slice(subjectPrefix.length),
    revision: streamSeq,
    time: new Date(timeMs),
    operation: operationOf(headers),
    bytes: data,
    header: (name) => headers?.get(name) || undefined,
  };
}
