import { inspect } from "node:util";
import { createTelemetry } from "../trace/create_telemetry.ts";
import { Core } from "./_client_core.ts";
import { closeConnection, flushConnection } from "./_close_connection.ts";
import { checkSecrets, type ConnectSettings, forgetSecrets } from "./_connect_settings.ts";
import { dial } from "./_dial.ts";
import { checkHealth, HealthWatch } from "./_health_checker.ts";
import { redactedOptions } from "./_redact.ts";
import { StartAttempt } from "./_start_attempt.ts";
import { MessagingMethods } from "./_messaging_methods.ts";
import { awaitConnection } from "./_wait_for_connection.ts";
import type { Breaker } from "./breaker.ts";
import {
  type CallBounds,
  type CallOptions,
  checkCall,
  checkWait,
  type WaitBounds,
} from "./call_options.ts";
import type {
  Client,
  ClientCloseOptions,
  CloseReport,
  ConnectionStatus,
  EventsOptions,
} from "./client.ts";
import type { ClientEvent, ClientEvents } from "./client_event.ts";
import { type Abandoned, registerCore } from "./core.ts";
import { untilAborted } from "./deadline.ts";
import type { EffectiveOptions } from "./effective_options.ts";
import { JsflowError } from "./errors.ts";
import type { Health } from "./health.ts";
import type { JetStreamClient, JetStreamManager, NatsConnection } from "./native.ts";
import { type ServerCapabilities, serverCapabilities } from "./server_capabilities.ts";
import { checkDurationMs, checkFunction, checkOptions, checkSignal } from "./validate.ts";

/** Whether closing the client closes the connection as well. */
export type Ownership = "borrowed" | "owned";

/** The one implementation of `Client`. */
export class NatsClient extends MessagingMethods implements Client {
  // Private fields behind getters: inspecting a client must not print the native options, which
  // hold credentials.
  readonly #settings: ConnectSettings;
  readonly #ownership: Ownership;
  readonly #core: Core;
  readonly #options: EffectiveOptions;
  readonly #breaker: Breaker;
  #server: ServerCapabilities | undefined;
  #starting: StartAttempt | undefined;
  #health: HealthWatch | undefined;
  #closing: Promise<CloseReport> | undefined;

