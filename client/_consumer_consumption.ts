import type { ConsumerInfo } from "@nats-io/jetstream";
import { effectiveConfig } from "./_consumer_config.ts";
import type { ConsumedMessage } from "./_consumer_message.ts";
import { ConsumerProgress } from "./_consumer_progress.ts";
import { ConsumerRecovery } from "./_consumer_recovery.ts";
import { MessageRunner } from "./_consumer_runner.ts";
import type { ConsumerSettings } from "./_consumer_settings.ts";
import {
  type ConsumerTarget,
  deleteConsumer,
  findConsumer,
  type FoundConsumer,
} from "./_consumer_setup.ts";
import { callSafely } from "./_handler_callback.ts";
import { logger } from "./_logger.ts";
import { SettlementDesk } from "./_settlement.ts";
import { serverOf } from "./_stream_api.ts";
import { within } from "./_within.ts";
import type { ConsumerEvent } from "./client_event.ts";
import type { ConsumeHandler } from "./consume_options.ts";
import type { Consumption, ConsumptionStats, ConsumptionStatus } from "./consumption.ts";
import { type Abandoned, ABORT_GRACE_MS, type ClientCore } from "./core.ts";
import type { StreamDelivery } from "./delivery.ts";
import { checkGrace, DEFAULT_GRACE_MS, type DrainOptions } from "./drain_options.ts";
import { JsflowError } from "./errors.ts";
import { PullLoop } from "./pull_loop.ts";
import { translateError } from "./translate_error.ts";

/** For the last words to the server. */
const FAREWELL_MS = 2_000;
/** Requests live so long at the server; silence is noticed by missed heartbeats, not by this. */
const EXPIRES_MS = 30_000;

/** What a consumption is made of. */
export interface RunningConsumptionOptions<T, K extends string> {
  readonly core: ClientCore;
  readonly settings: ConsumerSettings<T, K>;
  readonly found: FoundConsumer;
  readonly handler: ConsumeHandler<T, K>;
  /** Called once, when it has ended. */
  readonly onEnd: () => void;
}

/** The one implementation of {@link Consumption}. */
export class RunningConsumption<T, K extends string> implements Consumption {
  readonly stream: string;
  readonly name: string;
  readonly isDurable: boolean;
  readonly closed: Promise<unknown>;
  readonly #options: RunningConsumptionOptions<T, K>;
  readonly #desk: SettlementDesk<ConsumedMessage<T, K>>;
  readonly #runner: MessageRunner<T, K>;
  readonly #loop: PullLoop;
  readonly #recovery: ConsumerRecovery;
  readonly #close: (cause: unknown) => void;
  readonly #graceOver = new AbortController();
  #status: ConsumptionStatus = "running";
  #quieting: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #abandoned = 0;
  /** Since the server fell silent, until it is pulled from again. */
  #isSilent = false;

