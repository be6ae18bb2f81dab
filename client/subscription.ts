import type { DrainOptions } from "./drain_options.ts";

/** What has become of the messages of a {@link Subscription}. */
export interface SubscriptionStats {
  /** Messages that arrived. */
  readonly received: number;
  /** Messages whose handler has ended well. */
  readonly handled: number;
  /** Messages that could not be decoded, or whose handler failed or took too long. */
  readonly failed: number;
  /** Messages that were not handled: there was no room, or the subscription ended. */
  readonly dropped: number;
  /** Messages that wait for a handler now. */
  readonly waiting: number;
  /** Messages whose handler is at work now, also when its deadline has passed. */
  readonly inFlight: number;
}

/**
 * A subscription with its handlers; lives until it is ended, its connection closes, or the server
 * revokes the permission.
 *
 * It survives lost connections; what is published meanwhile is missed. `Symbol.asyncDispose` drains
 * it. The client drains it when it closes.
 */
export interface Subscription extends AsyncDisposable {
  /** The subject that it listens on; `*` and `>` stand for open tokens. */
  readonly subject: string;
  /** The queue group, if any. */
  readonly queue: string | undefined;
  /** What has become of the messages so far. */
  readonly stats: SubscriptionStats;
  /**
   * Resolves when it is over and no handler is at work: with the error that ended it, or with
   * `undefined` when it was ended on purpose. Never rejects.
   */
  readonly closed: Promise<Error | undefined>;
  /**
   * Ends it at once: takes no further message and drops those that wait. Handlers at work go on,
   * and their signals do not abort. Can be repeated.
   */
  unsubscribe(): void;
  /**
   * Ends it in order: takes no further message, handles those that have arrived, and resolves when
   * the last handler has ended.
   *
   * After `graceMs`, what waits is dropped and the signals of the handlers abort; one that minds its
   * signal not is left behind a second later. Can be repeated; the shortest grace counts.
   *
   * @throws {TypeError | RangeError} when `graceMs` is not a duration.
   */
  drain(options?: DrainOptions): Promise<void>;
}
