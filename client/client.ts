import type { Breaker } from "./breaker.ts";
import type { CallOptions, WaitBounds } from "./call_options.ts";
import type { ClientEvent, ClientEvents } from "./client_event.ts";
import type { ConnectionStatus } from "./connection_status.ts";
import type { Abandoned } from "./core.ts";
import type { EffectiveOptions } from "./effective_options.ts";
import type { Health } from "./health.ts";
import type { Messaging } from "./messaging.ts";
import type { JetStreamClient, JetStreamManager, NatsConnection } from "./native.ts";
import type { StreamMessaging } from "./stream_messaging.ts";
import type { ServerCapabilities } from "./server_capabilities.ts";

export type { ConnectionStatus } from "./connection_status.ts";

/** How {@link Client.close} ends what is under way. */
export interface ClientCloseOptions {
  /**
   * How long handlers may take to finish, in milliseconds; then their signals abort.
   *
   * @default the client's drainTimeoutMs
   */
  readonly graceMs?: number | undefined;
  /** Ends the grace at once when it aborts; closing itself goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** What {@link Client.close} has to report. */
export interface CloseReport {
  /** What did not finish within the grace; empty when all went well. */
  readonly abandoned: readonly Abandoned[];
}

/** How {@link Client.events} reads. */
export interface EventsOptions {
  /** Ends the reading with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A connection to NATS, and what all of jsflow needs to know about it.
 *
 * Made by `connect` or `createClient`, which own the connection, or `fromConnection`, which
 * borrows it. The native objects are there for everything that jsflow does not wrap. Inspecting a
 * client, or turning it into JSON, shows no secret.
 */
export interface Client extends AsyncDisposable, Messaging, StreamMessaging {
  /** How the connection is called in the server's monitoring. */
  readonly name: string;
  /**
   * The options that the client works with, without secrets. Of a borrowed connection, what
   * concerns the connection itself is the default here, whatever the connection was opened with.
   */
  readonly options: EffectiveOptions;
  /**
   * The native connection.
   *
   * @throws {NotConnectedError} before the client was started.
   */
  readonly connection: NatsConnection;
  /**
   * The native JetStream client; making it does no I/O.
   *
   * @throws {NotConnectedError} before the client was started.
   */
  readonly jetstream: JetStreamClient;
  /**
   * What the connected server can do; follows the server across reconnects.
   *
   * @throws {NotConnectedError} before the client was started.
   * @throws {JsflowError} `server_too_old` once reconnected to a server below 2.9.
   */
  readonly server: ServerCapabilities;
  /** The largest message, headers included, that the server takes, in bytes. */
  readonly maxPayloadBytes: number;
  /** The state of the connection now. */
  readonly status: ConnectionStatus;
  /** The breaker, to look at. */
  readonly breaker: Breaker;
  /**
   * Connects.
   *
   * Calls at the same time share one attempt, which the first one's options bound, and each has its
   * own signal. Without a `timeoutMs` of its own it takes as long as the client's `timeoutMs` says.
   * Does nothing when the client is started already. After a failure it may be called again.
   *
   * @throws {JsflowError} as `connect`; `connection_closed` when the client is closed: make another.
   * @throws the signal's reason when it aborts.
   */
  start(options?: WaitBounds): Promise<void>;
  /** The same as {@link close}, under the name that containers look for. */
  stop(options?: ClientCloseOptions): Promise<CloseReport>;
  /**
   * Returns the native JetStream manager, once JetStream is known to be on.
   *
   * The first call asks the server; later ones return the same manager without I/O. Calls at the
   * same time share one request, and each has its own signal and deadline.
   *
   * @throws {JsflowError} `jetstream_disabled` when it is off, `jetstream_unavailable` when it is on
   * but does not answer now, `permission_denied`, `timeout`, `not_connected`, `circuit_open` or
   * `connection_closed`.
   * @throws the signal's reason when it aborts.
   */
  manager(options?: CallOptions): Promise<JetStreamManager>;
  /**
   * Asks the server and JetStream how they are, whatever the breaker says.
   *
   * An unhealthy server is an answer and no error: `ok` is false. So is one that does not answer
   * within `timeoutMs`.
   *
   * @throws the signal's reason when it aborts.
   */
  health(options?: WaitBounds): Promise<Health>;
  /**
   * Resolves as soon as the client is connected; at once when it is. Does not start it. Without a
   * `timeoutMs` of its own it waits as long as the client's `timeoutMs` says.
   *
   * @throws {ConnectionTimeoutError} when it took too long.
   * @throws {JsflowError} `connection_closed` when the client is, or gets, closed.
   * @throws the signal's reason when it aborts.
   */
  waitForConnection(options?: WaitBounds): Promise<void>;
  /**
   * Calls a function at each event; returns the function that ends that.
   *
   * Listeners are called in the order of the events and must be quick. One that throws is logged,
   * and harms nobody.
   */
  onEvent(listener: (event: ClientEvent) => void): () => void;
  /**
   * Events one after another, from this call on, until the client is closed or the reader stops.
   *
   * Up to 1000 events wait for a slow reader; then the oldest are dropped and counted. What is
   * returned must be read, or its signal aborted: it is kept until the client closes.
   */
  events(options?: EventsOptions): ClientEvents;
  /**
   * Lets work under way finish, then closes the connection.
   *
   * Consumers stop pulling, handlers finish or are aborted at the end of the grace, acks are sent,
   * then the connection goes. A borrowed connection stays open. Calls are idempotent and joined:
   * every one resolves with the report of the first. Copies of credentials are dropped. A connection
   * that is lost at the time is closed at once.
   */
  close(options?: ClientCloseOptions): Promise<CloseReport>;
}
