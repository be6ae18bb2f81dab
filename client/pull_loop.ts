import type { JetStreamClient } from "@nats-io/jetstream";
import { errors, type Msg, type NatsConnection } from "@nats-io/nats-core";
import { readConflict } from "./_conflict.ts";
import { newInbox } from "./_new_inbox.ts";
import { parseLimit, type RequestLimit } from "./_pull_limits.ts";
import { PullRequest } from "./_pull_request.ts";
import { parseDelivery, type StreamDelivery } from "./delivery.ts";

/** Why a pull loop asks its owner to look at the consumer. */
export type PullTrouble =
  /** The consumer or its stream was deleted. */
  | "consumer_gone"
  /** The server has not been heard for two heartbeats. */
  | "silent"
  /** The server refused a request. */
  | "refused";

/** How a pull loop works. */
export interface PullLoopOptions {
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly stream: string;
  readonly consumer: string;
  /** Most messages that are asked for or held at any time. */
  readonly capacity: number;
  /** Milliseconds that one request waits at the server; it outlives a frozen process by no more. */
  readonly expiresMs: number;
  /**
   * Milliseconds between two heartbeats of the server; at most half of `expiresMs`. Two that are
   * missed are silence. @default a third of `expiresMs`, and silence after three
   */
  readonly heartbeatMs?: number | undefined;
  /** Most bytes that are asked for or held at any time. @default no bound */
  readonly maxBytes?: number | undefined;
  /** Takes a message, which is held until `release` is called. Must not throw. */
  readonly onMessage: (delivery: StreamDelivery) => void;
  /** Told why the server ended one request, where others go on: a new leader, a shutdown. */
  readonly onNotice?: ((description: string) => void) | undefined;
  /** Called once after each `start`, when the server is first heard to serve the consumer. */
  readonly onServed?: (() => void) | undefined;
  /** Called at most once between two calls of `start`; the loop rests until then. */
  readonly onTrouble: (trouble: PullTrouble, detail: string) => void;
}

/** Most requests that are open at once, where the consumer's own limit makes them small. */
const MAX_REQUESTS = 16;

/**
 * Keeps pull requests open at a consumer, so that at most `capacity` messages are asked for
 * or held by this process.
 *
 * A request counts until the server has ended it, or until nothing of it can be on its way any more:
 * what our own clock says of it is no proof. Requests are renewed in batches as messages are
 * released. Deletion of the consumer and silence of the server are reported, never retried here: the
 * owner checks the consumer and starts again. Limits of the consumer for single requests are learned
 * from its refusals, and kept to.
 */
