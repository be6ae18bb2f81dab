import type { ConsumerSettings } from "./_consumer_settings.ts";
import { ConsumedMessage, type MessageShare } from "./_consumer_message.ts";
import { MessageQueue } from "./_consumer_queue.ts";
import type { SettlementDesk } from "./_settlement.ts";
import type { ConsumeHandler } from "./consume_options.ts";
import type { ClientCore } from "./core.ts";
import { untilAborted } from "./deadline.ts";
import type { StreamDelivery } from "./delivery.ts";
import { JsflowError } from "./errors.ts";
import { isPermanent } from "./permanent_error.ts";
import type { Operation } from "../trace/telemetry.ts";

/** What a runner is made of. */
export interface MessageRunnerOptions<T, K extends string> {
  readonly core: ClientCore;
  readonly settings: ConsumerSettings<T, K>;
  readonly desk: SettlementDesk<ConsumedMessage<T, K>>;
  readonly handler: ConsumeHandler<T, K>;
  /** A message is no longer held; called once for each that was accepted. */
  readonly onRelease: (bytes: number) => void;
  readonly onError: (error: unknown, message: ConsumedMessage<T, K>) => void;
}

/**
 * Hands the messages of a consumer to its handler: in the order of their arrival, so many at a time,
 * each with a deadline and kept from being delivered again while it is held here.
 */
