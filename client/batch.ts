import type { NakOptions, StreamMessage } from "./stream_message.ts";

/**
 * A message of a batch: as those of `consume`, with its value. Whoever fetched it settles it.
 *
 * `heartbeat()` has the server's ack wait begin anew; nothing does so by itself.
 */
export interface FetchedMessage<T, K extends string = never>
  extends Omit<StreamMessage<T, K>, "signal"> {
  /** The decoded payload. */
  readonly value: T;
}

/** The messages that one call of `fetch` brought; nothing of it has to be closed. */
export interface Batch<T, K extends string = never> {
  /** The stream's name. */
  readonly stream: string;
  /** The consumer's name. */
  readonly consumer: string;
  /** In the order of the stream, except those that come again. */
  readonly messages: readonly FetchedMessage<T, K>[];
  /**
   * How many more came whose payload did not decode; they are settled as `onUndecodable` says, and
   * `onError` was told.
   */
  readonly undecodable: number;
  /** How many messages the consumer had left to deliver when the last one came; 0 without one. */
  readonly pending: number;
  /** Acknowledges all messages that are not settled yet. */
  ackAll(): void;
  /**
   * Has all messages delivered again that are not settled yet.
   *
   * @throws {TypeError | RangeError} for a delay that makes no sense.
   */
  nakAll(options?: NakOptions): void;
}
