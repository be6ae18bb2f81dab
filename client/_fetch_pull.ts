import { type Msg, nanos, type Subscription } from "@nats-io/nats-core";
import { type Conflict, readConflict } from "./_conflict.ts";
import { newInbox } from "./_new_inbox.ts";
import type { ClientCore } from "./core.ts";
import { parseDelivery, type StreamDelivery } from "./delivery.ts";

/** How a request for messages ended, and what the server said. */
export interface PullEnd {
  /**
   * - `"done"`: all messages have come, or the time is over.
   * - `"again"`: the server ended it early, and may be asked again.
   * - `"gone"`: nobody answers for the consumer.
   * - `"silent"`: the server was not heard for too long.
   * - `"too_large"`: the next message does not fit into the bytes that are left.
   * - `"refused"`: and so would be every request like it.
   */
  readonly how: "again" | "done" | "gone" | "refused" | "silent" | "too_large";
  readonly detail: string;
}

/** What is asked for. */
export interface FetchPullOptions {
  readonly core: ClientCore;
  readonly stream: string;
  readonly consumer: string;
  /** Most messages. */
  readonly batch: number;
  /** Most bytes, as the server counts them. */
  readonly maxBytes: number | undefined;
  /** Milliseconds that the server may take. */
  readonly expiresMs: number;
  /** Takes each message that comes, also after the end. Must not throw. */
  readonly onMessage: (delivery: StreamDelivery) => void;
}

/** Milliseconds between the server's signs of life; shorter requests do without. */
const HEARTBEAT_MS = 500;
/** After so long without one it is silent; the same for the end of a request. */
const SILENCE_MS = 1_000;
const CHECK_MS = 100;

/** One request to a consumer, from its sending to its end. */
export class FetchPull {
  readonly ended: Promise<PullEnd>;
  readonly #options: FetchPullOptions;
  readonly #end: (end: PullEnd) => void;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #watch: ReturnType<typeof setInterval>;
  #left: number;
  #overAt: number;
  #lastHeard: number;
  #lastCheck: number;
  #wasHeard = false;
  /** Whether the server has ended it, so that nothing is on its way. */
  #isOver = false;

  /** Sends the request. */
  constructor(options: FetchPullOptions) {
    this.#options = options;
    const { batch, core: { connection }, expiresMs } = options;
    const { promise, resolve } = Promise.withResolvers<PullEnd>();
    this.ended = promise;
    this.#end = resolve;
    this.#left = batch;
    this.#lastHeard = this.#lastCheck = performance.now();
    this.#overAt = this.#lastHeard + expiresMs;
    this.#inbox = newInbox(connection);
    this.#subscription = connection.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (error) this.#finish("refused", error.message);
        else this.#receive(message);
      },
    });
    this.#watch = setInterval(() => this.#check(), CHECK_MS);
    this.#send();
  }

  /** Ends it: nothing more is asked for, and what is on its way is still taken. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    try {
      if (this.#isOver) this.#subscription.unsubscribe();
      else await this.#subscription.drain();
    } catch {
      // The connection is closed, and the subscription with it.
    }
  }

  #send(): void {
    const { batch, consumer, core, expiresMs, maxBytes, stream } = this.#options;
    const body = {
      batch,
      // The server refuses fractions of a nanosecond.
      expires: Math.round(nanos(expiresMs)),
      // It wants two of them in a request's life.
      ...(expiresMs < 2 * HEARTBEAT_MS ? {} : { idle_heartbeat: nanos(HEARTBEAT_MS) }),
      ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }),
    };
    const subject = `${core.jetstream.apiPrefix}.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    core.connection.publish(subject, JSON.stringify(body), { reply: this.#inbox });
  }

  #finish(how: PullEnd["how"], detail: string): void {
    clearInterval(this.#watch);
    this.#isOver ||= how !== "silent";
    this.#end({ how, detail });
  }

  #receive(message: Msg): void {
    this.#lastHeard = performance.now();
    this.#wasHeard = true;
    if (message.subject === this.#inbox) return this.#receiveStatus(message);
    const delivery = parseDelivery(this.#options.core.connection, message);
    if (delivery === undefined) return;
    this.#left--;
    this.#options.onMessage(delivery);
    if (this.#left === 0) this.#finish("done", "all messages have come");
  }

  #receiveStatus({ headers }: Msg): void {
    const code = headers?.code ?? 0;
    const description = headers?.description ?? "";
    if (code === HEARTBEAT) return;
    if (code === NOTHING || code === TIME_OVER) this.#finish("done", description);
    else if (code === NO_RESPONDERS) this.#finish("gone", "no responders");
    else if (code === CONFLICT) this.#finish(MEANINGS[readConflict(description)], description);
    else this.#finish("refused", `${code} ${description}`);
  }

  #check(): void {
    const now = performance.now();
    // After this process was busy or frozen, what the server sent meanwhile is read first.
    const isLate = now - this.#lastCheck > CHECK_MS + HEARTBEAT_MS;
    this.#lastCheck = now;
    if (isLate) {
      this.#lastHeard = now;
      this.#overAt = Math.max(this.#overAt, now);
    }
    if (now < this.#overAt + SILENCE_MS) {
      if (now < this.#overAt && now - this.#lastHeard > SILENCE_MS) this.#silence(now);
    } // Some servers drop a request without a word when its time is over.
    else if (this.#wasHeard && this.#lastHeard >= this.#overAt - SILENCE_MS) {
      this.#finish("done", "the time is over");
    } else this.#silence(now);
  }

  #silence(now: number): void {
    this.#finish("silent", `nothing heard for ${Math.round(now - this.#lastHeard)} ms`);
  }
}

const HEARTBEAT = 100;
const NOTHING = 404;
const TIME_OVER = 408;
const CONFLICT = 409;
const NO_RESPONDERS = 503;

const MEANINGS: Readonly<Record<Conflict, PullEnd["how"]>> = {
  completed: "done",
  full: "again",
  gone: "gone",
  limit: "refused",
  passing: "again",
  too_large: "too_large",
};
