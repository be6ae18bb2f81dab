import { getLogger } from "@logtape/logtape";
import { effectiveConfig } from "./_consumer_config.ts";
import { ConsumedMessage, type MessageShare } from "./_consumer_message.ts";
import { ConsumerProgress } from "./_consumer_progress.ts";
import type { FoundConsumer } from "./_consumer_setup.ts";
import type { FetchSettings } from "./_fetch_settings.ts";
import { callSafely } from "./_handler_callback.ts";
import { SettlementDesk } from "./_settlement.ts";
import type { Batch, FetchedMessage } from "./batch.ts";
import type { ClientCore } from "./core.ts";
import type { StreamDelivery } from "./delivery.ts";
import type { NakOptions } from "./stream_message.ts";
import { MAX_TIMER_MS } from "./validate.ts";
import type { HeaderCarrier } from "../trace/telemetry.ts";

const logger = getLogger(["jsflow", "client"]);

/** Nobody hands it on without having decoded it. */
class DecodedMessage<T, K extends string> extends ConsumedMessage<T, K>
  implements FetchedMessage<T, K> {
  readonly value: T;
  readonly #flush: () => void;

  /** @throws {JsflowError} when the payload does not decode */
  constructor(share: MessageShare<T, K>, delivery: StreamDelivery, flush: () => void) {
    super(share, delivery, performance.now());
    this.#flush = flush;
    this.value = this.decode();
  }

  /** It leaves at once: who has settled a batch may close the client next. */
  override ack(): void {
    super.ack();
    this.#flush();
  }
}

/** The messages of one fetch: as they come, and when they are handed over. */
export class FetchedBatch<T, K extends string> implements Batch<T, K> {
  readonly stream: string;
  readonly consumer: string;
  readonly #core: ClientCore;
  readonly #settings: FetchSettings<T, K>;
  readonly #desk: SettlementDesk<ConsumedMessage<T, K>>;
  readonly #share: MessageShare<T, K>;
  readonly #messages: DecodedMessage<T, K>[] = [];
  readonly #links: HeaderCarrier[] = [];
  /** What the consumer allows in one request. */
  readonly limits: {
    readonly messages: number;
    readonly bytes: number;
    readonly expiresMs: number;
  };
  #undecodable = 0;
  #pending = 0;
  /** Whether what comes goes back. */
  #isShut = false;

  constructor(core: ClientCore, settings: FetchSettings<T, K>, found: FoundConsumer) {
    const { config } = found.info;
    this.stream = found.stream;
    this.consumer = settings.name;
    this.limits = {
      messages: config.max_batch || Infinity,
      bytes: config.max_bytes || Infinity,
      expiresMs: (config.max_expires || Infinity) / 1e6,
    };
    this.#core = core;
    this.#settings = settings;
    this.#desk = new SettlementDesk<ConsumedMessage<T, K>>({
      core,
      progress: new ConsumerProgress(), // for making it again, which is left to the next call
      confirmAcks: false,
      effective: effectiveConfig(config),
      onError: (error, message) => this.report(error, message.sequence),
    });
    this.#share = {
      subject: settings.consumer.subject,
      desk: this.#desk,
      timeoutMs: Infinity,
      requestTimeoutMs: core.requestTimeoutMs,
      reach: { lastHeard: () => 0, isReached: () => true },
    };
  }

  get messages(): readonly FetchedMessage<T, K>[] {
    return this.#messages;
  }

  get undecodable(): number {
    return this.#undecodable;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Deliveries that are part of it. */
  get size(): number {
    return this.#messages.length + this.#undecodable;
  }

  /** The headers of its messages. */
  get links(): readonly HeaderCarrier[] {
    return this.#links;
  }

  /** Whether it may take several requests. */
  get isLimited(): boolean {
    const { expiresMs, messages } = this.limits;
    return messages < this.#settings.maxMessages || expiresMs < this.#settings.expiresMs;
  }

  /** Most bytes that may be asked for. */
  get maxBytes(): number | undefined {
    const bytes = Math.min(this.#settings.maxBytes ?? Infinity, this.limits.bytes);
    return bytes === Infinity ? undefined : bytes;
  }

  /** Milliseconds between signs of life that keep messages from being delivered again. */
  get beatMs(): number {
    return Math.min(MAX_TIMER_MS, Math.max(10, this.#desk.effective.shortestWaitMs / 3));
  }

  ackAll(): void {
    for (const message of this.#messages) this.#desk.ack(message);
    this.#desk.flush();
  }

  nakAll(options?: NakOptions): void {
    for (const message of this.#messages) message.nak(options);
  }

  /** Takes a message. */
  accept(delivery: StreamDelivery): void {
    if (this.#isShut) return this.#giveBack(new ConsumedMessage(this.#share, delivery, 0));
    if (delivery.deliveryCount > 1) {
      this.#core.telemetry.count("redeliveries");
      if (this.#join(delivery)) return;
    }
    this.#pending = delivery.pending;
    const { headers } = delivery.message;
    if (headers !== undefined) this.#links.push(headers);
    try {
      const flush = () => this.#desk.flush();
      this.#messages.push(new DecodedMessage(this.#share, delivery, flush));
    } catch (error) {
      this.#undecodable++;
      this.#settleUndecodable(new ConsumedMessage(this.#share, delivery, 0), error);
    }
  }

  /** Keeps what has come from being delivered again while more is waited for. */
  beat(): void {
    for (const message of this.#messages) {
      try {
        message.heartbeat();
      } catch {
        return; // the connection is closed, which ends the fetch
      }
    }
  }

  /** From here on what comes goes back. */
  shut(): void {
    this.#isShut = true;
  }

  /** All goes back, to be delivered again at once. */
  giveBack(): void {
    for (const message of this.#messages) this.#giveBack(message);
  }

  /** Tells of an error that no call waits for. */
  report(error: unknown, sequence?: number): void {
    const { consumer: { onError, subject }, name } = this.#settings;
    if (onError !== undefined) return callSafely(() => onError(error), subject.filter);
    logger.warn("fetching from {consumer} of {stream}: {error}", {
      consumer: name,
      stream: this.stream,
      sequence,
      error,
    });
  }

  /** A message may come again while it is held here: that delivery is the one to settle. */
  #join(delivery: StreamDelivery): boolean {
    const { storedAt, streamSeq } = delivery;
    const held = this.#messages.find(({ delivery: earlier }) =>
      earlier.streamSeq === streamSeq && earlier.storedAt === storedAt
    );
    held?.join(delivery, 0);
    return held !== undefined;
  }

  #giveBack(message: ConsumedMessage<T, K>): void {
    if (!this.#core.connection.isClosed()) this.#desk.nak(message, 0);
  }

  #settleUndecodable(message: ConsumedMessage<T, K>, error: unknown): void {
    const { errorDelayMs, onUndecodable } = this.#settings.consumer;
    this.#core.telemetry.count("handlerErrors");
    this.report(error, message.sequence);
    if (onUndecodable === "term") this.#desk.term(message, "the payload does not decode");
    else if (onUndecodable === "ack") {
      this.#desk.ack(message);
      this.#desk.flush();
    } else {
      const hasBackoff = this.#desk.effective.backoffMs.length > 0;
      this.#desk.nak(message, hasBackoff ? undefined : errorDelayMs);
    }
  }
}
