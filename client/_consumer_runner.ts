import { isThenable } from "./_is_thenable.ts";
import type { ConsumerSettings } from "./_consumer_settings.ts";
import {
  ConsumedMessage,
  type MessageShare,
  processDetails,
  type ServerReach,
} from "./_consumer_message.ts";
import { Fifo } from "./_fifo.ts";
import { lostError, type SettlementDesk, termReasonOf } from "./_settlement.ts";
import type { ConsumeHandler } from "./consume_options.ts";
import { ABORT_GRACE_MS, type ClientCore } from "./core.ts";
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
  readonly reach: ServerReach;
  /** A message is no longer held; called once for each that was accepted. */
  readonly onRelease: (bytes: number) => void;
  readonly onError: (error: unknown, message: ConsumedMessage<T, K>) => void;
  /** Handlers that don't stop at their deadlines hold every place, or one is free again. */
  readonly onStuck: (isStuck: boolean) => void;
}

/**
 * Hands the messages of a consumer to its handler: in the order of their arrival, so many at a time,
 * each with a deadline and kept from being delivered again while it is held here.
 */
export class MessageRunner<T, K extends string> {
  readonly counts = { received: 0, failed: 0, redelivered: 0, pending: 0 };
  readonly #options: MessageRunnerOptions<T, K>;
  readonly #share: MessageShare<T, K>;
  readonly #queue = new Fifo<ConsumedMessage<T, K>>();
  /** Those whose handlers wait for something. */
  readonly #running = new Set<ConsumedMessage<T, K>>();
  /** Those of them that went on for a while when their deadlines had passed. */
  readonly #hung = new Set<ConsumedMessage<T, K>>();
  /** Held since before the consumer was made again: they may come as first deliveries. */
  readonly #outlived = new Set<ConsumedMessage<T, K>>();
  #isStuck = false;
  #active = 0;
  #door: "open" | "returning" | "shut" = "open";
  #isPumping = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueAt = Infinity;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: MessageRunnerOptions<T, K>) {
    this.#options = options;
    const { core: { requestTimeoutMs }, desk, reach, settings: { subject, timeoutMs } } = options;
    this.#share = { subject, desk, timeoutMs, requestTimeoutMs, reach };
  }

  /** Handlers that have begun and not ended. */
  get active(): number {
    return this.#active;
  }

  /** Messages that wait for a handler. */
  get queued(): number {
    return this.#queue.size;
  }

  /** Whether every place is held by a handler that does not stop at its deadline. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  /** Takes a message. */
  accept(delivery: StreamDelivery, heardAt: number): void {
    this.counts.received++;
    this.counts.pending = delivery.pending;
    if (delivery.deliveryCount > 1) this.#countRedelivery();
    const mayBeHeld = delivery.deliveryCount > 1 || this.#outlived.size > 0;
    const earlier = mayBeHeld ? this.#find(delivery) : undefined;
    if (earlier !== undefined) {
      earlier.join(delivery, heardAt);
      return this.#options.onRelease(delivery.data.length);
    }
    const message = new ConsumedMessage(this.#share, delivery, heardAt);
    if (this.#door === "returning") return this.#giveBack(message);
    if (
      this.#door === "open" && this.#active < this.#options.settings.concurrency &&
      this.#queue.size === 0
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

  /**
   * The consumer was made again. In the same stream it delivers once more what the old one did; in
   * one that was made again too, it delivers others with the same numbers.
   */
  replaced(isSameStream: boolean): void {
    const { desk } = this.#options;
    const isAcked = desk.effective.ackPolicy !== "none";
    if (isAcked) { for (const message of this.#queue.clear()) this.#release(message); }
    if (isSameStream) { for (const message of this.#held()) this.#outlived.add(message); }
    else if (isAcked) this.#disown();
  }

  /** The server may have missed the last signs of life. */
  doubt(): void {
    for (const message of this.#held()) message.doubt();
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
    this.#release(message);
  }

  #release(message: ConsumedMessage<T, K>): void {
    if (this.#outlived.size > 0) this.#outlived.delete(message);
    this.#options.onRelease(message.data.length);
  }

  /** What handlers hold of a stream that is gone. */
  #disown(): void {
    this.#options.desk.disown(this.#running);
    this.#outlived.clear();
    for (const message of this.#running) {
      message.abort("cancelled", lostError(message.delivery, "finish"));
    }
  }

  /** A message that is held and open: a second delivery of it joins the first. */
  #find({ storedAt, streamSeq }: StreamDelivery): ConsumedMessage<T, K> | undefined {
    for (const message of this.#held()) {
      const { delivery, settlement } = message;
      // A stream that was made again gives the same numbers to other messages.
      const isSame = delivery.streamSeq === streamSeq && delivery.storedAt === storedAt;
      if (isSame && settlement === undefined) return message;
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
        if (this.#isStale(message, now)) this.#release(message);
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
    const { core, handler, settings } = this.#options;
    const operation = core.telemetry.begin("process", processDetails(message, settings.subject));
    let value: T;
    try {
      value = message.decode();
    } catch (error) {
      this.#undecodable(message, error);
      return this.#finish(message, operation, error);
    }
    let result: unknown;
    let isPending: boolean;
    try {
      result = operation.run(() => handler(value, message));
      isPending = isThenable(result); // reads a property, which may throw
    } catch (error) {
      const failure = error ?? new Error("the handler threw nothing");
      this.#fail(message, failure);
      return this.#finish(message, operation, failure);
    }
    if (!isPending && message.confirming === undefined) {
      this.#succeed(message);
      if (message.confirming === undefined) return this.#finish(message, operation);
    }
    this.#running.add(message);
    message.deadlineAt = now + this.#share.timeoutMs;
    this.#watch(message);
    void this.#wait(message, operation, result);
  }

  /** The way of a handler that waits, or of an ack that is to be confirmed; never rejects. */
  async #wait(
    message: ConsumedMessage<T, K>,
    operation: Operation,
    result: unknown,
  ): Promise<void> {
    let failure: unknown;
    try {
      await result;
      this.#succeed(message);
    } catch (error) {
      failure = error ?? new Error("the handler rejected without a reason");
      this.#fail(message, failure);
    }
    if (message.confirming !== undefined) await message.confirming;
    this.#running.delete(message);
    this.#hung.delete(message);
    this.#finish(message, operation, failure);
    if (!this.#isStuck || this.#hung.size >= this.#options.settings.concurrency) return;
    this.#isStuck = false;
    this.#options.onStuck(false);
  }

  #finish(message: ConsumedMessage<T, K>, operation: Operation, error?: unknown): void {
    operation.end(error);
    this.#active--;
    this.#release(message);
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
    if (isPermanent(error)) desk.term(message, termReasonOf(error));
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

  /** Its handler's deadline has passed; a while later it counts as hung. */
  #expire(message: ConsumedMessage<T, K>, now: number): void {
    if (message.isOverdue) return this.#hang(message);
    message.isOverdue = true;
    message.deadlineAt = now + ABORT_GRACE_MS;
    const { core, onError } = this.#options;
    const { timeoutMs } = this.#share;
    const error = new JsflowError(
      "timeout",
      `cannot finish message ${message.sequence} of ${message.stream}: its handler took longer ` +
        `than ${timeoutMs} ms; raise timeoutMs, or call message.heartbeat() while it works`,
    );
    message.abort("deadline", error);
    if (message.settlement !== undefined) return; // the handler goes on after its ack
    this.counts.failed++;
    core.telemetry.count("handlerErrors");
    onError(error, message);
    this.#nakFailed(message);
  }

  /** What waits behind hung handlers alone would wait for ever, kept from others. */
  #hang(message: ConsumedMessage<T, K>): void {
    const { desk, onStuck, settings } = this.#options;
    message.deadlineAt = Infinity;
    this.#hung.add(message);
    const isStuck = this.#hung.size >= settings.concurrency;
    if (!isStuck || this.#isStuck || desk.effective.ackPolicy === "none") return;
    this.#isStuck = true;
    onStuck(true);
  }

  get #beatMs(): number {
    const { desk, settings: { heartbeatMs } } = this.#options;
    if (heartbeatMs === false || desk.effective.ackPolicy === "none") return Infinity;
    return heartbeatMs ?? Math.max(10, desk.effective.shortestWaitMs / 3);
  }

  #dueOf(message: ConsumedMessage<T, K>, beatMs: number): number {
    const beatAt = message.settlement === undefined ? message.beatenAt + beatMs : Infinity;
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
      if (now >= message.deadlineAt) this.#expire(message, now);
      if (message.settlement === undefined && now - message.beatenAt >= beatMs) {
        this.#beat(message, now);
      }
      dueAt = Math.min(dueAt, this.#dueOf(message, beatMs));
    }
    this.#ring(dueAt);
  }
}
