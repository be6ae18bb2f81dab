import { type Msg, nanos, type NatsConnection, type Subscription } from "@nats-io/nats-core";
import type { RequestLimit } from "./_pull_limits.ts";

/** What one request asks for. */
export interface PullRequestOptions {
  readonly connection: NatsConnection;
  /** Where the request goes. */
  readonly subject: string;
  /** Where the answers come, for this request alone. */
  readonly inbox: string;
  /** Most messages; most bytes, 0 for no bound; milliseconds that it waits at the server. */
  readonly asked: Readonly<Record<RequestLimit, number>>;
  /** Milliseconds between two heartbeats of the server. */
  readonly heartbeatMs: number;
  /** Takes what comes, also while it leaves. Must not throw. */
  readonly onAnswer: (request: PullRequest, message: Msg) => void;
  /** The server forbids it. */
  readonly onError: (request: PullRequest, error: Error) => void;
}

/**
 * One request for messages, from its sending until nothing of it can come any more.
 *
 * Messages don't tell which request they answer: so each request has a subscription of its own, and
 * what it may still bring is known exactly. It is over when all of it has come, when the server has
 * said so, or, where the server says nothing, when it has left.
 */
export class PullRequest {
  /** Messages that it may still bring. */
  left: number;
  /** When the server last answered it, by the monotonic clock; at first when it was sent. */
  lastHeard: number;
  readonly asked: Readonly<Record<RequestLimit, number>>;
  readonly #options: PullRequestOptions;
  readonly #sentAt: number;
  readonly #subscription: Subscription;
  #leaving: Promise<void> | undefined;

  /** Sends it. Throws when the connection is closed or drains. */
  constructor(options: PullRequestOptions) {
    const { asked, connection, inbox, onAnswer, onError } = this.#options = options;
    this.asked = asked;
    this.left = asked.batch;
    this.lastHeard = this.#sentAt = performance.now();
    this.#subscription = connection.subscribe(inbox, {
      callback: (error, message) => error ? onError(this, error) : onAnswer(this, message),
    });
    try {
      this.#send();
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** Whether nothing is asked of it any more. */
  get isLeaving(): boolean {
    return this.#leaving !== undefined;
  }

  /** Whether it says something of itself; otherwise it brings a message of the stream. */
  isStatus(message: Msg): boolean {
    return message.subject === this.#options.inbox;
  }

  /** Whether it should have ended `slackMs` ago, and nothing has been heard of it since. */
  isOverdue(now: number, slackMs: number): boolean {
    return now > Math.max(this.#sentAt + this.asked.expiresMs, this.lastHeard) + slackMs;
  }

  /** It is over, or what is on its way is not wanted any more. */
  end(): void {
    this.left = 0;
    this.#subscription.unsubscribe();
  }

  /**
   * Resolves when nothing can come any more, and what was on its way has come: the server takes the
   * request's address away, and answers a ping behind all that it sent there. Never rejects.
   */
  leave(): Promise<void> {
    this.#leaving ??= this.#drain();
    return this.#leaving;
  }

  async #drain(): Promise<void> {
    try {
      await this.#subscription.drain();
    } catch {
      // The connection is closed, and the subscription with it.
    }
    this.left = 0;
  }

  #send(): void {
    const { asked: { batch, bytes, expiresMs }, connection, heartbeatMs, inbox, subject } =
      this.#options;
    const body = {
      batch,
      // The server refuses fractions of a nanosecond.
      expires: Math.round(nanos(expiresMs)),
      idle_heartbeat: Math.round(nanos(heartbeatMs)),
      ...(bytes === 0 ? {} : { max_bytes: bytes }),
    };
    connection.publish(subject, JSON.stringify(body), { reply: inbox });
  }
}
