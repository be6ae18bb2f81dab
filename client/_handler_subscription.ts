import type { Subscription as NativeSubscription } from "@nats-io/nats-core";
import type { HandlerSettings } from "./_handler_options.ts";
import { HandlerRunner, type HandlerRunnerOptions } from "./_handler_runner.ts";
import { logger } from "./_logger.ts";
import { type Abandoned, ABORT_GRACE_MS, type ClientCore } from "./core.ts";
import { untilAborted } from "./deadline.ts";
import { checkGrace, type DrainOptions } from "./drain_options.ts";
import { JsflowError } from "./errors.ts";
import type { NatsMessage } from "./native.ts";
import type { Subscription, SubscriptionStats } from "./subscription.ts";
import { translateError } from "./translate_error.ts";

/** A subscription that is too slow says so this often at most, in milliseconds. */
const SLOW_REPORT_MS = 1_000;

/** What a subscription is, and what it does with messages. */
export interface HandlerSubscriptionOptions {
  /** "subscription" or "service". */
  readonly kind: string;
  readonly filter: string;
  readonly settings: HandlerSettings;
  readonly handle: HandlerRunnerOptions["handle"];
  readonly dropped: HandlerRunnerOptions["dropped"];
}

/** A native subscription, its handlers, and the end of both. */
export class HandlerSubscription implements Subscription {
  readonly #core: ClientCore;
  readonly #options: HandlerSubscriptionOptions;
  readonly #runner: HandlerRunner;
  readonly #closed = Promise.withResolvers<Error | undefined>();
  readonly #onAbort = () => this.#abort();
  #native: NativeSubscription | undefined;
  #stopping: Promise<void> | undefined;
  #failure: Error | undefined;
  #isStopped = false;
  #isOpen = false;
  #isClosed = false;
  #release: () => void = () => {};
  #endGauge: () => void = () => {};
  #slowReportedAt = -Infinity;

