import type { ConsumerConfig, ConsumerInfo } from "@nats-io/jetstream";
import { isLastPerSubject } from "./_consumer_config.ts";
import type { ConsumerProgress } from "./_consumer_progress.ts";
import type { ConsumerSettings } from "./_consumer_settings.ts";
import { findConsumer, type FoundConsumer, makeConsumer, settleDrift } from "./_consumer_setup.ts";
import { logger } from "./_logger.ts";
import { ensureStreamFor } from "./auto_create.ts";
import type { CallOptions } from "./call_options.ts";
import type { ConsumerEvent } from "./client_event.ts";
import { systemClock } from "./clock.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { PullTrouble } from "./pull_loop.ts";
import { retryDelayMs, type RetryPolicy } from "./retry_policy.ts";
import { streamInfo, tryStreamInfo } from "./streams.ts";

/** Pauses between looks at a consumer that can't be had; the first look is at once. */
const BACKOFF: RetryPolicy = {
  attempts: Infinity,
  initialMs: 1_000,
  factor: 2,
  maxMs: 30_000,
};

/**
 * Before a missing stream is made again or given up. Right after a restart of the server it may only
 * not be loaded yet, and servers of the 2.9 line are not done when they say that it is deleted: one
 * made at once may never deliver anything.
 */
const CONFIRM_MS = 250;

/** Milliseconds between looks at the position of a consumer that works, for the case that it goes. */
const REFRESH_MS = 60_000;
const REFRESH_RETRY: RetryPolicy = { attempts: 5, initialMs: 100, factor: 2 };

/** What a recovery is made of. */
export interface ConsumerRecoveryOptions {
  readonly core: ClientCore;
  readonly settings: ConsumerSettings<unknown, never>;
  readonly found: FoundConsumer;
  readonly progress: ConsumerProgress;
  /** Pulls again, unless it is not to pull. */
  readonly onRestored: () => void;
  readonly onEvent: (what: ConsumerEvent["what"], detail: string) => void;
  /**
   * The consumer is another one now: what the old one delivered comes again. When the stream is
   * another one too, the same sequence means another message, and nothing that was delivered before
   * may be settled any more.
   */
  readonly onReplaced: (info: ConsumerInfo, isSameStream: boolean) => void;
  /** Told what stands in the way. */
  readonly onError: (error: unknown) => void;
  /** No recovery is possible, or none is wanted. */
  readonly onFatal: (error: unknown) => void;
}

/** Finds out what became of a consumer, makes it again where it is gone, and has it pulled again. */
export class ConsumerRecovery {
  readonly #options: ConsumerRecoveryOptions;
  readonly #stream: string;
  readonly #consumer: string;
  readonly #closed = new AbortController();
  #streamCreated: number;
  #created: string;
  /** How the consumer was when last seen. */
  #stored: Partial<ConsumerConfig>;
  #leader: string | undefined;
  #failures = 0;
  #isServed = true;
  #isLost = false;
  #work: Promise<void> | undefined;
  #pause: AbortController | undefined;
  #refreshing: Promise<void> | undefined;
  #refreshTimer: ReturnType<typeof setInterval> | undefined;

  constructor(options: ConsumerRecoveryOptions) {
    this.#options = options;
    const { info, stream, streamCreated } = options.found;
    this.#stream = stream;
    this.#consumer = info.name;
    this.#streamCreated = streamCreated;
    this.#created = String(info.created);
    this.#stored = info.config;
    this.#leader = info.cluster?.leader;
  }

