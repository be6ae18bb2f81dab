import type { JetStreamClient } from "@nats-io/jetstream";
import { type Msg, nanos, type NatsConnection, type Subscription } from "@nats-io/nats-core";
import { newInbox } from "./_new_inbox.ts";
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
   * missed are silence. @default a third of `expiresMs`, and silence after two and a half
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
 * Requests are renewed in batches as messages are released. Deletion of the consumer and silence of
 * the server are reported, never retried here: the owner checks the consumer and starts again.
 * Limits of the consumer for single requests are learned from its refusals, and kept to.
 */
export class PullLoop {
  readonly #options: PullLoopOptions;
  readonly #request: string;
  readonly #beatMs: number;
  /** Asked for, not yet delivered. */
  #wanted = 0;
  /** Delivered, not yet released. */
  #held = 0;
  #heldBytes = 0;
  /** What waits next is larger than the room that is left: only a release changes that. */
  #starved = false;
  #served = false;
  /** Open at the server, the oldest first. */
  #requests: OpenRequest[] = [];
  #lastHeard = 0;
  #lastCheck = 0;
  readonly #limits: Record<RequestLimit, number> = {
    batch: Infinity,
    bytes: Infinity,
    expiresMs: Infinity,
  };
  #serial = 0;
  #inbox = "";
  #subscription: Subscription | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: PullLoopOptions) {
    this.#options = options;
    const { jetstream, stream, consumer, expiresMs } = options;
    this.#request = `${jetstream.apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#beatMs = options.heartbeatMs ?? defaultHeartbeatMs(expiresMs);
  }

  /** Whether it is pulling. */
  get isRunning(): boolean {
    return this.#subscription !== undefined;
  }

  /** When the server was last heard, by the monotonic clock in milliseconds. */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /** Begins to pull, or begins anew after trouble or a reconnect. */
  start(): void {
    this.#rest();
    this.#wanted = 0;
    this.#requests = [];
    this.#starved = this.#served = false;
    this.#lastHeard = this.#lastCheck = performance.now();
    const { connection } = this.#options;
    const inbox = this.#inbox = newInbox(connection);
    this.#subscription = connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        const isCurrent = inbox === this.#inbox && this.#subscription !== undefined;
        if (error) {
          if (isCurrent) this.#trouble("refused", error.message);
        } else if (!message.subject.startsWith(inbox)) this.#deliver(message, isCurrent);
        else if (isCurrent) this.#receiveStatus(message);
      },
    });
    this.#watch = setInterval(() => this.#check(), this.#checkMs);
    this.#pull();
  }

  /** Stops asking; messages already on their way come back after the consumer's ack wait. */
  stop(): void {
    clearInterval(this.#watch);
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  /** Stops asking, and hands over the messages that are already on their way. */
  async drain(): Promise<void> {
    clearInterval(this.#watch);
    const subscription = this.#subscription;
    this.#subscription = undefined;
    if (subscription && !this.#options.connection.isClosed()) await subscription.drain();
  }

  /** A message that was held has been settled; `bytes` is the size of its data. */
  release(bytes = 0): void {
    this.#held--;
    this.#heldBytes -= bytes;
    this.#starved = false;
    this.#pull();
  }

  /** Asks for what fits, once a quarter of the capacity is free or nothing is asked for. */
  #pull(): void {
    if (!this.#subscription) return;
    const { connection, capacity, maxBytes } = this.#options;
    const free = capacity - this.#wanted - this.#held;
    if (free <= 0 || (this.#wanted > 0 && free < Math.min(capacity / 4, this.#limits.batch))) {
      return;
    }
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
    const expiresMs = this.#expiresMs;
    const serial = ++this.#serial;
    this.#wanted += batch;
    const asked = { batch, bytes: bytes ?? 0, expiresMs };
    this.#requests.push({ left: batch, sentAt: performance.now(), serial, asked });
    const body = {
      batch,
      // The server refuses fractions of a nanosecond.
      expires: Math.round(nanos(expiresMs)),
      idle_heartbeat: Math.round(nanos(this.#requestBeatMs)),
      ...(bytes === undefined ? {} : { max_bytes: bytes }),
    };
    try {
      connection.publish(this.#request, JSON.stringify(body), {
        reply: `${this.#inbox}.${serial}`,
      });
    } catch {
      // The connection drains or has just been closed: its end is told to the owner elsewhere.
      this.#wanted -= batch;
      this.#requests.pop();
    }
  }

  get #expiresMs(): number {
    return Math.min(this.#options.expiresMs, this.#limits.expiresMs);
  }

  /** The server refuses heartbeats that come less than twice in a request's life. */
  get #requestBeatMs(): number {
    return Math.min(this.#beatMs, this.#expiresMs / 2);
  }

  /** Some servers drop a request without a word: nothing is wanted beyond what is still open. */
  #forgetExpired(): void {
    const { heartbeatMs } = this.#options;
    // Early enough that a request which ended without a word does not pass for silence.
    const slackMs = heartbeatMs === undefined ? this.#beatMs : heartbeatMs / 2;
    const since = performance.now() - this.#expiresMs - slackMs;
    this.#requests = this.#requests.filter(({ sentAt }) => sentAt > since);
    const open = this.#requests.reduce((sum, { left }) => sum + left, 0);
    this.#wanted = Math.min(this.#wanted, open);
  }

  #deliver(message: Msg, isCurrent: boolean): void {
    if (isCurrent) {
      this.#lastHeard = performance.now();
      if (this.#wanted > 0) this.#count();
      if (!this.#served) this.#serve();
    }
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

  #count(): void {
    this.#wanted--;
    const oldest = this.#requests[0];
    if (oldest && --oldest.left === 0) this.#requests.shift();
  }

  #receiveStatus(message: Msg): void {
    this.#lastHeard = performance.now();
    const code = message.headers?.code ?? 0;
    const description = message.headers?.description ?? "";
    if (code === HEARTBEAT) return this.#serve();
    const left = Number(message.headers?.get("Nats-Pending-Messages") || 0);
    this.#wanted = Math.max(0, this.#wanted - left);
    if (code === NO_RESPONDERS) return this.#trouble("consumer_gone", "no responders");
    if (code === BAD_REQUEST) return this.#trouble("refused", description);
    if (code === CONFLICT) {
      if (isLimit(description)) return this.#learn(message.subject, description);
      if (!isPassing(description)) return this.#trouble("consumer_gone", description);
      this.#options.onNotice?.(description);
      if (isTooLarge(description) && this.#isStuck(description)) return;
    }
    this.#forgetExpired();
    this.#pull();
  }

  /** A request went beyond the consumer's limits; the next one will not. */
  #learn(reply: string, description: string): void {
    const serial = Number(reply.slice(this.#inbox.length + 1));
    const index = this.#requests.findIndex((request) => request.serial === serial);
    const [refused] = index === -1 ? [] : this.#requests.splice(index, 1);
    if (refused === undefined) return; // it has expired here
    this.#wanted = Math.max(0, this.#wanted - refused.left);
    const limit = parseLimit(description);
    // Without progress it would be asked for ever.
    if (limit === undefined || refused.asked[limit.of] <= limit.value) {
      return this.#trouble("refused", description);
    }
    this.#limits[limit.of] = limit.value;
    this.#pull();
  }

  /** A message larger than the room that is left waits for a release, or would for ever. */
  #isStuck(description: string): boolean {
    if (this.#options.maxBytes === undefined) return false;
    // With a bound there is one request at a time, and the server has just ended it.
    this.#wanted = 0;
    this.#requests = [];
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
    this.#forgetExpired();
    this.#pull();
  }

  get #checkMs(): number {
    const { heartbeatMs } = this.#options;
    return heartbeatMs === undefined ? this.#beatMs : Math.max(10, heartbeatMs / 4);
  }

  get #silenceMs(): number {
    return this.#beatMs * (this.#options.heartbeatMs === undefined ? 2.5 : 2);
  }

  /** As `stop`; but a server that was only slow may have sent messages, which are taken. */
  #rest(): void {
    if (this.#options.heartbeatMs === undefined) return this.stop();
    this.drain().catch(() => {}); // the connection is closed
  }

  #trouble(trouble: PullTrouble, detail: string): void {
    this.#rest();
    this.#options.onTrouble(trouble, detail);
  }
}

/** A request that the server holds. */
interface OpenRequest {
  /** Messages that it may still bring. */
  left: number;
  readonly sentAt: number;
  readonly serial: number;
  readonly asked: Readonly<Record<RequestLimit, number>>;
}

/** What a consumer may bound in each request. */
type RequestLimit = "batch" | "bytes" | "expiresMs";

const HEARTBEAT = 100;
const BAD_REQUEST = 400;
const CONFLICT = 409;
const NO_RESPONDERS = 503;

/** The server wants at least two heartbeats within a request's life. */
function defaultHeartbeatMs(expiresMs: number): number {
  return Math.max(100, Math.floor(expiresMs / 3));
}

/** Conflicts that end one request only: limits reached, leadership moved, the server shuts down. */
function isPassing(description: string): boolean {
  const text = description.toLowerCase();
  return (text.startsWith("exceeded") && !isLimit(text)) || text.includes("leadership change") ||
    text.includes("shutdown") || isTooLarge(text);
}

function isTooLarge(description: string): boolean {
  return description.toLowerCase().includes("message size exceeds");
}

/** Whether the request itself is refused, and every one like it. */
function isLimit(description: string): boolean {
  return /^exceeded maxrequest/i.test(description);
}

/** Reads `Exceeded MaxRequestBatch of 10`; undefined when it is worded in another way. */
function parseLimit(description: string): { of: RequestLimit; value: number } | undefined {
  const match = /^exceeded maxrequest(batch|expires|maxbytes) of (\S+)$/i.exec(description);
  const [, kind = "", text = ""] = match ?? [];
  const isTime = kind.toLowerCase() === "expires";
  const value = isTime ? parseDurationMs(text) : Number(text);
  if (!(value > 0)) return undefined;
  return { of: isTime ? "expiresMs" : kind.toLowerCase() === "batch" ? "batch" : "bytes", value };
}

const UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  "µs": 1e-3,
  ns: 1e-6,
};

/** Reads `1m30s` or `1.5s`, in whole milliseconds; NaN when it is something else. */
function parseDurationMs(text: string): number {
  if (!/^([\d.]+(h|m|s|ms|µs|ns))+$/.test(text)) return NaN;
  let sum = 0;
  for (const [, count, unit = ""] of text.matchAll(/([\d.]+)(ms|µs|ns|h|m|s)/g)) {
    sum += Number(count) * (UNITS_MS[unit] ?? NaN);
  }
  return Math.floor(sum);
}