  private constructor(core: ClientCore, options: HandlerSubscriptionOptions) {
    this.#core = core;
    this.#options = options;
    this.#runner = new HandlerRunner({
      ...options.settings,
      handle: options.handle,
      dropped: (message, why) => {
        if (why === "full") this.#reportSlow();
        options.dropped(message, why);
      },
    });
  }

  /** Subscribes; resolves when the server has confirmed it. */
  static async open(
    core: ClientCore,
    options: HandlerSubscriptionOptions,
  ): Promise<HandlerSubscription> {
    const subscription = new HandlerSubscription(core, options);
    await subscription.#open();
    return subscription;
  }

  get subject(): string {
    return this.#options.filter;
  }

  get queue(): string | undefined {
    return this.#options.settings.queue;
  }

  get stats(): SubscriptionStats {
    const { counts, waiting, inFlight } = this.#runner;
    return { ...counts, waiting, inFlight };
  }

  get closed(): Promise<Error | undefined> {
    return this.#closed.promise;
  }

  unsubscribe(): void {
    this.#isStopped = true;
    this.#unsubscribeNative();
    this.#runner.discard();
  }

  async drain(options?: DrainOptions): Promise<void> {
    const graceMs = checkGrace(options);
    const grace = new AbortController();
    const timer = setTimeout(() => grace.abort(), graceMs);
    try {
      await this.#drainUntil(grace.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  async #open(): Promise<void> {
    const { filter, settings } = this.#options;
    const { signal, bypassBreaker } = settings;
    const what = `subscribe to ${filter}`;
    const { requestTimeoutMs: timeoutMs } = this.#core;
    const bounds = { signal, timeoutMs, bypassBreaker, failOnDisconnect: true };
    try {
      await this.#core.guard(what, bounds, (signal) => this.#subscribe(signal));
      if (this.#failure !== undefined) throw this.#failure;
      this.#release = this.#core.own({
        stop: () => this.#stop(),
        drain: (signal) => this.#drainUntil(signal),
      });
    } catch (error) {
      this.unsubscribe();
      throw error;
    }
    this.#isOpen = true;
    this.#endGauge = this.#core.telemetry.gauge("activeSubscriptions", () => 1);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted) this.#abort();
    if (this.#isClosed) this.#finish(); // it ended in the meantime
  }

  /** The server refuses a subscription before it answers the flush. */
  async #subscribe(signal: AbortSignal): Promise<void> {
    const { filter, settings } = this.#options;
    if (signal.aborted) return;
    const { queue } = settings;
    this.#native = this.#core.connection.subscribe(filter, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error) this.#fail(error);
        else this.#receive(message);
      },
    });
    this.#native.closed.then(() => this.#ended());
    await this.#core.connection.flush();
  }

  #receive(message: NatsMessage): void {
    if (this.#isStopped) return;
    this.#runner.push(message);
  }

  #fail(error: Error): void {
    const { filter, kind } = this.#options;
    this.#failure = translateError(error, `subscribe to ${filter}`);
    logger.error("The {kind} {filter} has failed: {error}", { kind, filter, error });
    const detail = this.#failure.message;
    this.#core.emit({ type: "subscription", subject: filter, what: "failed", detail });
  }

  /** The native subscription is over; so is this one, once its handlers are. */
  async #ended(): Promise<void> {
    await this.#runner.idle();
    this.#finish();
  }

  #finish(): void {
    this.#options.settings.signal?.removeEventListener("abort", this.#onAbort);
    this.#release();
    this.#endGauge();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closed.resolve(this.#failure);
    if (!this.#isOpen) return; // whoever opens it gets the error
    const { filter: subject } = this.#options;
    const detail = this.#failure?.message ?? "it has ended";
    this.#core.emit({ type: "subscription", subject, what: "ended", detail });
  }

  #abort(): void {
    this.unsubscribe();
    this.#runner.abort(this.#options.settings.signal?.reason);
  }

  /** Asks the server for nothing more; what is on its way is still taken. */
  #stop(): void {
    const native = this.#native;
    if (native === undefined || native.isClosed()) return;
    this.#stopping ??= native.drain().catch(() => {});
  }

  async #drainUntil(signal: AbortSignal): Promise<readonly Abandoned[]> {
    this.#stop();
    try {
      await untilAborted(this.#quiet(), signal);
      return [];
    } catch {
      return await this.#giveUp();
    }
  }

  async #quiet(): Promise<void> {
    await this.#stopping;
    await this.#runner.idle();
    this.#finish();
  }

  async #giveUp(): Promise<readonly Abandoned[]> {
    const { kind, filter } = this.#options;
    const count = this.#runner.inFlight + this.#runner.waiting;
    this.unsubscribe();
    this.#runner.abort(
      new JsflowError(
        "connection_closed",
        `cannot finish the handler of ${filter}: the ${kind} is closed and its grace is over`,
      ),
    );
    const wait = AbortSignal.timeout(ABORT_GRACE_MS);
    await untilAborted(this.#runner.idle(), wait).catch(() => {});
    const { inFlight } = this.#runner;
    if (inFlight > 0) {
      logger.warn("{inFlight} handlers of {filter} do not mind their signal", { inFlight, filter });
    }
    this.#finish();
    return count === 0 ? [] : [{ what: `${kind} ${filter}`, count }];
  }

  #unsubscribeNative(): void {
    if (this.#native !== undefined && !this.#native.isClosed()) this.#native.unsubscribe();
  }

  #reportSlow(): void {
    const now = performance.now();
    if (now - this.#slowReportedAt < SLOW_REPORT_MS) return;
    this.#slowReportedAt = now;
    const { kind, filter: subject } = this.#options;
    const dropped = this.#runner.counts.dropped;
    const detail = `${dropped} messages dropped so far: the handlers are slower than what arrives`;
    logger.warn("The {kind} {subject} is too slow: {dropped} messages dropped so far", {
      kind,
      subject,
      dropped,
    });
    this.#core.emit({ type: "subscription", subject, what: "slow", detail });
  }
}
