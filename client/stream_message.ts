import type { WaitBounds } from "./call_options.ts";
import type { ReadonlyHeaders } from "./message_headers.ts";
import type { NatsMessage } from "./native.ts";
import type { SubjectParams } from "./subject.ts";

/** How {@link StreamMessage.nak} asks for the next delivery. */
export interface NakOptions {
  /**
   * Milliseconds until then; delays are kept in the server's memory, so let them be short.
   * @default what the consumer's backoff says, else at once
   */
  readonly delayMs?: number | undefined;
}

/**
 * A message of a stream that is being handled, and the ways to settle it.
 *
 * It is settled once: the first of `ack`, `nak`, `term` and `ackConfirmed` counts, and later ones
 * do nothing. One that its handler leaves open is settled as the consumption's options say.
 * Settlements are sent without waiting: one that is lost means one more delivery.
 */
export interface StreamMessage<T, K extends string = never> {
  /** The subject that it was published to. */
  readonly subject: string;
  /** The values of the subject's open tokens. */
  readonly params: SubjectParams<K>;
  /** Its headers. */
  readonly headers: ReadonlyHeaders;
  /** Its payload as it came. */
  readonly data: Uint8Array;
  /** The native message. */
  readonly native: NatsMessage;
  /** The stream that holds it. */
  readonly stream: string;
  /** The consumer that delivered it. */
  readonly consumer: string;
  /** Its place in the stream: the same at every delivery. */
  readonly sequence: number;
  /** How often it was delivered by this consumer, this time included. */
  readonly deliveryCount: number;
  /** When the stream took it. */
  readonly time: Date;
  /** How many messages the consumer had left to deliver for the first time. */
  readonly pending: number;
  /** Whether it was settled, or its stream was made again, which leaves nothing to settle. */
  readonly isSettled: boolean;
  /** Aborts at the deadline, when the consumption is stopped, and when the stream was made again. */
  readonly signal: AbortSignal;
  /** Decodes the payload once more. @throws {JsflowError} `decode_failed` or `invalid_payload` */
  decode(): T;
  /**
   * Says that it is still worked on: its deadline and the server's ack wait begin anew.
   *
   * @throws {JsflowError} `connection_closed` when that can't be sent.
   */
  heartbeat(): void;
  /** It is done. */
  ack(): void;
  /** It is to be delivered again. @throws {TypeError | RangeError} for a delay that makes no sense */
  nak(options?: NakOptions): void;
  /**
   * It must not be delivered again. The reason appears in the server's advisory, from nats-server
   * 2.10 on; older ones are not told.
   *
   * @throws {TypeError | RangeError} for a reason that is no string, or longer than 1,024 characters.
   */
  term(reason?: string): void;
  /**
   * It is done; resolves when the server has said that it knows, and at once when the message was
   * settled before.
   *
   * @throws {JsflowError} `timeout`, `no_responders` when the consumer is gone, or
   * `connection_closed`; then it may be delivered once more.
   * @throws the signal's reason when it aborts.
   */
  ackConfirmed(options?: WaitBounds): Promise<void>;
}
