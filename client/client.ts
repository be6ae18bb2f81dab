import type { JetStreamClient, JetStreamManager, NatsConnection } from "./native.ts";
import type { ServerCapabilities } from "./server_capabilities.ts";

/**
 * The state of a client's connection.
 *
 * `connected` and `reconnecting` alternate while the client lives; `draining` and then `closed` are
 * final.
 */
export type ConnectionStatus = "connected" | "reconnecting" | "draining" | "closed";

/** How long {@link Client.manager} waits. */
export interface ManagerOptions {
  /** Gives up with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Gives up after this many milliseconds. @default 5000 */
  readonly timeoutMs?: number | undefined;
}

/**
 * A connection to NATS, and what all of jsflow needs to know about it.
 *
 * Made by `connect`, which owns the connection, or `fromConnection`, which borrows it. The native
 * objects are there for everything that jsflow does not wrap.
 */
export interface Client extends AsyncDisposable {
  /** The native connection. */
  readonly connection: NatsConnection;
  /** The native JetStream client; making it does no I/O. */
  readonly jetstream: JetStreamClient;
  /**
   * What the connected server can do; follows the server across reconnects.
   *
   * @throws {JsflowError} `server_too_old` once reconnected to a server below 2.9.
   */
  readonly server: ServerCapabilities;
  /** The largest message, headers included, that the server takes, in bytes. */
  readonly maxPayloadBytes: number;
  /** The state of the connection now. */
  readonly status: ConnectionStatus;
  /**
   * Returns the native JetStream manager, once JetStream is known to be on.
   *
   * The first call asks the server; later ones return the same manager without I/O. Calls at the
   * same time share one request, and each has its own signal and deadline.
   *
   * @throws {JsflowError} `jetstream_disabled` when it is off, `jetstream_unavailable` when it is on
   * but does not answer now, `permission_denied`, `timeout`, or `connection_closed`.
   * @throws the signal's reason when it aborts.
   */
  manager(options?: ManagerOptions): Promise<JetStreamManager>;
  /**
   * Lets messages under way finish, then closes the connection.
   *
   * A borrowed connection stays open. Calls are idempotent and joined: every one resolves when the
   * first has done its work. Draining is given 5 seconds; a connection that is lost at the time is
   * closed at once.
   */
  close(): Promise<void>;
}
