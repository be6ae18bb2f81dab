import { type Msg, nanos, type NatsConnection } from "@nats-io/nats-core";

/** One delivery of a stream message to a durable consumer, and the ways to settle it. */
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

/**
 * Reads a message that a pull request brought.
 *
 * Returns undefined when it carries no ack subject of JetStream.
 */
export function parseDelivery(connection: NatsConnection, message: Msg): Delivery | undefined {
  const reply = message.reply;
  const position = reply ? parseAckSubject(reply) : undefined;
  if (!reply || !position) return undefined;
  const answer = (text: string) => connection.publish(reply, text);
  return {
    subject: message.subject,
    data: message.data,
    ...position,
    ack: () => answer("+ACK"),
    // The server refuses fractions of a nanosecond.
    nak: (delayMs) => answer(`-NAK ${JSON.stringify({ delay: Math.round(nanos(delayMs)) })}`),
    working: () => answer("+WPI"),
  };
}

/**
 * `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.…`, or the longer form of newer servers
 * with `<domain>.<account hash>` after `ACK`.
 */
function parseAckSubject(
  subject: string,
): { readonly streamSeq: number; readonly deliveryCount: number } | undefined {
  const tokens = subject.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return undefined;
  if (tokens.length < 9 || tokens.length === 10) return undefined;
  const first = tokens.length >= 11 ? 6 : 4;
  const deliveryCount = Number(tokens[first]);
  const streamSeq = Number(tokens[first + 1]);
  return isCount(deliveryCount) && isCount(streamSeq) ? { streamSeq, deliveryCount } : undefined;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}
