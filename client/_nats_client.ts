import {
  jetstream,
  type JetStreamClient,
  type JetStreamManager,
  jetstreamManager,
} from "@nats-io/jetstream";
import type { NatsConnection, Status } from "@nats-io/nats-core";
import type { Client, ConnectionStatus, ManagerOptions } from "./client.ts";
import { timeoutError, withDeadline } from "./deadline.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import { type ServerCapabilities, serverCapabilities } from "./server_capabilities.ts";
import { translateError } from "./translate_error.ts";
import { checkDurationMs, checkOptions, checkSignal } from "./validate.ts";

const DRAIN_TIMEOUT_MS = 5_000;
const MANAGER_TIMEOUT_MS = 5_000;

/** Whether closing the client closes the connection as well. */
export type Ownership = "owned" | "borrowed";

/**
 * The one implementation of `Client`.
 *
 * @throws {JsflowError} `connection_closed`, `not_connected` or `server_too_old`.
 */
export class NatsClient implements Client {
  // Private fields behind getters: inspecting a client must not print the native options, which
  // hold credentials.
  readonly #connection: NatsConnection;
  readonly #jetstream: JetStreamClient;
  readonly #ownership: Ownership;
  readonly #events: AsyncIterable<Status>;
  readonly #watching: Promise<void>;
  #server: ServerCapabilities;
  #maxPayloadBytes: number;
  #linked = true;
  #manager: Promise<JetStreamManager> | undefined;
  #closing: Promise<void> | undefined;
  #released = false;

  constructor(connection: NatsConnection, ownership: Ownership) {
    const info = serverInfo(connection);
    this.#server = serverCapabilities(info.version);
    this.#maxPayloadBytes = info.max_payload;
    this.#connection = connection;
    this.#jetstream = jetstream(connection);
    this.#ownership = ownership;
    this.#events = connection.status();
    this.#watching = this.#watch();
  }

  get connection(): NatsConnection {
    return this.#connection;
  }

  get jetstream(): JetStreamClient {
    return this.#jetstream;
  }

  get server(): ServerCapabilities {
    const version = this.connection.info?.version ?? this.#server.version;
    if (version !== this.#server.version) this.#server = serverCapabilities(version);
    return this.#server;
  }

  get maxPayloadBytes(): number {
    this.#maxPayloadBytes = this.connection.info?.max_payload ?? this.#maxPayloadBytes;
    return this.#maxPayloadBytes;
  }

  get status(): ConnectionStatus {
    if (this.#released || this.connection.isClosed()) return "closed";
    if (this.#closing !== undefined || this.connection.isDraining()) return "draining";
    return this.#linked ? "connected" : "reconnecting";
  }

  async manager(options?: ManagerOptions): Promise<JetStreamManager> {
    const { signal, timeoutMs = MANAGER_TIMEOUT_MS } = checkOptions("manager", options, [
      "signal",
      "timeoutMs",
    ]);
    checkSignal("manager: signal", signal);
    checkDurationMs("manager: timeoutMs", timeoutMs, { min: 1 });
    signal?.throwIfAborted();
    this.#requireOpen();
    const onTimeout = () => timeoutError("reach JetStream", timeoutMs);
    return await withDeadline({ signal, timeoutMs, onTimeout }, () => this.#sharedManager());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #requireOpen(): void {
    const { status } = this;
    if (status !== "closed" && status !== "draining") return;
    throw new JsflowError(
      "connection_closed",
      `cannot reach JetStream: the client is ${status}; connect again`,
    );
  }

  #sharedManager(): Promise<JetStreamManager> {
    this.#manager ??= this.#confirmManager();
    return this.#manager;
  }

  async #confirmManager(): Promise<JetStreamManager> {
    try {
      return await jetstreamManager(this.connection, { timeout: MANAGER_TIMEOUT_MS });
    } catch (error) {
      this.#manager = undefined; // the next call asks again
      throw this.#explain(translateError(error, "reach JetStream"));
    }
  }

  /** No responders at all means "off" unless the server says that its JetStream is on. */
  #explain(error: Error): Error {
    if (!isJsflowError(error, "jetstream_unavailable")) return error;
    if (this.connection.info === undefined || this.connection.info.jetstream) return error;
    return new JsflowError(
      "jetstream_disabled",
      "cannot reach JetStream: it is switched off on the server; start nats-server with -js, or " +
        "put a jetstream block into its configuration",
      { cause: error.cause },
    );
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.#events) {
      if (type === "reconnect") this.#linked = true;
      else if (type === "disconnect" || type === "reconnecting") this.#linked = false;
    }
  }

  async #close(): Promise<void> {
    try {
      if (this.#ownership === "owned") await closeConnection(this.connection, this.#linked);
    } finally {
      // A loop that is blocked on the iterator ends only when the iterator itself is stopped.
      (this.#events as Partial<{ stop(): void }>).stop?.();
      await this.#watching;
      this.#released = true;
    }
  }
}

function serverInfo(connection: NatsConnection): { version: string; max_payload: number } {
  if (connection.isClosed() || connection.isDraining()) {
    throw new JsflowError(
      "connection_closed",
      "cannot use the connection: it is closed or draining; open another one",
    );
  }
  if (connection.info === undefined) {
    throw new JsflowError(
      "not_connected",
      "cannot use the connection: it is reconnecting; wait until it is back",
    );
  }
  return connection.info;
}

async function closeConnection(connection: NatsConnection, linked: boolean): Promise<void> {
  if (linked && !connection.isClosed()) await drain(connection);
  await connection.close();
  discardDial(connection);
}

/** Drains as far as the server answers; what goes wrong here leaves closing as it is. */
async function drain(connection: NatsConnection): Promise<void> {
  const onTimeout = () => timeoutError("drain the connection", DRAIN_TIMEOUT_MS);
  const draining = () =>
    connection.isDraining() ? connection.closed() : Promise.race([
      connection.drain(),
      connection.closed(),
    ]);
  await withDeadline({ timeoutMs: DRAIN_TIMEOUT_MS, onTimeout }, draining).catch(() => {});
}

/**
 * Ends a dial that was under way when the connection closed.
 *
 * The native client forgets that socket: towards a peer that stays silent it would keep the
 * process alive for good.
 */
function discardDial(connection: NatsConnection): void {
  const { protocol } = connection as { protocol?: { transport?: { discard?: () => void } } };
  protocol?.transport?.discard?.();
}