  constructor(options: RunningConsumptionOptions<T, K>) {
    this.#options = options;
    const { core, found, handler, settings } = options;
    this.stream = found.stream;
    this.name = found.info.name;
    this.isDurable = settings.name !== undefined;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.closed = promise;
    this.#close = resolve;
    const progress = new ConsumerProgress();
    progress.reset(found.info);
    const onError = (error: unknown, message?: ConsumedMessage<T, K>) =>
      this.#report(error, message);
    this.#desk = new SettlementDesk<ConsumedMessage<T, K>>({
      core,
      progress,
      confirmAcks: settings.confirmAcks,
      effective: effectiveConfig(found.info.config),
      onError,
    });
    this.#runner = new MessageRunner({
      core,
      settings,
      desk: this.#desk,
      handler,
      reach: { lastHeard: () => this.#loop.lastHeard, isReached: () => this.#isReached() },
      onRelease: (bytes) => this.#loop.release(bytes),
      onError,
      onStuck: (isStuck) => this.#stuck(isStuck),
    });
    this.#loop = this.#createLoop(progress);
    this.#recovery = new ConsumerRecovery({
      core,
      settings: settings as unknown as ConsumerSettings<unknown, never>,
      found,
      progress,
      onRestored: () => this.#pull(),
      onEvent: (what, detail) => this.#tell(what, detail),
      onReplaced: (info, isSameStream) => this.#replaced(info, progress, isSameStream),
      onError: (error) => this.#report(error),
      onFatal: (error) => void this.#end(error, DEFAULT_GRACE_MS),
    });
  }

  get status(): ConsumptionStatus {
    return this.#status;
  }

  /** Begins to pull. */
  begin(): void {
    this.#pull();
  }

  /** The connection is back: the server has forgotten the requests. */
  renew(): void {
    if (this.#status !== "running" || this.#recovery.hurry()) return;
    this.#pull();
  }

  pause(): void {
    if (this.#status !== "running") return;
    this.#status = "paused";
    void this.#quiet();
  }

  resume(): void {
    if (this.#status !== "paused") return;
    this.#status = "running";
    this.#wake();
  }

  async drain(options?: DrainOptions): Promise<void> {
    await this.#end(undefined, checkGrace(options));
  }

  async stop(): Promise<void> {
    await this.#end(undefined, 0);
  }

  /** Ends it as `stop` does, with the reason of a signal for the handlers. */
  async abort(reason: unknown): Promise<void> {
    this.#graceOver.abort(reason);
    await this.#end(undefined, 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  get stats(): ConsumptionStats {
    const { active: inFlight, counts, queued: waiting } = this.#runner;
    return { ...counts, ...this.#desk.counts, waiting, inFlight };
  }

  /** Takes nothing new; never throws. */
  quiesce(): void {
    if (this.#status === "running") this.#status = "paused";
    void this.#quiet();
  }

  /** Ends it until the signal aborts; tells how many handlers were left. */
  async release(signal: AbortSignal): Promise<readonly Abandoned[]> {
    const over = () => this.#graceOver.abort(signal.reason);
    if (signal.aborted) over();
    else signal.addEventListener("abort", over, { once: true });
    await this.#end(this.#lostConnection(), undefined);
    signal.removeEventListener("abort", over);
    if (this.#abandoned === 0) return [];
    return [{ what: this.#label, count: this.#abandoned }];
  }

  get #target(): ConsumerTarget {
    const { bypassBreaker } = this.#options.settings;
    return { stream: this.stream, consumer: this.name, bypassBreaker };
  }

  get #label(): string {
    return `consumer ${this.name} of ${this.stream}`;
  }

  #createLoop(progress: ConsumerProgress): PullLoop {
    const { core, settings } = this.#options;
    const { maxBytes, maxMessages, pullHeartbeatMs } = settings;
    const loop: PullLoop = new PullLoop({
      connection: core.connection,
      jetstream: core.jetstream,
      stream: this.stream,
      consumer: this.name,
      capacity: maxMessages,
      maxBytes,
      expiresMs: Math.max(EXPIRES_MS, pullHeartbeatMs * 3),
      heartbeatMs: pullHeartbeatMs,
      onMessage: (delivery) => this.#receive(delivery, progress),
      onTrouble: (trouble, detail) => {
        this.#isSilent ||= trouble === "silent";
        if (this.#isSilent) this.#runner.doubt();
        this.#recovery.trouble(trouble, detail);
      },
      onNotice: (description) => this.#recovery.notice(description),
      onServed: () => this.#recovery.served(),
    });
    return loop;
  }

  /** What is lost on the way is found out by silence, or when the connection is seen to be gone. */
  #isReached(): boolean {
    try {
      this.#options.core.checkLink("send a heartbeat");
      return !this.#isSilent;
    } catch {
      return false;
    }
  }

  #pull(): void {
    if (this.#status !== "running" || this.#runner.isStuck) return;
    this.#runner.doubt();
    this.#isSilent = false;
    try {
      this.#loop.start();
    } catch (error) {
      // The connection is closed or drains: what its owner wants, or the end.
      const cause = translateError(error, `consume from ${this.stream}`);
      if (!this.#options.core.connection.isDraining()) void this.#end(cause, DEFAULT_GRACE_MS);
    }
  }

  #receive(delivery: StreamDelivery, progress: ConsumerProgress): void {
    try {
      progress.received(delivery, this.#desk.effective.ackPolicy !== "none");
      this.#runner.accept(delivery, this.#loop.lastHeard);
    } catch (error) {
      // It is read in the connection's own loop, which would end.
      this.#report(error);
      delivery.nak(this.#options.settings.errorDelayMs);
    }
  }

  /** The consumer is another one now, and maybe its stream too. */
  #replaced(info: ConsumerInfo, progress: ConsumerProgress, isSameStream: boolean): void {
    progress.reset(info);
    this.#desk.effective = effectiveConfig(info.config);
    this.#runner.replaced(isSameStream);
  }

  /** Behind handlers that hang nothing is begun: others are to have it, until one of them ends. */
  #stuck(isStuck: boolean): void {
    if (!isStuck) return this.#wake();
    logger.warn("consumer {consumer} of {stream} takes nothing: all its handlers are overdue", {
      consumer: this.name,
      stream: this.stream,
    });
    void this.#quiet();
  }

  /** Takes messages again, if it is to. */
  #wake(): void {
    if (this.#status !== "running" || this.#runner.isStuck) return;
    this.#quieting = undefined;
    this.#runner.open();
    if (!this.#recovery.hurry()) this.#pull();
  }

  /** Why it ends with the client, when nobody closed that. */
  #lostConnection(): JsflowError | undefined {
    if (!this.#options.core.connection.isClosed()) return undefined;
    return new JsflowError(
      "connection_closed",
      `cannot go on with ${this.#label}: the connection has ended; connect again`,
    );
  }

  /** Stops pulling; what is on its way or waits for a handler goes back at once. */
  #quiet(): Promise<void> {
    this.#quieting ??= (async () => {
      this.#runner.shut();
      // The requests go first, or the server would answer them with what is given back.
      const drained = this.#loop.drain();
      if (!this.#forgetsRequests()) await within(FAREWELL_MS, this.#remindServer());
      this.#runner.giveBack();
      await drained.catch((error) => logger.debug("drain: {error}", { error }));
    })();
    return this.#quieting;
  }

  /** Whether the server takes no request into account that nobody waits for any more. */
  #forgetsRequests(): boolean {
    const { core } = this.#options;
    return core.connection.info === undefined || serverOf(core).supports("consumer_filters");
  }

  /**
   * Servers of the 2.9 line take the next message off for such a request and lose it until its ack
   * wait is over. Asked about the consumer, they look through its requests.
   */
  async #remindServer(): Promise<void> {
    await findConsumer(this.#options.core, this.#target);
  }

  /** Without `graceMs` the grace lasts until it is said to be over. */
  #end(cause: unknown, graceMs: number | undefined): Promise<void> {
    if (graceMs === 0) this.#overdue();
    this.#ending ??= this.#finish(cause, graceMs);
    return this.#ending;
  }

  #overdue(): void {
    this.#graceOver.abort(new DOMException("The consumption was stopped", "AbortError"));
  }

  async #finish(cause: unknown, graceMs: number | undefined): Promise<void> {
    this.#status = "draining";
    const timer = graceMs ? setTimeout(() => this.#overdue(), graceMs) : undefined;
    const recovered = this.#recovery.close();
    const quiet = within(FAREWELL_MS, this.#quiet());
    await this.#finishHandlers();
    await quiet;
    clearTimeout(timer);
    await this.#farewell();
    await recovered;
    this.#status = "closed";
    this.#options.onEnd();
    this.#tell("stopped", cause === undefined ? "it was told to" : String(cause));
    this.#close(cause);
  }

  async #finishHandlers(): Promise<void> {
    const { signal } = this.#graceOver;
    try {
      await this.#runner.idle(signal);
    } catch {
      this.#runner.abort(signal.reason);
      await within(ABORT_GRACE_MS, this.#runner.idle(new AbortController().signal));
    }
    this.#abandoned = this.#runner.abandon(); // none, as a rule; its timer ends as well
  }

  /** A consumer of its own goes; its acks and others' have gone when the server answers. */
  async #farewell(): Promise<void> {
    const { core } = this.#options;
    this.#desk.flush();
    const words = this.isDurable ? core.connection.flush() : deleteConsumer(core, this.#target);
    await within(FAREWELL_MS, words);
  }

  #tell(what: ConsumerEvent["what"], detail: string): void {
    const { core, settings } = this.#options;
    const event: ConsumerEvent = {
      type: "consumer",
      stream: this.stream,
      consumer: this.name,
      what,
      detail,
    };
    logger.debug("consumer {consumer} of {stream}: {what}: {detail}", { ...event });
    core.emit(event);
    callSafely(() => settings.onRecovery?.(event), this.#label);
  }

  #report(error: unknown, message?: ConsumedMessage<T, K>): void {
    const { onError } = this.#options.settings;
    if (onError !== undefined) return callSafely(() => onError(error, message), this.#label);
    logger.warn("consumer {consumer} of {stream}: {error}", {
      consumer: this.name,
      stream: this.stream,
      sequence: message?.sequence,
      error,
    });
  }
}
