import { createInbox, type NatsConnection, type Subscription } from "@nats-io/nats-core";
import { JsflowError } from "../client/errors.ts";

/** Most replies that one client waits for at a time; the oldest gives way and is polled for. */
const MAX_OPEN = 100_000;

/** A place for one reply. */
export interface ReplySlot {
  /** Where the reply is to be sent. */
  readonly subject: string;
  /** The reply, once it is there. May never settle: replies can be lost. */
  readonly reply: Promise<Uint8Array>;
  /** Nobody waits any more. */
  close(): void;
}

/** One subscription that takes the replies to many commands. */
export class ReplyInbox {
  readonly #connection: NatsConnection;
  readonly #prefix: string = createInbox();
  readonly #open = new Map<string, (reply: Uint8Array) => void>();
  #subscription: Subscription | undefined;
  #serial = 0;
  #closed = false;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  /**
   * Opens a place for a reply; the subscription is made with the first.
   *
   * @throws {JsflowError} `connection_closed` once closed.
   */
  open(): ReplySlot {
    if (this.#closed) {
      throw new JsflowError(
        "connection_closed",
        "the durable client is closed: create another one",
      );
    }
    this.#subscribe();
    const subject = `${this.#prefix}.${++this.#serial}`;
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    this.#open.set(subject, resolve);
    if (this.#open.size > MAX_OPEN) this.#dropOldest();
    return { subject, reply: promise, close: () => void this.#open.delete(subject) };
  }

  /** Ends the subscription; opening another place is then an error. */
  close(): void {
    this.#closed = true;
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#open.clear();
  }

  #subscribe(): void {
    this.#subscription ??= this.#connection.subscribe(`${this.#prefix}.*`, {
      callback: (error, message) => {
        if (error) return;
        this.#open.get(message.subject)?.(message.data);
        this.#open.delete(message.subject);
      },
    });
  }

  #dropOldest(): void {
    const oldest = this.#open.keys().next();
    if (!oldest.done) this.#open.delete(oldest.value);
  }
}
