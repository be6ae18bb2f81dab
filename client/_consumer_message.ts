import { decodeValue } from "./_address.ts";
import type { Settlement, SettlementDesk } from "./_settlement.ts";
import { checkWait, type WaitBounds } from "./call_options.ts";
import type { StreamDelivery } from "./delivery.ts";
import { readHeaders, type ReadonlyHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { NakOptions, StreamMessage } from "./stream_message.ts";
import type { Subject, SubjectParams } from "./subject.ts";
import { checkDurationMs, checkOptions, checkString } from "./validate.ts";
import type { OperationDetails } from "../trace/telemetry.ts";

const MAX_REASON_LENGTH = 1_024;

/** Whether what is sent arrives, as far as that can be known. */
export interface ServerReach {
  /** When the server was last heard, by the monotonic clock. */
  readonly lastHeard: () => number;
  /** Whether the connection is there and the server answers. */
  readonly isReached: () => boolean;
}

/** What all messages of one consumption share. */
export interface MessageShare<T, K extends string> {
  readonly subject: Subject<T, K>;
  readonly desk: SettlementDesk<ConsumedMessage<T, K>>;
  readonly timeoutMs: number;
  /** The client's time for requests. */
  readonly requestTimeoutMs: number;
  readonly reach: ServerReach;
}

/** Why a handler was told to stop. */
export type AbortCause = "cancelled" | "deadline";

/** A message that is held in this process. */
export class ConsumedMessage<T, K extends string> implements StreamMessage<T, K> {
  /** The newest delivery of the message, which is the one to settle. */
  delivery: StreamDelivery;
  settlement: Settlement | undefined;
  confirming: Promise<void> | undefined;
  /** When the server last began to wait for its settlement, by the monotonic clock. */
  heardAt: number;
  /** When the last sign of life was sent for it, whether or not it arrived. */
  beatenAt: number;
  /** When its handler must be done, or counts as hung. */
  deadlineAt: number = Infinity;
  /** Whether its handler's deadline has passed. */
  isOverdue = false;
  abortedBy: AbortCause | undefined;
  readonly #share: MessageShare<T, K>;
  /** The newest `heardAt` that the server was heard after. */
  #surelyAt: number;
  #controller: AbortController | undefined;
  #abortReason: unknown;

  constructor(share: MessageShare<T, K>, delivery: StreamDelivery, heardAt: number) {
    this.#share = share;
    this.delivery = delivery;
    this.heardAt = this.beatenAt = this.#surelyAt = heardAt;
  }

  /** It was delivered once more: that delivery is the one to settle. */
  join(delivery: StreamDelivery, heardAt: number): void {
    this.delivery = delivery;
    this.heardAt = this.beatenAt = this.#surelyAt = heardAt;
  }

  /** The server is out of reach, or was: signs of life that it was not heard after don't count. */
  doubt(): void {
    if (this.#share.reach.lastHeard() <= this.heardAt) this.heardAt = this.#surelyAt;
  }

  get subject(): string {
    return this.delivery.subject;
  }

  get params(): SubjectParams<K> {
    // The consumer filters by the subject, so that it matches.
    return this.#share.subject.match(this.delivery.subject) as SubjectParams<K>;
  }

  get headers(): ReadonlyHeaders {
    return readHeaders(this.delivery.message.headers);
  }

  get data(): Uint8Array {
    return this.delivery.data;
  }

  get native(): NatsMessage {
    return this.delivery.message;
  }

  get stream(): string {
    return this.delivery.stream;
  }

  get consumer(): string {
    return this.delivery.consumer;
  }

  get sequence(): number {
    return this.delivery.streamSeq;
  }

  get deliveryCount(): number {
    return this.delivery.deliveryCount;
  }

  get time(): Date {
    return new Date(this.delivery.timeMs);
  }

  get pending(): number {
    return this.delivery.pending;
  }

  get isSettled(): boolean {
    return this.settlement !== undefined;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.abortedBy !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** Aborts the signal; the first cause counts. */
  abort(cause: AbortCause, reason: unknown): void {
    if (this.abortedBy !== undefined) return;
    this.abortedBy = cause;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  decode(): T {
    const { codec } = this.#share.subject;
    return decodeValue(`handle a message on ${this.subject}`, codec, this.delivery.data);
  }

  heartbeat(): void {
    if (this.settlement !== undefined) return;
    const now = performance.now();
    if (this.deadlineAt !== Infinity) this.deadlineAt = now + this.#share.timeoutMs;
    this.beat(now);
  }

  /** Tells the server only. */
  beat(now: number): void {
    const { reach } = this.#share;
    if (reach.lastHeard() > this.heardAt) this.#surelyAt = this.heardAt;
    this.beatenAt = now;
    if (reach.isReached()) this.heardAt = now;
    this.#share.desk.working(this);
  }

  ack(): void {
    this.#share.desk.ack(this);
  }

  nak(options?: NakOptions): void {
    const { delayMs } = checkOptions<NakOptions>("nak", options, ["delayMs"]);
    if (delayMs !== undefined) checkDurationMs("nak: delayMs", delayMs);
    this.#share.desk.nak(this, delayMs);
  }

  term(reason?: string): void {
    if (reason !== undefined) {
      checkString("term: reason", reason, { minLength: 0, maxLength: MAX_REASON_LENGTH });
    }
    this.#share.desk.term(this, reason || undefined);
  }

  async ackConfirmed(options?: WaitBounds): Promise<void> {
    const bounds = checkWait("ackConfirmed", options, this.#share.requestTimeoutMs);
    bounds.signal?.throwIfAborted();
    await this.#share.desk.ackConfirmed(this, bounds);
  }
}

/** What the telemetry of handling a message says. */
export function processDetails<T, K extends string>(
  { delivery }: ConsumedMessage<T, K>,
  { template }: Subject<T, K>,
): OperationDetails {
  return {
    destination: delivery.subject,
    template,
    bodyBytes: delivery.data.length,
    consumerGroup: delivery.consumer,
    stream: delivery.stream,
    messageId: `${delivery.stream}:${delivery.streamSeq}`,
    parent: delivery.message.headers,
  };
}