  /** The loop rests and wants to know what is wrong. */
  trouble(trouble: PullTrouble, detail: string): void {
    const { core, onError, onEvent } = this.#options;
    if (this.#closed.signal.aborted) return;
    core.telemetry.count("fetchErrors");
    this.#failures = this.#isServed ? 0 : this.#failures + 1;
    this.#isServed = false;
    if (trouble === "silent") onEvent("missed_heartbeats", detail);
    if (trouble === "refused") onError(this.#refusal(detail));
    this.#work ??= this.#run().finally(() => this.#work = undefined);
  }

  /** The server ended a request, but goes on to serve the consumer. */
  notice(description: string): void {
    if (!/leadership change/i.test(description)) return;
    this.#options.onEvent("leader_changed", description);
  }

  /** The server serves the consumer. */
  served(): void {
    const wasServed = this.#isServed;
    this.#isServed = true;
    this.#failures = 0;
    if (!this.#closed.signal.aborted) {
      this.#refreshTimer ??= setInterval(() => this.#refresh(), REFRESH_MS);
    }
    if (!wasServed) this.#options.onEvent("recovered", "the server delivers again");
  }

  /** The connection is back: no reason to wait longer. Returns whether a recovery is under way. */
  hurry(): boolean {
    this.#failures = 0;
    this.#pause?.abort();
    if (this.#work !== undefined) return true;
    this.#refresh();
    return false;
  }

  /** Gives up. */
  async close(): Promise<void> {
    this.#closed.abort(new Error("the consumption ends"));
    this.#pause?.abort();
    clearInterval(this.#refreshTimer);
    await this.#refreshing;
    await this.#work;
  }

  /** Others may have settled messages meanwhile; that can't be asked any more when it is gone. */
  #refresh(): void {
    if (this.#closed.signal.aborted || this.#work !== undefined) return;
    this.#refreshing ??= this.#readInTime().finally(() => this.#refreshing = undefined);
  }

  /** The client learns a moment later than this that its connection is back. */
  async #readInTime(): Promise<void> {
    const { signal } = this.#closed;
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        return await this.#readPosition();
      } catch (error) {
        const delayMs = retryDelayMs(REFRESH_RETRY, failures, Math.random);
        const consumer = this.#consumer;
        logger.debug("cannot read the position of {consumer}: {error}", { consumer, error });
        if (delayMs === undefined) return;
        await systemClock.sleep(delayMs, signal).catch(() => {});
      }
    }
  }

  async #readPosition(): Promise<void> {
    const info = await this.#findConsumer();
    // Another consumer of the name is for the recovery, once the loop is in trouble.
    if (info === undefined || String(info.created) !== this.#created) return;
    this.#stored = info.config;
    this.#options.progress.refresh(info);
  }

  #refusal(detail: string): JsflowError {
    const what = `cannot pull from consumer ${this.#consumer} of ${this.#stream}`;
    return /message size exceeds/i.test(detail)
      ? new JsflowError("payload_too_large", `${what}: the next message exceeds maxBytes; raise it`)
      : new JsflowError("nats", `${what}: ${detail}`);
  }