export class PullLoop {
  readonly #options: PullLoopOptions;
  readonly #subject: string;
  readonly #beatMs: number;
  readonly #checkMs: number;
  /** Those that may still bring something: open at the server, or leaving. */
  readonly #requests = new Set<PullRequest>();
  /** Delivered, not yet released. */
  #held = 0;
  #heldBytes = 0;
  /** What waits next is larger than the room that is left: only a release changes that. */
  #starved = false;
  #served = false;
  #lastHeard = 0;
  #lastCheck = 0;
  readonly #limits: Record<RequestLimit, number> = {
    batch: Infinity,
    bytes: Infinity,
    expiresMs: Infinity,
  };
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: PullLoopOptions) {
    this.#options = options;
    const { jetstream, stream, consumer, expiresMs } = options;
    this.#subject = `${jetstream.apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#beatMs = options.heartbeatMs ?? defaultHeartbeatMs(expiresMs);
    this.#checkMs = Math.max(10, this.#beatMs / 4);
  }

  /** Whether it is pulling. */
  get isRunning(): boolean {
    return this.#watch !== undefined;
  }

  /** When the server was last heard, by the monotonic clock in milliseconds. */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /**
   * Begins to pull, or begins anew after trouble or a reconnect. Throws when the connection is closed
   * or drains.
   */
  start(): void {
    this.#rest();
    const { connection } = this.#options;
    if (connection.isClosed()) throw new errors.ClosedConnectionError();
    if (connection.isDraining()) throw new errors.DrainingConnectionError();
    this.#starved = this.#served = false;
    this.#lastHeard = this.#lastCheck = performance.now();
    this.#watch = setInterval(() => this.#check(), this.#checkMs);
    this.#pull();
  }

  /** Stops asking; messages already on their way come back after the consumer's ack wait. */
  stop(): void {
    this.#unwatch();
    for (const request of this.#requests) if (!request.isLeaving) this.#end(request);
  }

  /** Stops asking, and hands over the messages that are already on their way. Never rejects. */
  async drain(): Promise<void> {
    this.#unwatch();
    await Promise.all(Array.from(this.#requests, (request) => this.#leave(request)));
  }

  /** A message that was held has been settled; `bytes` is the size of its data. */
  release(bytes = 0): void {
    this.#held--;
    this.#heldBytes -= bytes;
    this.#starved = false;
    this.#pull();
  }

  /** Asked for, not yet delivered. */
  get #wanted(): number {
    let sum = 0;
    for (const { left } of this.#requests) sum += left;
    return sum;
  }

  /** Asks for what fits, once a quarter of the capacity is free or nothing is asked for. */
  #pull(): void {
    if (!this.isRunning) return;
    const { capacity, connection, maxBytes } = this.#options;
    const wanted = this.#wanted;
    const free = capacity - wanted - this.#held;
    if (free <= 0 || (wanted > 0 && free < Math.min(capacity / 4, this.#limits.batch))) return;
    // What one request brings in bytes is known when it ends: with a bound there is one at a time.
    if (maxBytes !== undefined && !this.#fits(maxBytes)) return;
    if (connection.isClosed()) return;
    const bytes = maxBytes === undefined
      ? undefined
      : Math.min(maxBytes - this.#heldBytes, this.#limits.bytes);
    this.#askFor(free, bytes);
  }

  /** With a bound in bytes in one request, else in as many as the consumer's limit takes. */
  #askFor(count: number, bytes: number | undefined): void {
    const { batch } = this.#limits;
    if (bytes !== undefined || batch === Infinity) return this.#ask(Math.min(count, batch), bytes);
    let left = Math.min(count, batch * MAX_REQUESTS - this.#wanted);
    for (; left > 0; left -= batch) this.#ask(Math.min(left, batch), undefined);
  }

  #fits(maxBytes: number): boolean {
    if (this.#wanted > 0 || this.#starved) return false;
    return this.#held === 0 || this.#heldBytes <= maxBytes / 2;
  }

  #ask(batch: number, bytes: number | undefined): void {
    const { connection } = this.#options;
    const options = {
      connection,
      subject: this.#subject,
      inbox: newInbox(connection),
      asked: { batch, bytes: bytes ?? 0, expiresMs: this.#expiresMs },
      heartbeatMs: this.#requestBeatMs,
      onAnswer: (request: PullRequest, message: Msg) => this.#receive(request, message),
      onError: (request: PullRequest, error: Error) => this.#refuse(request, error),
    };
    try {
      this.#requests.add(new PullRequest(options));
    } catch {
      // The connection drains or has just been closed: its end is told to the owner elsewhere.
    }
  }

  get #expiresMs(): number {
    return Math.min(this.#options.expiresMs, this.#limits.expiresMs);
  }

  /** The server refuses heartbeats that come less than twice in a request's life. */
  get #requestBeatMs(): number {
    return Math.min(this.#beatMs, this.#expiresMs / 2);
  }

  /** Nothing can come of it any more. */
  #end(request: PullRequest): void {
    request.end();
    this.#requests.delete(request);
  }

  /** What it may still bring counts until it has left. */
  async #leave(request: PullRequest): Promise<void> {
    await request.leave();
    this.#requests.delete(request);
    this.#lastHeard = performance.now(); // it takes an answer of the server to leave
    this.#pull();
  }

  /** Some servers drop a request without a word, and words get lost. */
  #dismissOverdue(now: number): void {
    // Early enough that a request which ended without a word does not pass for silence.
    const slackMs = this.#options.heartbeatMs === undefined ? this.#beatMs : this.#beatMs / 2;
    for (const request of this.#requests) {
      if (!request.isLeaving && request.isOverdue(now, slackMs)) void this.#leave(request);
    }
  }

  #receive(request: PullRequest, message: Msg): void {
    const isCurrent = this.isRunning && !request.isLeaving;
    request.lastHeard = performance.now();
    if (isCurrent) this.#lastHeard = request.lastHeard;
    if (request.isStatus(message)) this.#receiveStatus(request, message, isCurrent);
    else this.#deliver(request, message, isCurrent);
  }

  #deliver(request: PullRequest, message: Msg, isCurrent: boolean): void {
    if (--request.left <= 0) this.#end(request);
    if (isCurrent) this.#serve();
    const delivery = parseDelivery(this.#options.connection, message);
    if (delivery) {
      this.#held++;
      this.#heldBytes += message.data.length;
      this.#options.onMessage(delivery);
    }
    this.#pull(); // the last one asked for may leave room
  }

  #serve(): void {
    if (this.#served) return;
    this.#served = true;
    this.#options.onServed?.();
  }

  #receiveStatus(request: PullRequest, message: Msg, isCurrent: boolean): void {
    const code = message.headers?.code ?? 0;
    if (code !== HEARTBEAT) this.#end(request);
    else if (isCurrent) this.#serve();
    if (code === HEARTBEAT || !isCurrent) return;
    const description = message.headers?.description ?? "";
    if (code === NO_RESPONDERS) return this.#trouble("consumer_gone", "no responders");
    if (code === BAD_REQUEST) return this.#trouble("refused", description);
    if (code === CONFLICT) {
      const conflict = readConflict(description);
      if (conflict === "limit") return this.#learn(request, description);
      if (conflict === "gone" || conflict === "completed") {
        return this.#trouble("consumer_gone", description);
      }
      this.#options.onNotice?.(description);
      if (conflict === "full") return; // asked again when it is next checked
      if (conflict === "too_large" && this.#isStuck(description)) return;
    }
    this.#pull();
  }

  #refuse(request: PullRequest, error: Error): void {
    const isCurrent = this.isRunning && !request.isLeaving;
    this.#end(request);
    if (isCurrent) this.#trouble("refused", error.message);
  }

  /** A request went beyond the consumer's limits; the next one will not. */
  #learn({ asked }: PullRequest, description: string): void {
    const limit = parseLimit(description);
    // Without progress it would be asked for ever.
    if (limit === undefined || asked[limit.of] <= limit.value) {
      return this.#trouble("refused", description);
    }
    this.#limits[limit.of] = limit.value;
    this.#pull();
  }

  /** A message larger than the room that is left waits for a release, or would for ever. */
  #isStuck(description: string): boolean {
    if (this.#options.maxBytes === undefined) return false;
    this.#starved = true;
    if (this.#held === 0) this.#trouble("refused", description);
    return true;
  }

  #check(): void {
    const now = performance.now();
    const isLate = this.#options.heartbeatMs !== undefined &&
      now - this.#lastCheck > this.#checkMs + this.#beatMs;
    this.#lastCheck = now;
    const silentMs = now - this.#lastHeard;
    // After this process was busy or frozen, what the server sent meanwhile is read first.
    if (this.#wanted === 0 || isLate) this.#lastHeard = now;
    else if (silentMs > this.#silenceMs) {
      return this.#trouble("silent", `nothing heard for ${Math.round(silentMs)} ms`);
    }
    this.#dismissOverdue(now);
    this.#pull();
  }

  get #silenceMs(): number {
    return this.#beatMs * (this.#options.heartbeatMs === undefined ? 3 : 2);
  }

  /** As `stop`; but a server that was only slow may have sent messages, which are taken. */
  #rest(): void {
    if (this.#options.heartbeatMs === undefined) return this.stop();
    void this.drain();
  }

  #unwatch(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #trouble(trouble: PullTrouble, detail: string): void {
    this.#rest();
    this.#options.onTrouble(trouble, detail);
  }
}

const HEARTBEAT = 100;
const BAD_REQUEST = 400;
const CONFLICT = 409;
const NO_RESPONDERS = 503;

/** The server wants at least two heartbeats within a request's life. */
function defaultHeartbeatMs(expiresMs: number): number {
  return Math.max(100, Math.floor(expiresMs / 3));
}
