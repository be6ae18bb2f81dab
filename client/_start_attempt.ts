import { untilAborted } from "./deadline.ts";

/**
 * One attempt to start that several callers wait for, each with a signal of its own; when the last
 * of them has given up, so does the attempt.
 */
export class StartAttempt {
  readonly #control = new AbortController();
  readonly #work: Promise<void>;
  #waiting = 0;

  constructor(work: (signal: AbortSignal) => Promise<void>) {
    this.#work = work(this.#control.signal);
    this.#work.catch(() => {}); // those who wait are told
  }

  /** Waits for the end of the attempt, or until the signal aborts. */
  async join(signal: AbortSignal | undefined): Promise<void> {
    this.#waiting++;
    try {
      await (signal === undefined ? this.#work : untilAborted(this.#work, signal));
    } finally {
      this.#waiting--;
      // So that the next start does not join an attempt that is being given up.
      if (signal?.aborted === true && this.#waiting === 0) await this.cancel(signal.reason);
    }
  }

  /** Gives the attempt up, and waits until it has ended. */
  async cancel(reason: unknown): Promise<void> {
    this.#control.abort(reason);
    await this.#work.catch(() => {});
  }
}
