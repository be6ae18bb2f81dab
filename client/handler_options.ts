/** Handlers of a subscription or consumption at work at a time, which keeps the order. */
export const DEFAULT_CONCURRENCY: number = 1;

/** How long a handler may take, from its start or its last heartbeat, in milliseconds. */
export const DEFAULT_HANDLER_TIMEOUT_MS: number = 30_000;

/** Messages that wait for a handler of a subscription. */
export const DEFAULT_MAX_WAITING: number = 4_096;

/** Bytes of payload that wait for a handler of a subscription or service: 64 MiB. */
export const DEFAULT_MAX_WAITING_BYTES: number = 64 * 1_048_576;

/** Handlers of a service at work at a time. */
export const DEFAULT_SERVE_CONCURRENCY: number = 32;

/** Requests that wait for a handler of a service. */
export const DEFAULT_SERVE_MAX_WAITING: number = 256;

/** How the handlers of subscriptions and services are run. */
export interface HandlerOptions {
  /**
   * Most handlers at work at a time; with 1, messages are handled in order.
   *
   * @default {@link DEFAULT_CONCURRENCY}, 1; for services {@link DEFAULT_SERVE_CONCURRENCY}, 32
   */
  readonly concurrency?: number | undefined;
  /**
   * Most messages that wait for a handler. A subscription drops and counts what comes on top, a
   * service refuses it as `busy`.
   *
   * @default {@link DEFAULT_MAX_WAITING}, 4096; for services {@link DEFAULT_SERVE_MAX_WAITING}, 256
   */
  readonly maxWaiting?: number | undefined;
  /**
   * Most bytes of payload that wait for a handler.
   *
   * @default {@link DEFAULT_MAX_WAITING_BYTES}, 64 MiB
   */
  readonly maxWaitingBytes?: number | undefined;
  /**
   * Milliseconds that a handler has until its signal aborts and the message counts as failed, of
   * which a requester is told as `timeout`; `heartbeat()` starts them anew. The handler keeps its
   * place until it ends.
   *
   * @default {@link DEFAULT_HANDLER_TIMEOUT_MS}, 30 seconds
   */
  readonly timeoutMs?: number | undefined;
  /** Unsubscribes when it aborts, and aborts the handlers' signals with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Subscribes even while the breaker is open; the outcome still counts. @default false */
  readonly bypassBreaker?: boolean | undefined;
}