export class MessageRunner<T, K extends string> {
  readonly counts = { received: 0, failed: 0, redelivered: 0, pending: 0 };
  readonly #options: MessageRunnerOptions<T, K>;
  readonly #share: MessageShare<T, K>;
  readonly #queue = new MessageQueue<ConsumedMessage<T, K>>();
  /** Those whose handlers wait for something. */
  readonly #running = new Set<ConsumedMessage<T, K>>();
  /** Whether what is held may come as a first delivery, of a consumer that was made again. */
  #wasReplaced = false;
  #active = 0;
  #door: "open" | "returning" | "shut" = "open";
  #isPumping = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueAt = Infinity;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: MessageRunnerOptions<T, K>) {
    this.#options = options;
    const { core, desk, settings } = options;
    const { subject, timeoutMs } = settings;
    this.#share = { subject, desk, timeoutMs, requestTimeoutMs: core.requestTimeoutMs };
  }

  /** Handlers that have begun and not ended. */
  get active(): number {
    return this.#active;
  }

  /** Messages that wait for a handler. */
  get queued(): number {
    return this.#queue.length;
  }

  /** Takes a message. */
  accept(delivery: StreamDelivery, heardAt: number): void {
    this.counts.received++;
    this.counts.pending = delivery.pending;
    if (delivery.deliveryCount > 1) this.#countRedelivery();
    const mayBeHeld = delivery.deliveryCount > 1 || this.#wasReplaced;
    const earlier = mayBeHeld ? this.#find(delivery.streamSeq) : undefined;
    if (earlier !== undefined) {
      earlier.delivery = delivery;
      earlier.heardAt = heardAt;
      return this.#options.onRelease(delivery.data.length);
    }
    const message = new ConsumedMessage(this.#share, delivery, heardAt);
    if (this.#door === "returning") return this.#giveBack(message);
    if (
      this.#door === "open" && this.#active < this.#options.settings.concurrency &&
      this.#queue.length === 0
    ) {
      return this.#run(message, heardAt);
    }
    this.#queue.push(message);
    this.#watch(message);
  }

  /** Lets messages in again. */
  open(): void {
    this.#door = "open";
    this.#pump();
  }

  /** Begins no more handlers; what comes waits. */
  shut(): void {
    this.#door = "shut";
  }

  /** While shut: has the server deliver elsewhere what waits for a handler, and what comes. */
  giveBack(): void {
    if (this.#door === "open") return;
    this.#door = "returning";
    for (const message of this.#queue.clear()) this.#giveBack(message);
  }

  /** The consumer was made again: it delivers once more what the old one did. */
  replaced(): void {
    this.#wasReplaced = true;
    if (this.#options.desk.effective.ackPolicy === "none") return;
    for (const message of this.#queue.clear()) this.#options.onRelease(message.data.length);
  }

  /** Resolves when no handler runs, or rejects with the signal's reason. */
  async idle(signal: AbortSignal): Promise<void> {
    if (this.#active === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await untilAborted(this.#idle.promise, signal);
  }

  /** Aborts the handlers. */
  abort(reason: unknown): void {
    for (const message of this.#running) message.abort("cancelled", reason);
  }

  /** Has the server deliver again what handlers still hold; returns how many those are. */
  abandon(): number {
    this.#ring(Infinity);
    const { desk, settings } = this.#options;
    for (const message of this.#running) desk.nak(message, settings.cancelDelayMs);
    return this.#running.size;
  }

  #countRedelivery(): void {
    this.counts.redelivered++;
    this.#options.core.telemetry.count("redeliveries");
  }

  #giveBack(message: ConsumedMessage<T, K>): void {
    this.#options.desk.nak(message, 0);
    this.#options.onRelease(message.data.length);
  }

  /** A message that is held and open: a second delivery of it joins the first. */
  #find(sequence: number): ConsumedMessage<T, K> | undefined {
    for (const message of this.#held()) {
      if (message.sequence === sequence && message.settlement === undefined) return message;
    }
    return undefined;
  }

  *#held(): Generator<ConsumedMessage<T, K>> {
    yield* this.#running;
    yield* this.#queue;
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#door === "open" && this.#active < this.#options.settings.concurrency) {
        const message = this.#queue.shift();
        if (message === undefined) return;
        const now = performance.now();
        // The server has given it to somebody by now.
        if (this.#isStale(message, now)) this.#options.onRelease(message.data.length);
        else this.#run(message, now);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  #isStale(message: ConsumedMessage<T, K>, now: number): boolean {
    const { effective } = this.#options.desk;
    if (effective.ackPolicy === "none") return false;
    return now - message.heardAt >= effective.waitMs(message.deliveryCount);
  }

  #run(message: ConsumedMessage<T, K>, now: number): void {
    this.#active++;
    const operation = this.#begin(message);
    let value: T;
    try {
      value = message.decode();
    } catch (error) {
      this.#undecodable(message, error);
      return this.#finish(message, operation, error);
    }
    let result: unknown;
    try {
      result = operation.run(() => this.#options.handler(value, message));
    } catch (error) {
      this.#fail(message, error);
      return this.#finish(message, operation, error);
    }
    if (!isThenable(result) && message.confirming === undefined) {
      this.#succeed(message);
      if (message.confirming === undefined) return this.#finish(message, operation);
    }
    this.#wait(message, operation, now, result);
  }

  #begin(message: ConsumedMessage<T, K>): Operation {
    const { core, settings } = this.#options;
    const { delivery } = message;
    return core.telemetry.begin("process", {
      destination: delivery.subject,
      template: settings.subject.template,
      bodyBytes: delivery.data.length,
      consumerGroup: delivery.consumer,
      stream: delivery.stream,
      messageId: `${delivery.stream}:${delivery.streamSeq}`,
      parent: delivery.message.headers,
    });
  }

  /** The way of a handler that waits, or of an ack that is to be confirmed. */
  #wait(
    message: ConsumedMessage<T, K>,
    operation: Operation,
    now: number,
    result: unknown,
  ): void {
    this.#running.add(message);
    message.deadlineAt = now + this.#share.timeoutMs;
    this.#watch(message);
    Promise.resolve(result).then(
      () => {
        this.#succeed(message);
        this.#leave(message, operation);
      },
      (error) => {
        const failure = error ?? new Error("the handler rejected without a reason");
        this.#fail(message, failure);
        this.#leave(message, operation, failure);
      },
    );
  }

  #leave(message: ConsumedMessage<T, K>, operation: Operation, error?: unknown): void {
    const end = () => {
      this.#running.delete(message);
      this.#finish(message, operation, error);
    };
    if (message.confirming === undefined) end();
    else void message.confirming.then(end);
  }

  #finish(message: ConsumedMessage<T, K>, operation: Operation, error?: unknown): void {
    operation.end(error);
    this.#active--;
    this.#options.onRelease(message.data.length);
    if (this.#active === 0) {
      this.#idle?.resolve();
      this.#idle = undefined;
    }
    this.#pump();
  }

  #succeed(message: ConsumedMessage<T, K>): void {
    if (message.settlement !== undefined) return;
    const { desk, settings } = this.#options;
    if (settings.settle === "ack") desk.ack(message);
    else if (settings.settle === "nak") desk.nak(message);
  }

  #fail(message: ConsumedMessage<T, K>, error: unknown): void {
    const { core, desk, onError, settings } = this.#options;
    if (message.abortedBy === "deadline") return; // told and settled when it passed
    if (message.abortedBy === undefined) {
      this.counts.failed++;
      core.telemetry.count("handlerErrors");
      onError(error, message);
    }
    if (isPermanent(error)) desk.term(message, errorText(error));
    else if (message.abortedBy === "cancelled") desk.nak(message, settings.cancelDelayMs);
    else this.#nakFailed(message);
  }

  /** The server minds its backoff only where nobody answers: a nak carries the delay itself. */
  #nakFailed(message: ConsumedMessage<T, K>): void {
    const { desk, settings } = this.#options;
    const hasBackoff = desk.effective.backoffMs.length > 0;
    desk.nak(message, hasBackoff ? undefined : settings.errorDelayMs);
  }

  #undecodable(message: ConsumedMessage<T, K>, error: unknown): void {
    const { core, desk, onError, settings } = this.#options;
    this.counts.failed++;
    core.telemetry.count("handlerErrors");
    onError(error, message);
    if (settings.onUndecodable === "term") desk.term(message, "the payload does not decode");
    else if (settings.onUndecodable === "ack") desk.ack(message);
    else this.#nakFailed(message);
  }

  #expire(message: ConsumedMessage<T, K>): void {
    const { core, onError } = this.#options;
    const { timeoutMs } = this.#share;
    const error = new JsflowError(
      "timeout",
      `cannot finish message ${message.sequence} of ${message.stream}: its handler took longer ` +
        `than ${timeoutMs} ms; raise timeoutMs, or call message.heartbeat() while it works`,
    );
    message.abort("deadline", error);
    message.deadlineAt = Infinity;
    if (message.settlement !== undefined) return; // the handler goes on after its ack
    this.counts.failed++;
    core.telemetry.count("handlerErrors");
    onError(error, message);
    this.#nakFailed(message);
  }

  get #beatMs(): number {
    const { desk, settings: { heartbeatMs } } = this.#options;
    if (heartbeatMs === false || desk.effective.ackPolicy === "none") return Infinity;
    return heartbeatMs ?? Math.max(10, desk.effective.shortestWaitMs / 3);
  }

  #dueOf(message: ConsumedMessage<T, K>, beatMs: number): number {
    const beatAt = message.settlement === undefined ? message.heardAt + beatMs : Infinity;
    return Math.min(beatAt, message.deadlineAt);
  }

  /** One timer serves all messages: it rings when the first of them is due. */
  #watch(message: ConsumedMessage<T, K>): void {
    const dueAt = this.#dueOf(message, this.#beatMs);
    if (dueAt < this.#dueAt) this.#ring(dueAt);
  }

  #ring(dueAt: number): void {
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    if (dueAt === Infinity) return;
    const delayMs = Math.max(1, Math.ceil(dueAt - performance.now()));
    this.#timer = setTimeout(() => this.#tick(), delayMs);
  }

  #beat(message: ConsumedMessage<T, K>, now: number): void {
    try {
      message.beat(now);
    } catch (error) {
      this.#options.onError(error, message);
    }
  }

  #tick(): void {
    const now = performance.now();
    const beatMs = this.#beatMs;
    let dueAt = Infinity;
    for (const message of this.#held()) {
      if (now >= message.deadlineAt) this.#expire(message);
      if (message.settlement === undefined && now - message.heardAt >= beatMs) {
        this.#beat(message, now);
      }
      dueAt = Math.min(dueAt, this.#dueOf(message, beatMs));
    }
    this.#ring(dueAt);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // One line of what an advisory can hold.
  return text.replace(/\s+/g, " ").slice(0, 256);
}
