import { untilAborted } from "./deadline.ts";

/**
 * One attempt to start that several callers wait for, each with signals of its own; when the last
 * of them has given up, so does the attempt.
 *
 * It is made before it runs, so that whoever is told of its begin can end it.
 */
export class StartAttempt {
  readonly #control = new AbortController();
  readonly #end = Promise.withResolvers<void>();
  #isOver = false;
  #waiting = 0;

  /** Whether it was cancelled and has not ended yet: no one may join it any more. */
  get isGivenUp(): boolean {
    return this.#control.signal.aborted && !this.#isOver;
  }

  /** Begins the work; never rejects, those who join are told. */
  async run(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#end.promise.catch(() => {}); // there may be no one left
    try {
      await work(this.#control.signal);
      this.#isOver = true;
      this.#end.resolve();
    } catch (error) {
      this.#isOver = true;
      this.#end.reject(error);
    }
  }

  /** Waits for the end of the attempt, or until one of the signals aborts. */
  async join(signals: readonly AbortSignal[]): Promise<void> {
    this.#waiting++;
    try {
      await signals.reduce(untilAborted, this.#end.promise);
    } finally {
      this.#waiting--;
      const aborted = signals.find((signal) => signal.aborted);
      // So that the next start does not join an attempt that is being given up.
      if (aborted !== undefined && this.#waiting === 0) await this.cancel(aborted.reason);
    }
  }

  /** Gives the attempt up, and waits until it has ended. */
  async cancel(reason: unknown): Promise<void> {
    this.#control.abort(reason);
    await this.ended;
  }

  /** Resolves when the attempt is over, either way. */
  get ended(): Promise<void> {
    return this.#end.promise.catch(() => {});
  }
}
