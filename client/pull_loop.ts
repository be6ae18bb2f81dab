import type { JetStreamClient } from "@nats-io/jetstream";
import {
  createInbox,
  type Msg,
  nanos,
  type NatsConnection,
  type Subscription,
} from "@nats-io/nats-core";
import { type Delivery, parseDelivery } from "./delivery.ts";

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
  /** Takes a message, which is held until `release` is called. Must not throw. */
  readonly onMessage: (delivery: Delivery) => void;
  /** Called at most once between two calls of `start`; the loop rests until then. */
  readonly onTrouble: (trouble: PullTrouble, detail: string) => void;
}

/**
 * Keeps pull requests open at a durable consumer, so that at most `capacity` messages are asked for
 * or held by this process.
 *
 * Requests are renewed in batches as messages are released. Deletion of the consumer and silence of
 * the server are reported, never retried here: the owner checks the consumer and starts again.
 */
export class PullLoop {
  readonly #options: PullLoopOptions;
  readonly #request: string;
  /** Asked for, not yet delivered. */
  #wanted = 0;
  /** Delivered, not yet released. */
  #held = 0;
  #requests: { readonly batch: number; readonly sentAt: number }[] = [];
  #lastHeard = 0;
  #serial = 0;
  #inbox = "";
  #subscription: Subscription | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: PullLoopOptions) {
    this.#options = options;
    const { jetstream, stream, consumer } = options;
    this.#request = `${jetstream.apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
  }

  /** Whether it is pulling. */
  get isRunning(): boolean {
    return this.#subscription !== undefined;
  }

  /** Begins to pull, or begins anew after trouble or a reconnect. */
  start(): void {
    this.stop();
    const { connection, expiresMs } = this.#options;
    this.#wanted = 0;
    this.#requests = [];
    this.#lastHeard = performance.now();
    this.#inbox = createInbox();
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error) this.#trouble("refused", error.message);
        else this.#receive(message);
      },
    });
    this.#watch = setInterval(() => this.#checkSilence(), heartbeatMs(expiresMs));
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

  /** A message that was held has been settled. */
  release(): void {
    this.#held--;
    this.#pull();
  }

  /** Asks for what fits, once a quarter of the capacity is free or nothing is asked for. */
  #pull(): void {
    if (!this.#subscription || this.#options.connection.isClosed()) return;
    const { connection, capacity, expiresMs } = this.#options;
    this.#forgetExpired();
    const free = capacity - this.#wanted - this.#held;
    if (free <= 0 || (this.#wanted > 0 && free < capacity / 4)) return;
    this.#wanted += free;
    this.#requests.push({ batch: free, sentAt: performance.now() });
    const body = {
      batch: free,
      // The server refuses fractions of a nanosecond.
      expires: Math.round(nanos(expiresMs)),
      idle_heartbeat: Math.round(nanos(heartbeatMs(expiresMs))),
    };
    try {
      connection.publish(this.#request, JSON.stringify(body), {
        reply: `${this.#inbox}.${++this.#serial}`,
      });
    } catch {
      // The connection drains or has just been closed: its end is told to the owner elsewhere.
      this.#wanted -= free;
      this.#requests.pop();
    }
  }

  /** Some servers drop a request without a word: nothing is wanted beyond what is still open. */
  #forgetExpired(): void {
    const { expiresMs } = this.#options;
    const since = performance.now() - expiresMs - heartbeatMs(expiresMs);
    this.#requests = this.#requests.filter(({ sentAt }) => sentAt > since);
    const open = this.#requests.reduce((sum, { batch }) => sum + batch, 0);
    this.#wanted = Math.min(this.#wanted, open);
  }

  #receive(message: Msg): void {
    this.#lastHeard = performance.now();
    if (!message.subject.startsWith(this.#inbox)) {
      this.#wanted = Math.max(0, this.#wanted - 1);
      const delivery = parseDelivery(this.#options.connection, message);
      if (delivery) {
        this.#held++;
        this.#options.onMessage(delivery);
      }
      return this.#pull(); // the last one asked for may leave room
    }
    const code = message.headers?.code ?? 0;
    const description = message.headers?.description ?? "";
    if (code === HEARTBEAT) return;
    const left = Number(message.headers?.get("Nats-Pending-Messages") || 0);
    this.#wanted = Math.max(0, this.#wanted - left);
    if (code === NO_RESPONDERS) return this.#trouble("consumer_gone", "no responders");
    if (code === BAD_REQUEST) return this.#trouble("refused", description);
    if (code === CONFLICT && !isPassing(description)) {
      return this.#trouble("consumer_gone", description);
    }
    this.#pull();
  }

  #checkSilence(): void {
    const { expiresMs } = this.#options;
    const silentMs = performance.now() - this.#lastHeard;
    if (this.#wanted === 0) this.#lastHeard = performance.now();
    else if (silentMs > heartbeatMs(expiresMs) * 2.5) {
      return this.#trouble("silent", `nothing heard for ${Math.round(silentMs)} ms`);
    }
    this.#pull();
  }

  #trouble(trouble: PullTrouble, detail: string): void {
    this.stop();
    this.#options.onTrouble(trouble, detail);
  }
}

const HEARTBEAT = 100;
const BAD_REQUEST = 400;
const CONFLICT = 409;
const NO_RESPONDERS = 503;

/** The server wants at least two heartbeats within a request's life. */
function heartbeatMs(expiresMs: number): number {
  return Math.max(100, Math.floor(expiresMs / 3));
}

/** Conflicts that end one request only: limits reached, leadership moved, the server shuts down. */
function isPassing(description: string): boolean {
  const text = description.toLowerCase();
  return text.startsWith("exceeded") || text.includes("leadership change") ||
    text.includes("shutdown") || text.includes("message size exceeds");
}