  constructor(settings: ConnectSettings, ownership: Ownership) {
    const core = createCore(settings);
    super(core);
    this.#core = core;
    this.#settings = settings;
    this.#ownership = ownership;
    this.#options = redactedOptions(settings);
    const { circuit } = this.#core.gate;
    this.#breaker = readOnly(circuit);
    registerCore(this, this.#core);
  }

  get name(): string {
    return this.#settings.name;
  }

  get options(): EffectiveOptions {
    return this.#options;
  }

  get connection(): NatsConnection {
    return this.#core.connection;
  }

  get jetstream(): JetStreamClient {
    return this.#core.jetstream;
  }

  get server(): ServerCapabilities {
    const version = this.connection.info?.version ?? this.#server?.version ?? "";
    if (this.#server?.version !== version) this.#server = serverCapabilities(version);
    return this.#server!;
  }

  get maxPayloadBytes(): number {
    return this.#core.maxPayloadBytes;
  }

  get status(): ConnectionStatus {
    return this.#core.status;
  }

  get breaker(): Breaker {
    return this.#breaker;
  }

  /** Takes over a connection that is open. @throws {JsflowError} `server_too_old`. */
  async attach(connection: NatsConnection): Promise<void> {
    this.#server = serverCapabilities(connection.info?.version ?? "");
    await this.#core.attach(connection, () => this.#release());
    const { health, requestTimeoutMs } = this.#settings;
    if (health === undefined || this.#closing !== undefined) return;
    this.#health = new HealthWatch(this.#core, { ...health, timeoutMs: requestTimeoutMs });
  }

  async start(options?: WaitBounds): Promise<void> {
    const bounds = checkWait("start", options, this.#settings.timeoutMs);
    const signals = [bounds.signal, this.#settings.signal].filter((signal) => signal !== undefined);
    for (const signal of signals) signal.throwIfAborted();
    while (this.#starting?.isGivenUp) {
      await signals.reduce(untilAborted, this.#starting.ended); // its end is not ours
    }
    this.#requireOpen();
    await this.#attempt(bounds.timeoutMs).join(signals);
  }

  stop(options?: ClientCloseOptions): Promise<CloseReport> {
    return this.close(options);
  }

  async manager(options?: CallOptions): Promise<JetStreamManager> {
    const bounds = checkCall(this.#core, "manager", options);
    bounds.signal?.throwIfAborted();
    return await this.#core.manager(bounds);
  }

  async health(options?: WaitBounds): Promise<Health> {
    const bounds = checkWait("health", options, this.#settings.requestTimeoutMs);
    return await checkHealth(this.#core, bounds);
  }

  async waitForConnection(options?: WaitBounds): Promise<void> {
    const bounds = checkWait("waitForConnection", options, this.#settings.timeoutMs);
    await awaitConnection(this.#core, bounds);
  }

  onEvent(listener: (event: ClientEvent) => void): () => void {
    checkFunction("onEvent: listener", listener);
    return this.#core.hub.listen(listener);
  }

  events(options?: EventsOptions): ClientEvents {
    const { signal } = checkOptions<EventsOptions>("events", options, ["signal"]);
    return this.#core.hub.read(checkSignal("events: signal", signal));
  }

  close(options?: ClientCloseOptions): Promise<CloseReport> {
    if (this.#closing !== undefined) return this.#closing;
    try {
      const { graceMs = this.#settings.drainTimeoutMs, signal } = checkOptions<ClientCloseOptions>(
        "close",
        options,
        ["graceMs", "signal"],
      );
      checkDurationMs("close: graceMs", graceMs);
      checkSignal("close: signal", signal);
      this.#closing = this.#close(graceMs, signal);
      return this.#closing;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What `JSON.stringify` and `inspect` show. */
  toJSON(): Record<string, unknown> {
    const { name, status, options, breaker } = this;
    return { name, status, breaker: breaker.state, servers: options.servers };
  }

  static {
    // A computed member would need a declared type, which the symbol does not have.
    const show = function (this: NatsClient) {
      return { Client: this.toJSON() };
    };
    Object.defineProperty(NatsClient.prototype, inspect.custom, { value: show });
  }

  #requireOpen(): void {
    const { status } = this;
    if (status !== "closed" && status !== "draining") return;
    throw new JsflowError(
      "connection_closed",
      `cannot start the client: it is ${status}, which is final; make another one`,
    );
  }

  /** The attempt under way, or a new one. */
  #attempt(timeoutMs: number): StartAttempt {
    if (this.#starting !== undefined) return this.#starting;
    const attempt = this.#starting = new StartAttempt();
    attempt.run((signal) => this.#start({ signal, timeoutMs }));
    return attempt;
  }

  async #start(bounds: CallBounds): Promise<void> {
    if (this.status !== "disconnected") return; // a borrowed connection
    this.#core.step("start");
    try {
      checkSecrets(this.#settings);
      const connection = await dial(this.#settings, bounds);
      await this.#takeOver(connection);
    } catch (error) {
      this.#starting = undefined; // the next call tries again
      this.#core.failedToStart(error);
      throw error;
    }
  }

  /** Attaches a connection of its own, unless the client was closed meanwhile. */
  async #takeOver(connection: NatsConnection): Promise<void> {
    try {
      this.#requireOpen();
    } catch (error) {
      await connection.close();
      throw error;
    }
    await this.attach(connection);
  }

  async #close(graceMs: number, signal: AbortSignal | undefined): Promise<CloseReport> {
    const isStarting = this.status === "connecting";
    this.#core.beginDrain();
    if (isStarting) {
      await this.#starting?.cancel(
        new JsflowError("connection_closed", "cannot start the client: it was closed meanwhile"),
      );
    }
    const abandoned = await this.#drainResources(graceMs, signal);
    this.#core.endService();
    if (this.#core.hasConnection) await this.#closeConnection();
    await this.#release();
    await this.#core.end();
    return { abandoned };
  }

  async #drainResources(graceMs: number, signal: AbortSignal | undefined): Promise<Abandoned[]> {
    const deadline = new AbortController();
    const abort = () => deadline.abort();
    const timer = setTimeout(abort, graceMs);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    try {
      return await this.#core.drain(deadline.signal);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  async #closeConnection(): Promise<void> {
    const { connection, isLinked } = this.#core;
    const timeoutMs = this.#settings.drainTimeoutMs;
    const answers = isLinked && !connection.isDraining() &&
      await flushConnection(connection, { timeoutMs });
    if (this.#ownership === "borrowed") return;
    const drain = answers || connection.isDraining();
    await closeConnection(connection, { drain, timeoutMs });
  }

  /** Ends what the client itself keeps going, and drops the copies of its credentials. */
  async #release(): Promise<void> {
    await this.#health?.stop();
    forgetSecrets(this.#settings);
  }
}

/** Looking at the breaker must not give a way to operate it. */
function readOnly(breaker: Breaker): Breaker {
  return {
    get state() {
      return breaker.state;
    },
    get failures() {
      return breaker.failures;
    },
    get retryAfterMs() {
      return breaker.retryAfterMs;
    },
    get lastFailure() {
      return breaker.lastFailure;
    },
  };
}

function createCore(settings: ConnectSettings): Core {
  const [server] = settings.servers.addresses;
  const telemetry = createTelemetry(settings.telemetry, {
    clientName: settings.name,
    serverAddress: server?.host,
    serverPort: server?.port,
  });
  return new Core({ ...settings, telemetry });
}
