import type { DrainOptions } from "./drain_options.ts";

/** What a consumption has done so far, and what it holds now. */
export interface ConsumptionStats {
  /** Deliveries that arrived. */
  readonly received: number;
  /** Messages acknowledged. */
  readonly acked: number;
  /** Messages that were asked for once more, those included that were given back unhandled. */
  readonly naked: number;
  /** Messages terminated. */
  readonly termed: number;
  /** Handlers that failed or took too long, and payloads that did not decode. */
  readonly failed: number;
  /** Deliveries that were not the first of their message. */
  readonly redelivered: number;
  /** Messages that the consumer had left to deliver for the first time, when the last one arrived. */
  readonly pending: number;
  /** Messages that wait here for a handler now. */
  readonly waiting: number;
  /** Messages whose handler is at work now, also when its deadline has passed. */
  readonly inFlight: number;
}

/** What a {@link Consumption} is doing. */
export type ConsumptionStatus = "closed" | "draining" | "paused" | "running";

/** The consumption of a stream, until it is drained or stopped, fails, or its client closes. */
export interface Consumption extends AsyncDisposable {
  /** The stream's name. */
  readonly stream: string;
  /** The consumer's name: the one that was given, or one of its own. */
  readonly name: string;
  /** Whether the consumer has a name of the caller's, and stays at the server. */
  readonly isDurable: boolean;
  /** What it is doing. */
  readonly status: ConsumptionStatus;
  /**
   * Resolves when it has ended: with `undefined` when it was told to, else with what ended it.
   * Never rejects.
   */
  readonly closed: Promise<unknown>;
  /**
   * Takes no further messages. Handlers go on; messages that wait for one go back at once, which
   * counts as a delivery.
   */
  pause(): void;
  /** Takes messages again. */
  resume(): void;
  /**
   * Ends it: takes no further messages, gives back at once what no handler has begun with, lets the
   * handlers finish, and sends their acks.
   *
   * After `graceMs` the signals of the handlers abort; what they have not settled a second later is
   * given back. A consumer without a name is deleted. Calls are joined.
   *
   * @throws {TypeError | RangeError} for options that make no sense.
   */
  drain(options?: DrainOptions): Promise<void>;
  /** The same as `drain({ graceMs: 0 })`: the handlers' signals abort at once. */
  stop(): Promise<void>;
  /** Counts what was done. */
  readonly stats: ConsumptionStats;
  /** The same as `drain()`. */
  [Symbol.asyncDispose](): Promise<void>;
}
