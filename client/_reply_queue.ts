import { JsflowError } from "./errors.ts";
import type { NatsMessage } from "./native.ts";

/** What the reader of a {@link ReplyQueue} gets: a message, an end with a reason, or none yet. */
type Ending = { readonly error: Error | undefined };

/** Replies that wait to be read, at most so many, and what ends them. */
export class ReplyQueue {
  readonly #maxWaiting: number;
  readonly #messages: NatsMessage[] = [];
  #ending: Ending | undefined;
  #wake: (() => void) | undefined;

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  /** Whether it takes nothing more; what waits can be read all the same. */
  get isEnded(): boolean {
    return this.#ending !== undefined;
  }

  /** Takes a reply; one too many ends the queue with an error, after those that wait. */
  push(message: NatsMessage): void {
    if (this.#ending !== undefined) return;
    if (this.#messages.length >= this.#maxWaiting) return this.end(overflow(this.#maxWaiting));
    this.#messages.push(message);
    this.#wake?.();
  }

  /** Ends it, with an error or normally; the first end counts. */
  end(error?: Error): void {
    this.#ending ??= { error };
    this.#wake?.();
  }

  /** Forgets what waits: nobody will read it. */
  clear(): void {
    this.#messages.length = 0;
  }

  /**
   * Resolves with the next reply, or with undefined at the end.
   *
   * @throws the error that it ended with.
   */
  async next(): Promise<NatsMessage | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#ending?.error !== undefined) throw this.#ending.error;
      if (this.#ending !== undefined) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

function overflow(maxWaiting: number): JsflowError {
  return new JsflowError(
    "buffer_full",
    `cannot keep more than ${maxWaiting} replies that nobody has read; read faster, or raise ` +
      "maxWaiting",
  );
}
