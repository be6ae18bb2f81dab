import type { StreamAutoCreate } from "./auto_create.ts";
import type { ConsumerEvent } from "./client_event.ts";
import type { OnDrift } from "./ensure_stream.ts";
import type { StreamMessage } from "./stream_message.ts";
import type { SubjectFilter } from "./subject_filter.ts";

/**
 * Where a consumer begins that does not exist yet; one that exists goes on where it was.
 *
 * - `"all"`: at the first message of the stream.
 * - `"last"`: at the last one.
 * - `"last-per-subject"`: with the last one of each subject.
 * - `"new"`: with what comes after the consumer was made.
 * - `{ time }`: with the first message stored at that time or later.
 * - `{ sequence }`: at that place in the stream.
 */
export type DeliverFrom =
  | "all"
  | "last"
  | "last-per-subject"
  | "new"
  | { readonly time: Date }
  | { readonly sequence: number };

/**
 * What counts as done.
 *
 * - `"explicit"`: each message by itself.
 * - `"all"`: a message and all that were delivered before it, failed ones included.
 * - `"none"`: a message counts as done when it is sent; one that is lost on the way, or whose
 *   handler fails, never comes again.
 */
export type ConsumerAckPolicy = "all" | "explicit" | "none";

/** How a message is settled that the handler has not settled itself; `"none"` leaves it open. */
export type DefaultSettlement = "ack" | "nak" | "none";

/** What becomes of a consumption whose consumer was deleted at the server. */
export type OnConsumerGone = "fail" | "restart" | "resume";

/** Takes a message that was consumed; settles it by returning, by throwing, or itself. */
export type ConsumeHandler<T, K extends string = never> = (
  value: T,
  message: StreamMessage<T, K>,
) => unknown;

