import type { Telemetry } from "../trace/telemetry.ts";
import type { CallBounds, CallOptions } from "./call_options.ts";
import type { ClientEvent } from "./client_event.ts";
import type { JetStreamClient, JetStreamManager, NatsConnection } from "./native.ts";
import { describe } from "./validate.ts";

/** The bounds of one operation; its `timeoutMs` include a wait for the connection. */
export interface GuardOptions extends CallBounds {
  /** Bytes that the operation holds while it waits for the connection. @default 0 */
  readonly bytes?: number | undefined;
  /**
   * Whether JetStream is to answer: then an answer that does not come is held against it, once
   * JetStream as a whole is found not to answer. A service of a user may be slow. @default false
   */
  readonly jetstream?: boolean | undefined;
  /**
   * Whether to give up as soon as the connection is lost, unless operations are to wait for it:
   * the answer that is on its way will not come any more. @default false
   */
  readonly failOnDisconnect?: boolean | undefined;
}

/** What remained undone when something was closed. */
export interface Abandoned {
  /** What it was: "subscription orders.*", "consumer billing of ORDERS". */
  readonly what: string;
  /** How many messages, handlers or requests of it. */
  readonly count: number;
}

/** Milliseconds that handlers whose signal has aborted may still take to end. */
export const ABORT_GRACE_MS: number = 1_000;

/**
 * Something that lives on the connection and must end before it does.
 *
 * On close all are stopped first, then all are drained at the same time, then the connection goes.
 */
export interface Resource {
  /**
   * Takes nothing new: no further pulls, no further deliveries. At once, never throws, and does
   * nothing when it is called again.
   */
  stop(): void;
  /**
   * Resolves when the work under way is done and its acks are sent; when `signal` aborts, aborts
   * the handlers and resolves soon with what was left. Never rejects.
   */
  drain(signal: AbortSignal): Promise<readonly Abandoned[]>;
}

/** What the parts of the library share of a client, beyond what users see. */
export interface ClientCore {
  /** The native connection. @throws {NotConnectedError} before the client was started */
  readonly connection: NatsConnection;
  /** The native JetStream client. */
  readonly jetstream: JetStreamClient;
  /** Spans and metrics. */
  readonly telemetry: Telemetry;
  /** The client's default for requests, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** The largest message that the server takes, in bytes. */
  readonly maxPayloadBytes: number;
  /** The native JetStream manager, once JetStream is known to be on. */
  manager(options?: CallOptions): Promise<JetStreamManager>;
  /**
   * Whether all is well: `check` would pass, and nothing stands in the way. False says nothing yet,
   * ask `check` then; it costs more.
   */
  readonly isClear: boolean;
  /**
   * Throws when nothing can be sent at this moment: the client is closed or draining, not
   * connected, its breaker is open, operations that waited for the connection go first, or the
   * server has not taken yet what was sent before. `what` completes "cannot …". While the client
   * drains, what its resources do goes through.
   */
  check(what: string, options?: Pick<CallOptions, "bypassBreaker">): void;
  /**
   * Throws when the connection itself can take nothing: closed, draining or not connected. For
   * answers to work under way, which neither the breaker nor those who wait may hold up.
   */
  checkLink(what: string): void;
  /**
   * Resolves when something can be sent: at once when connected and the server takes it, after a
   * bounded wait in order of arrival when it does not keep up; without a connection as the caller
   * of `connect` chose, after such a wait or with `NotConnectedError`.
   */
  ready(what: string, options: GuardOptions): Promise<void>;
  /**
   * Does one exchange with the server: `ready`, then `work`, whose error is translated and told to
   * the breaker. Bounded by the options even when `work` ignores its signal.
   */
  guard<T>(
    what: string,
    options: GuardOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  /**
   * Takes part in closing; returns the function that ends that.
   *
   * @throws {JsflowError} `connection_closed` when the client is closing or closed.
   */
  own(resource: Resource): () => void;
  /** Tells those who listen to the client's events. Never throws. */
  emit(event: ClientEvent): void;
}

const cores = new WeakMap<object, ClientCore>();

/** Connects a client with its core; for the implementation of `Client` alone. */
export function registerCore(client: object, core: ClientCore): void {
  cores.set(client, core);
}

/**
 * Returns the core of a client.
 *
 * @throws {TypeError} when it was not made by `connect`, `createClient` or `fromConnection`.
 */
export function coreOf(client: object): ClientCore {
  const core = cores.get(client);
  if (core === undefined) {
    throw new TypeError(
      `a client made by connect or fromConnection is needed, got ${describe(client)}`,
    );
  }
  return core;
}