  async #run(): Promise<void> {
    const { core, onError, onFatal } = this.#options;
    const { signal } = this.#closed;
    while (!signal.aborted) {
      await this.#sleep();
      if (signal.aborted) return;
      try {
        await this.#restore();
        if (!signal.aborted) this.#options.onRestored();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (this.#isFatal(error)) return onFatal(error);
        this.#failures++;
        core.telemetry.count("fetchErrors");
        onError(error);
      }
    }
  }

  #isFatal(error: unknown): boolean {
    const codes = [
      "config_drift",
      "connection_closed",
      "consumer_not_found",
      "stream_not_found",
      "unsupported",
    ] as const;
    return error instanceof TypeError || codes.some((code) => isJsflowError(error, code));
  }

  async #sleep(): Promise<void> {
    const delayMs = this.#failures === 0
      ? 0
      : retryDelayMs(BACKOFF, this.#failures, Math.random) ?? 0;
    if (delayMs === 0) return;
    const pause = this.#pause = new AbortController();
    await systemClock.sleep(delayMs, pause.signal).catch(() => {});
    this.#pause = undefined;
  }

  async #restore(): Promise<void> {
    const { core, onEvent } = this.#options;
    const { signal } = this.#closed;
    const info = await this.#findConsumer();
    if (info === undefined) return await this.#replace();
    this.#isLost = false;
    if (String(info.created) !== this.#created) {
      const settled = await settleDrift(core, { ...this.#options.settings, signal }, info);
      const created = (await streamInfo(core, this.#stream, this.#call)).created.getTime();
      return this.#adopt(settled, created, "somebody made it again");
    }
    const leader = info.cluster?.leader;
    if (leader !== undefined && leader !== this.#leader) {
      if (this.#leader !== undefined) onEvent("leader_changed", `the leader is ${leader}`);
      this.#leader = leader;
    }
  }

  /** Undefined when there is no consumer, and maybe no stream either. */
  async #findConsumer(): Promise<ConsumerInfo | undefined> {
    const target = { stream: this.#stream, consumer: this.#consumer, ...this.#call };
    try {
      return await findConsumer(this.#options.core, target);
    } catch (error) {
      if (isJsflowError(error, "stream_not_found")) return undefined;
      throw error;
    }
  }

  async #replace(): Promise<void> {
    const { core, onEvent, progress, settings } = this.#options;
    const [stream, consumer] = [this.#stream, this.#consumer];
    const created = await this.#ensureStream();
    if (!this.#isLost) onEvent("lost", `there is no consumer ${consumer} any more`);
    this.#isLost = true;
    if (settings.onGone === "fail") {
      throw new JsflowError(
        "consumer_not_found",
        `cannot go on with consumer ${consumer} of ${stream}: it was deleted`,
      );
    }
    const isSameStream = created === this.#streamCreated;
    // In a stream that was made again everything is new.
    const startAt = this.#mayResume ? isSameStream ? progress.resumeAt : 1 : undefined;
    const stored = this.#stored;
    const target = { stream, consumer, ...this.#call };
    const info = await makeConsumer(core, settings, { ...target, startAt, stored });
    this.#isLost = false;
    const where = startAt === undefined ? "as its options say" : `from message ${startAt} on`;
    this.#adopt(info, created, `it was made again, ${where}`);
  }

  /** How the server is asked, until this is closed. */
  get #call(): CallOptions {
    const { bypassBreaker } = this.#options.settings;
    return { signal: this.#closed.signal, bypassBreaker };
  }

  get #mayResume(): boolean {
    const { settings } = this.#options;
    return settings.onGone === "resume" && !isLastPerSubject(settings, this.#stored);
  }

  /** Returns when the stream was made, once it is certain that there is one. */
  async #ensureStream(): Promise<number> {
    const { core, onEvent, settings } = this.#options;
    const existing = await tryStreamInfo(core, this.#stream, this.#call);
    if (existing !== undefined) return existing.created.getTime();
    if (!this.#isLost) onEvent("lost", `there is no stream ${this.#stream} any more`);
    this.#isLost = true;
    await systemClock.sleep(CONFIRM_MS, this.#closed.signal);
    const { autoCreate, subject } = settings;
    if (autoCreate !== undefined) {
      // Without subjects of its own, a stream with a name would capture less than one without.
      const { subjects = this.#options.found.subjects } = autoCreate;
      const wanted = { ...autoCreate, stream: this.#stream, subjects };
      return (await ensureStreamFor(core, subject, wanted, this.#call)).created.getTime();
    }
    return (await streamInfo(core, this.#stream, this.#call)).created.getTime();
  }

  #adopt(info: ConsumerInfo, streamCreated: number, detail: string): void {
    const isSameStream = streamCreated === this.#streamCreated;
    this.#streamCreated = streamCreated;
    this.#created = String(info.created);
    this.#stored = info.config;
    this.#leader = info.cluster?.leader;
    this.#options.onReplaced(info, isSameStream);
    this.#options.onEvent("recreated", detail);
  }
}
