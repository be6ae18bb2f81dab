import type { CallOptions } from "./call_options.ts";
import type { ConsumeOptions } from "./consume_options.ts";

/**
 * How a batch is fetched.
 *
 * What the consumer is, and how it is made or checked, is said as for `consume`. With
 * `onUndecodable: "nak"` a message comes again after `backoffMs`, else after 30 seconds.
 */
export interface FetchOptions<T, K extends string = never> extends
  CallOptions,
  Pick<
    ConsumeOptions<T, K>,
    | "ackPolicy"
    | "ackWaitMs"
    | "autoCreate"
    | "backoffMs"
    | "deliver"
    | "filters"
    | "inactiveThresholdMs"
    | "maxAckPending"
    | "maxDeliver"
    | "memory"
    | "onDrift"
    | "onUndecodable"
    | "replicas"
    | "stream"
  > {
  /**
   * Name of the durable consumer, which stays and remembers its position; those who use the same
   * name share the messages.
   */
  readonly name: string;
  /**
   * Most messages in the batch; never more come than `maxAckPending` allows.
   * @default {@link DEFAULT_FETCH_MAX_MESSAGES}, 100
   */
  readonly maxMessages?: number | undefined;
  /** Most bytes in the batch, subjects and headers included. @default no bound */
  readonly maxBytes?: number | undefined;
  /**
   * Milliseconds to wait until there are `maxMessages`, from 10 on.
   * @default {@link DEFAULT_FETCH_EXPIRES_MS}, 5 seconds
   */
  readonly expiresMs?: number | undefined;
  /** Gives up with the signal's reason; messages that have come are delivered again at once. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds for all but the wait for messages: for the connection, and to find or make the
   * consumer. @default the client's requestTimeoutMs, 5000
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Told of every payload that did not decode, every settlement that could not be sent, and what cut
   * a batch short. @default it is logged
   */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** Most messages in a batch. */
export const DEFAULT_FETCH_MAX_MESSAGES: number = 100;
/** How long messages are waited for, in milliseconds. */
export const DEFAULT_FETCH_EXPIRES_MS: number = 5_000;
