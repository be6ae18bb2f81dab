import { BREAKER_STATE_VALUES } from "../trace/metric_names.ts";
import { jetstream, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import type { Telemetry } from "../trace/telemetry.ts";
import { type Attempt, BreakerGate } from "./_breaker_gate.ts";
import type { CircuitSettings } from "./_circuit.ts";
import { EventHub } from "./_event_hub.ts";
import { type JetStreamFinding, probeJetStream } from "./_jetstream_probe.ts";
import { HastyWork } from "./_hasty_work.ts";
import { isUp, Link } from "./_link.ts";
import { logger } from "./_logger.ts";
import { type OfflineBounds, OfflineBuffer } from "./_offline_buffer.ts";
import { Resources } from "./_resources.ts";
import { MAX_UNCONFIRMED_BYTES, SendWindow } from "./_send_window.ts";
import { SharedManager } from "./_shared_manager.ts";
import type { CallOptions } from "./call_options.ts";
import type { ClientEvent } from "./client_event.ts";
import { NotConnectedError } from "./connection_errors.ts";
import { type ConnectionStatus, type ConnectionStep, nextStatus } from "./connection_status.ts";
import type { Abandoned, ClientCore, GuardOptions, Resource } from "./core.ts";
import { isReason, timeoutError, withDeadline } from "./deadline.ts";
import { JsflowError } from "./errors.ts";
import type { NatsConnection } from "./native.ts";
import { translateError } from "./translate_error.ts";

/** What servers take by default; until one has said what it takes. */
const MAX_PAYLOAD_BYTES = 1_048_576;
/** What may wait until the server has taken what was sent, unless the option offline says more. */
const WAITING_BOUNDS: OfflineBounds = { maxMessages: 65_536, maxBytes: 16 * 1024 * 1024 };
const ADVICE: Readonly<Record<ConnectionStatus, string>> = {
  closed: "the client is closed",
  connected: "the client is connected",
  connecting: "the client is connecting; wait with waitForConnection",
  disconnected: "the client is not started; call start first",
  draining: "the client is draining",
  reconnecting: "the connection is lost, and is being reopened; try again, wait with " +
    "waitForConnection, or let calls wait by the option offline",
};

/** What a core is made with. */
export interface CoreSettings {
  readonly requestTimeoutMs: number;
  readonly breaker: CircuitSettings | undefined;
  readonly offline: OfflineBounds | undefined;
  readonly telemetry: Telemetry;
}

/** The one implementation of `ClientCore`: the state of the connection, and who may use it when. */
export class Core implements ClientCore {
  readonly telemetry: Telemetry;
  readonly requestTimeoutMs: number;
  readonly gate: BreakerGate;
  readonly hub: EventHub = new EventHub();
  readonly resources: Resources = new Resources();
  /** Those that wait for the connection, or until it takes more. */
  readonly #line: OfflineBuffer;
  /** Whether operations wait for a connection that is lost. */
  readonly #isPatient: boolean;
  readonly #manager = new SharedManager();
  readonly #hasty = new HastyWork();
  #status: ConnectionStatus = "disconnected";
  #link: Link | undefined;
  #window: SendWindow | undefined;
  #jetstream: JetStreamClient | undefined;
  #isLinked = false;
  #isServing = false;
  #maxPayloadBytes = MAX_PAYLOAD_BYTES;
  #reconnects = 0;
  #ending: Promise<void> | undefined;
  /** What remained undone when the connection closed by itself. */
  #aborted: Promise<Abandoned[]> | undefined;
  #onEnd: () => Promise<void> = () => Promise.resolve();

  constructor(settings: CoreSettings) {
    this.telemetry = settings.telemetry;
    this.requestTimeoutMs = settings.requestTimeoutMs;
    this.#isPatient = settings.offline !== undefined;
    this.#line = new OfflineBuffer(
      settings.offline ?? WAITING_BOUNDS,
      () => this.#window?.isFull !== true,
    );
    this.gate = new BreakerGate(settings.breaker, {
      findJetStream: (timeoutMs) => this.findJetStream(timeoutMs),
      flush: () => this.connection.flush(),
      isLinked: () => this.#isLinked && isUp(this.connection),
      emit: (event) => this.emit(event),
    });
    const { circuit } = this.gate;
    this.telemetry.gauge("breakerState", () => BREAKER_STATE_VALUES[circuit.state]);
  }

  get connection(): NatsConnection {
    return this.#requireLink("use the connection").connection;
  }

  get jetstream(): JetStreamClient {
    this.#requireLink("use JetStream");
    return this.#jetstream!;
  }

  get maxPayloadBytes(): number {
    this.#maxPayloadBytes = this.#link?.connection.info?.max_payload ?? this.#maxPayloadBytes;
    return this.#maxPayloadBytes;
  }

  /** Whether the server answered last; also while draining. */
  get isLinked(): boolean {
    return this.#isLinked;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  get status(): ConnectionStatus {
    if (this.#status !== "connected" && this.#status !== "reconnecting") return this.#status;
    const connection = this.#link?.connection;
    if (connection?.isClosed()) return "closed"; // the event is about to come
    return connection?.isDraining() ? "draining" : this.#status;
  }

  /** Whether there is, or was, a connection to close. */
  get hasConnection(): boolean {
    return this.#link !== undefined;
  }

  /** Takes a connection over; `onEnd` is told when it closes by itself. */
  async attach(connection: NatsConnection, onEnd: () => Promise<void>): Promise<void> {
    this.#onEnd = onEnd;
    this.#jetstream = jetstream(connection);
    this.#isLinked = true;
    this.#window = new SendWindow(connection, () => this.#isLinked && this.#line.open());
    this.#link = new Link(connection, {
      lost: (server) => this.#lost(server),
      attemptFailed: () => this.#attemptFailed(),
      back: (server) => this.#back(server),
      failed: (error) => this.emit({ type: "error", error }),
      warned: (what, server) => this.emit({ type: "server", what, server }),
      closed: (cause) => this.#closedByItself(cause),
    });
    await this.gate.circuit.connectionBack();
    this.step("succeed");
    if (this.#status === "connected") this.#line.open();
  }

  /** Moves the state of the connection on, and tells. */
  step(step: ConnectionStep): void {
    const previous = this.#status;
    const status = nextStatus(previous, step);
    if (status === previous) return;
    this.#status = status;
    logger.info("The connection is {status}", { status, previous });
    this.emit({ type: "status", status, previous });
  }

  emit(event: ClientEvent): void {
    this.hub.emit(event);
  }

  own(resource: Resource): () => void {
    const error = this.#endError("add work to the client");
    if (error !== undefined) throw error;
    return this.resources.add(resource);
  }

  get isClear(): boolean {
    if (this.status !== "connected" || !isUp(this.#link!.connection)) return false;
    return !this.#line.isBusy && !this.#window!.isFull && this.gate.circuit.state === "closed";
  }

  checkLink(what: string): void {
    const refusal = this.#refusal(what);
    if (refusal !== undefined) throw refusal;
  }

  check(what: string, options?: Pick<CallOptions, "bypassBreaker">): void {
    this.checkLink(what);
    if (this.#line.isBusy) {
      throw new NotConnectedError(what, "others that waited for the connection go first");
    }
    if (this.#window?.isFull === true && this.status === "connected") throw fullError(what);
    if (options?.bypassBreaker !== true) this.gate.check(what);
  }

  async ready(what: string, options: GuardOptions): Promise<void> {
    const startedAt = performance.now();
    options.signal?.throwIfAborted();
    let bounds = options;
    do {
      const waiting = this.#awaitTurn(what, bounds);
      if (waiting !== undefined) await waiting;
      await this.gate.admit(what, waiting === undefined ? bounds : rest(options, startedAt));
      bounds = rest(options, startedAt);
    } while (this.#refusal(what) !== undefined); // the connection may be lost meanwhile
  }

  async guard<T>(
    what: string,
    options: GuardOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    options.signal?.throwIfAborted();
    let bounds = options;
    while (true) {
      const waiting = this.#awaitTurn(what, bounds);
      if (waiting !== undefined) await waiting;
      if (waiting !== undefined) bounds = rest(options, startedAt);
      let refusal: Error | undefined;
      const attempt: Attempt<T> = (onStart) => {
        refusal = this.#refusal(what); // the breaker may have held it up
        if (refusal !== undefined) return Promise.reject(refusal);
        return this.#run(what, bounds, (signal) => {
          onStart(signal);
          return work(signal);
        });
      };
      try {
        return await this.gate.pass(what, bounds, attempt);
      } catch (error) {
        if (refusal === undefined || error !== refusal) throw error;
      }
      bounds = rest(options, startedAt);
    }
  }

  manager(options: CallOptions = {}): Promise<JetStreamManager> {
    const { confirmed } = this.#manager;
    if (confirmed !== undefined && this.#endError("") === undefined) return confirmed;
    const { timeoutMs = this.requestTimeoutMs } = options;
    const bounds = { ...options, timeoutMs, jetstream: true };
    return this.guard("reach JetStream", bounds, () => this.#manager.get(this.connection));
  }

  /** Asks JetStream as a whole. */
  async findJetStream(timeoutMs: number): Promise<JetStreamFinding> {
    return await probeJetStream(this.connection, timeoutMs);
  }

  /** From here on only what is owned may use the connection. */
  beginDrain(): void {
    this.#isServing = this.resources.size > 0;
    this.step("drain");
    this.#line.fail((what) => this.#endError(what) ?? closedError(what, "closed"));
    if (this.#aborted === undefined) this.resources.stop();
  }

  /** Ends what is owned; what is left when the signal aborts is told. */
  drain(signal: AbortSignal): Promise<Abandoned[]> {
    return this.#aborted ?? this.resources.drain(signal);
  }

  /** From here on nobody may use the connection. */
  endService(): void {
    this.#isServing = false;
  }

  /** An attempt to connect has failed; another one may follow. */
  failedToStart(error: unknown): void {
    if (error instanceof JsflowError && this.#status === "connecting") this.gate.failed(error);
    this.step("fail");
    this.#line.fail((what) => new NotConnectedError(what, "the client could not be started"));
  }

  /** Ends all that is left behind; the last thing that a core does. */
  async end(): Promise<void> {
    await this.#link?.detach();
    await this.#ending;
    await this.gate.settle();
    this.#finish();
  }

  #finish(cause?: Error): void {
    if (this.#status === "closed") return;
    this.step("close");
    this.telemetry.close();
    this.emit(cause === undefined ? { type: "closed" } : { type: "closed", cause });
    this.hub.end();
  }

  #closedByItself(cause: Error | undefined): void {
    if (this.#status === "draining" || this.#status === "closed") return;
    this.#isLinked = false;
    this.resources.stop();
    this.#finish(cause ?? closedError("use the connection", "closed underneath"));
    this.#line.fail((what) => closedError(what, "closed"));
    // Handlers have nobody left to answer to.
    this.#aborted = this.resources.drain(AbortSignal.abort());
    this.#ending = Promise.all([this.#onEnd(), this.#aborted]).then(() => {});
  }

  #lost(server: string): void {
    if (!this.#isLinked) return;
    this.#isLinked = false;
    this.#line.shut();
    this.#window?.reset();
    logger.warn("The connection to {server} is lost", { server });
    this.step("lose");
    const error = new JsflowError(
      "connection_closed",
      `cannot keep the connection to ${server}: it was lost; it is reopened unless that is off`,
    );
    this.gate.lost(error);
    if (this.#isPatient) return;
    this.#hasty.giveUp();
    this.#line.fail((what) => new NotConnectedError(what, ADVICE.reconnecting));
  }

  #attemptFailed(): void {
    const error = new JsflowError(
      "connection_refused",
      "cannot reopen the connection: an attempt has failed; it goes on by itself",
    );
    this.gate.fault(error);
  }

  async #back(server: string): Promise<void> {
    this.#reconnects++;
    this.telemetry.count("reconnects");
    logger.info("The connection is back, to {server}", { server });
    await this.gate.circuit.connectionBack();
    this.#isLinked = true;
    this.step("succeed");
    if (this.#status === "connected") this.#line.open();
  }

  #requireLink(what: string): Link {
    if (this.#link !== undefined) return this.#link;
    throw this.#endError(what) ?? new NotConnectedError(what, "the client is not started");
  }

  /** Why nothing may begin any more, if so. */
  #endError(what: string): Error | undefined {
    const { status } = this;
    return status === "closed" || status === "draining" ? closedError(what, status) : undefined;
  }

  /** Why nothing can be sent now, if so. */
  #refusal(what: string): Error | undefined {
    const { status } = this;
    if (status === "connected" || (this.#isServing && this.#isLinked)) {
      if (isUp(this.#link!.connection)) return undefined;
      return new NotConnectedError(what, ADVICE.reconnecting); // the event is about to come
    }
    return this.#endError(what) ?? new NotConnectedError(what, ADVICE[status]);
  }

  /** Resolves when it is this one's turn; undefined when it is at once. */
  #awaitTurn(what: string, options: GuardOptions): Promise<void> | undefined {
    const refusal = this.#refusal(what);
    if (refusal === undefined && !this.#line.isBusy && !this.#window?.isFull) return undefined;
    const { status } = this;
    const mayWait = status !== "closed" && status !== "draining" && status !== "disconnected" &&
      (refusal === undefined || this.#isPatient);
    if (mayWait) return this.#line.wait(what, options);
    return refusal && Promise.reject(refusal);
  }

  /** Does the work within its bounds, and within the life of the connection when it is hasty. */
  async #run<T>(
    what: string,
    options: GuardOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { signal, timeoutMs } = options;
    const isHasty = options.failOnDisconnect === true && !this.#isPatient;
    const bounds = { signal, timeoutMs, onTimeout: () => timeoutError(what, timeoutMs) };
    try {
      return await (isHasty ? this.#hasty.run(what, bounds, work) : withDeadline(bounds, work));
    } catch (error) {
      if (isReason(error, signal)) throw error;
      throw translateError(error, what);
    }
  }
}

/** The bounds of what is left to do. */
function rest(options: GuardOptions, startedAt: number): GuardOptions {
  const timeoutMs = Math.max(1, options.timeoutMs - (performance.now() - startedAt));
  return { ...options, timeoutMs };
}

function closedError(what: string, status: string): JsflowError {
  return new JsflowError(
    "connection_closed",
    `cannot ${what}: the client is ${status}; connect again`,
  );
}

function fullError(what: string): JsflowError {
  return new JsflowError(
    "buffer_full",
    `cannot ${what}: the server has not taken the last ${MAX_UNCONFIRMED_BYTES} bytes yet; slow ` +
      "down, and await each call",
  );
}