/** How a stream is consumed. */
export interface ConsumeOptions<T, K extends string = never> {
  /** The stream. @default the one that captures the subject */
  readonly stream?: string | undefined;
  /**
   * Name of a durable consumer, which stays and remembers its position; those who use the same name
   * share the messages. @default none: a consumer of its own, which is deleted at the end
   */
  readonly name?: string | undefined;
  /**
   * Parts of the subject, each a subject or its filter: only these messages are delivered. More
   * than one needs nats-server 2.10. @default the whole subject
   */
  readonly filters?: readonly SubjectFilter[] | undefined;
  /** Where a consumer begins that is made by this call. @default "all" */
  readonly deliver?: DeliverFrom | undefined;
  /** What counts as done; `"all"` needs concurrency 1. @default "explicit" */
  readonly ackPolicy?: ConsumerAckPolicy | undefined;
  /**
   * How often a message is delivered at most; -1 for no bound. After the last delivery it stays in
   * the stream, and the consumer never delivers it again. @default -1
   */
  readonly maxDeliver?: number | undefined;
  /**
   * Milliseconds until a message that nobody has settled is delivered again.
   * @default {@link DEFAULT_ACK_WAIT_MS}, 30 seconds
   */
  readonly ackWaitMs?: number | undefined;
  /**
   * Milliseconds before the second delivery, the third and so on; the last one repeats. In place of
   * `ackWaitMs` where nobody has settled the message, and of `errorDelayMs` where the handler
   * failed. Needs fewer entries than `maxDeliver`. @default none
   */
  readonly backoffMs?: readonly number[] | undefined;
  /** Most messages that are delivered and not settled, for all who share it. @default 1000 */
  readonly maxAckPending?: number | undefined;
  /**
   * Milliseconds without anybody pulling until the server deletes the consumer.
   * @default {@link DEFAULT_INACTIVE_THRESHOLD_MS}, 30 seconds, without a name; never with one
   */
  readonly inactiveThresholdMs?: number | undefined;
  /** Copies of the consumer's state. @default as many as its stream has; 1 without a name */
  readonly replicas?: number | undefined;
  /** Whether the consumer's state is in memory alone. @default false */
  readonly memory?: boolean | undefined;
  /**
   * Most messages held here, in flight and waiting.
   * @default {@link DEFAULT_CONSUME_MAX_MESSAGES}, 100, or `concurrency` when that is more
   */
  readonly maxMessages?: number | undefined;
  /** Most bytes of payload held here; a larger message is an error. @default no bound */
  readonly maxBytes?: number | undefined;
  /**
   * How many handlers run at a time; with 1 messages are handled in order.
   * @default {@link DEFAULT_CONCURRENCY}, 1
   */
  readonly concurrency?: number | undefined;
  /**
   * Milliseconds for handling one message, from the handler's start or from its last
   * `message.heartbeat()`. Then `message.signal` aborts and the message is delivered again as after
   * an error. @default {@link DEFAULT_HANDLER_TIMEOUT_MS}, 30 seconds
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Milliseconds between signs of life that are sent for each message held here, so that it is not
   * delivered again meanwhile; `false` sends none. @default a third of the time to redelivery
   */
  readonly heartbeatMs?: number | false | undefined;
  /** How a message is settled whose handler returned without doing so. @default "ack" */
  readonly settle?: DefaultSettlement | undefined;
  /**
   * Milliseconds until the next delivery after a handler failed.
   * @default {@link DEFAULT_ERROR_DELAY_MS}, 30 seconds
   */
  readonly errorDelayMs?: number | undefined;
  /**
   * Milliseconds until the next delivery after a handler was aborted.
   * @default {@link DEFAULT_CANCEL_DELAY_MS}, 5 seconds
   */
  readonly cancelDelayMs?: number | undefined;
  /** How a message is settled whose payload does not decode. @default "term" */
  readonly onUndecodable?: "ack" | "nak" | "term" | undefined;
  /**
   * Whether each ack waits for the server's confirmation before its place is free for another
   * message. Without it a lost ack means one more delivery. @default false
   */
  readonly confirmAcks?: boolean | undefined;
  /** Makes the stream when there is none, and again when it was deleted. @default false */
  readonly autoCreate?: boolean | StreamAutoCreate | undefined;
  /**
   * What to do when a consumer of this name exists and differs in an option given here.
   * @default "fail", with error `config_drift`
   */
  readonly onDrift?: OnDrift | undefined;
  /**
   * What to do when the consumer was deleted.
   *
   * - `"resume"` makes it again, so that nothing is skipped. When this process alone has consumed
   *   from it, it begins at the first message that is not settled; else behind what the server had
   *   counted as done by all when this process last asked (at the start, after each recovery and
   *   reconnect, and every minute).
   *   With `deliver: "last-per-subject"` the same as `"restart"`.
   * - `"restart"` makes it again with its own `deliver`: with `"all"` everything comes again, with
   *   `"new"` what came meanwhile is skipped.
   * - `"fail"` ends the consumption with `consumer_not_found`.
   *
   * @default "resume"
   */
  readonly onGone?: OnConsumerGone | undefined;
  /**
   * Milliseconds between heartbeats of the server while nothing is to be delivered; after two that
   * are missed the consumer is looked after. @default {@link DEFAULT_PULL_HEARTBEAT_MS}, 500
   */
  readonly pullHeartbeatMs?: number | undefined;
  /** Ends the consumption as `stop()` does, also while it is being set up. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Sets the consumer up, and looks after it, even while the breaker is open; how that ends still
   * counts. @default false
   */
  readonly bypassBreaker?: boolean | undefined;
  /**
   * Told of every handler that failed, every payload that did not decode, every settlement that
   * could not be sent, and what stands in the way of consuming. @default it is logged
   */
  readonly onError?: ((error: unknown, message?: StreamMessage<T, K>) => void) | undefined;
  /** Told what happens to the consumer. @default it is logged */
  readonly onRecovery?: ((event: ConsumerEvent) => void) | undefined;
}

/** How long a consumed message may stay unsettled, in milliseconds. */
export const DEFAULT_ACK_WAIT_MS: number = 30_000;
/** Life of a consumer without a name while nobody pulls, in milliseconds. */
export const DEFAULT_INACTIVE_THRESHOLD_MS: number = 30_000;
/** Messages that a consumption holds in its process. */
export const DEFAULT_CONSUME_MAX_MESSAGES: number = 100;
/** Pause before the next delivery when a handler failed, in milliseconds. */
export const DEFAULT_ERROR_DELAY_MS: number = 30_000;
/** Pause before the next delivery when a handler was aborted, in milliseconds. */
export const DEFAULT_CANCEL_DELAY_MS: number = 5_000;
/** Time between heartbeats of the server to a consumption, in milliseconds. */
export const DEFAULT_PULL_HEARTBEAT_MS: number = 500;
