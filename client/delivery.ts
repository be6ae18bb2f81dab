import { type Msg, nanos, type NatsConnection } from "@nats-io/nats-core";

/** One delivery of a stream message to a consumer, and the ways to settle it. */
export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Sequence of the message in its stream: the same at every delivery. */
  readonly streamSeq: number;
  /** Number of this delivery, from 1. */
  readonly deliveryCount: number;
  /** The message is done; unconfirmed: a lost ack means one more delivery. */
  ack(): void;
  /** Deliver it again after `delayMs`. */
  nak(delayMs: number): void;
  /** Still at work: the ack wait begins anew. */
  working(): void;
}

/** A delivery with all that its ack subject tells. */
export interface StreamDelivery extends Delivery {
  /** The message as it arrived. */
  readonly message: Msg;
  /** The stream that holds it. */
  readonly stream: string;
  /** The consumer that delivered it. */
  readonly consumer: string;
  /** Number of this delivery among all of the consumer, from 1. */
  readonly consumerSeq: number;
  /** When the stream took it, in milliseconds since 1970. */
  readonly timeMs: number;
  /**
   * The same in nanoseconds, as the server wrote it. With the sequence it tells a message from one
   * in a stream that was made again under the same name.
   */
  readonly storedAt: string;
  /** How many messages the consumer had yet to deliver for the first time. */
  readonly pending: number;
  /** Deliver it never again; servers before 2.10 would take a reason for a nak. */
  term(reason?: string): void;
  /** The message is done; resolves when the server has said that it knows. */
  ackConfirmed(timeoutMs: number): Promise<void>;
}

/**
 * Reads a message that a pull request brought.
 *
 * Returns undefined when it carries no ack subject of JetStream.
 */
export function parseDelivery(
  connection: NatsConnection,
  message: Msg,
): StreamDelivery | undefined {
  const reply = message.reply;
  if (!reply) return undefined;
  const tokens = reply.split(".");
  const first = firstToken(tokens);
  if (first === 0) return undefined;
  const deliveryCount = Number(tokens[first + 2]);
  const streamSeq = Number(tokens[first + 3]);
  if (!isCount(deliveryCount) || !isCount(streamSeq)) return undefined;
  return new ArrivedDelivery(connection, message, {
    tokens,
    first,
    deliveryCount,
    streamSeq,
  });
}

/** What an ack subject holds. */
interface Position {
  readonly tokens: readonly string[];
  /** Index of the stream's name. */
  readonly first: number;
  readonly deliveryCount: number;
  readonly streamSeq: number;
}

const utf8 = new TextEncoder();
const ACK = utf8.encode("+ACK");
const NAK = utf8.encode("-NAK");
const TERM = utf8.encode("+TERM");
const WORKING = utf8.encode("+WPI");

class ArrivedDelivery implements StreamDelivery {
  readonly message: Msg;
  readonly deliveryCount: number;
  readonly streamSeq: number;
  readonly #connection: NatsConnection;
  readonly #tokens: readonly string[];
  readonly #first: number;

  constructor(connection: NatsConnection, message: Msg, position: Position) {
    this.#connection = connection;
    this.message = message;
    this.deliveryCount = position.deliveryCount;
    this.streamSeq = position.streamSeq;
    this.#tokens = position.tokens;
    this.#first = position.first;
  }

  get subject(): string {
    return this.message.subject;
  }

  get data(): Uint8Array {
    return this.message.data;
  }

  get stream(): string {
    return this.#tokens[this.#first] ?? "";
  }

  get consumer(): string {
    return this.#tokens[this.#first + 1] ?? "";
  }

  get consumerSeq(): number {
    return Number(this.#tokens[this.#first + 4]);
  }

  get timeMs(): number {
    // Nanoseconds since 1970 exceed what a number holds exactly: cut before reading.
    return Number(this.storedAt.slice(0, -6));
  }

  get storedAt(): string {
    return this.#tokens[this.#first + 5] ?? "";
  }

  get pending(): number {
    return Number(this.#tokens[this.#first + 6]);
  }

  ack(): void {
    this.#answer(ACK);
  }

  nak(delayMs: number): void {
    // The server refuses fractions of a nanosecond.
    const delay = Math.round(nanos(delayMs));
    this.#answer(delay > 0 ? utf8.encode(`-NAK ${JSON.stringify({ delay })}`) : NAK);
  }

  working(): void {
    this.#answer(WORKING);
  }

  term(reason?: string): void {
    this.#answer(reason ? utf8.encode(`+TERM ${reason}`) : TERM);
  }

  async ackConfirmed(timeoutMs: number): Promise<void> {
    await this.#connection.request(this.message.reply ?? "", ACK, { timeout: timeoutMs });
  }

  #answer(bytes: Uint8Array): void {
    this.#connection.publish(this.message.reply ?? "", bytes);
  }
}

/**
 * Index of the stream's name in `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.…`, or in the
 * longer form of newer servers with `<domain>.<account hash>` after `ACK`; 0 for anything else.
 */
function firstToken(tokens: readonly string[]): number {
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return 0;
  if (tokens.length < 9 || tokens.length === 10) return 0;
  return tokens.length >= 11 ? 4 : 2;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}
