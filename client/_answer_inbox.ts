import type { Msg, Subscription } from "@nats-io/nats-core";
import { newInbox } from "./_new_inbox.ts";
import type { NatsConnection, NatsHeaders } from "./native.ts";
import { stopStatus } from "./stop_status.ts";

/** What an {@link AnswerInbox} tells its owner. None of these may throw. */
export interface AnswerListener {
  /** An answer to the message of that token; it may come for tokens long given up. */
  readonly onAnswer: (token: string, answer: Msg) => void;
  /** The connection is gone: no answer to what was sent will come. */
  readonly onLost: () => void;
  /** The connection is back, or another one in its place. */
  readonly onBack: () => void;
  /** The server refuses messages to a subject, or the inbox itself when there is none. */
  readonly onRefused: (subject: string | undefined, error: Error) => void;
  /** The connection is closed for good. */
  readonly onClosed: () => void;
}

type Statuses = AsyncIterable<{ readonly type: string; readonly error?: unknown }>;

/** Sends messages whose answers come to one subscription, and knows when they cannot come. */
export class AnswerInbox {
  readonly #connection: NatsConnection;
  readonly #listener: AnswerListener;
  readonly #statuses: Statuses;
  readonly #watching: Promise<void>;
  readonly #prefix: string;
  #subscription: Subscription;
  #isClosed = false;
  #serial = 0;

  constructor(connection: NatsConnection, listener: AnswerListener) {
    this.#connection = connection;
    this.#listener = listener;
    this.#prefix = `${newInbox(connection)}.`;
    this.#subscription = this.#subscribe();
    this.#statuses = connection.status() as Statuses;
    this.#watching = this.#watch();
  }

  /** Sends a message and returns the token that its answer will have. */
  send(subject: string, payload: Uint8Array, headers: NatsHeaders | undefined): string {
    if (this.#subscription.isClosed()) this.#subscription = this.#subscribe();
    const token = (++this.#serial).toString(36);
    const reply = this.#prefix + token;
    this.#connection.publish(subject, payload, headers ? { reply, headers } : { reply });
    return token;
  }

  /** Ends it; answers that come later are nobody's. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
    stopStatus(this.#statuses);
    await this.#watching;
  }

  #subscribe(): Subscription {
    const start = this.#prefix.length;
    return this.#connection.subscribe(`${this.#prefix}*`, {
      callback: (error, answer) => {
        if (error) this.#listener.onRefused(undefined, error);
        else this.#listener.onAnswer(answer.subject.slice(start), answer);
      },
    });
  }

  async #watch(): Promise<void> {
    for await (const { type, error } of this.#statuses) {
      if (this.#isClosed) return;
      if (type === "disconnect") this.#listener.onLost();
      else if (type === "reconnect") this.#listener.onBack();
      else if (type === "error") this.#refused(error);
    }
    if (!this.#isClosed) this.#listener.onClosed();
  }

  #refused(error: unknown): void {
    const { name, operation, subject } = (error ?? {}) as {
      name?: string;
      operation?: string;
      subject?: string;
    };
    if (name !== "PermissionViolationError" || operation !== "publish") return;
    if (subject !== undefined) this.#listener.onRefused(subject, error as Error);
  }
}
