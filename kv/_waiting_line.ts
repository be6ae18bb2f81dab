import { JsflowError } from "../client/errors.ts";

/** How many callers of one process wait for one name at most. */
export const MAX_WAITING_CALLERS = 10_000;

/** Lets callers through one after the other, in the order of their arrival. */
export class WaitingLine {
  readonly #waiting = new Set<() => void>();
  #occupied = false;

  /** Whether somebody is through or waits. */
  get isBusy(): boolean {
    return this.#occupied;
  }

  /**
   * Resolves when it is the caller's turn, with the function that lets the next one through.
   *
   * @throws the signal's reason; {@link JsflowError} `buffer_full`.
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#occupied) await this.#wait(signal);
    this.#occupied = true;
    return () => this.#leave();
  }

  async #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= MAX_WAITING_CALLERS) throw full();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      // Whoever was called up has left the set, and must pass its turn on by itself.
      if (this.#waiting.delete(resolve)) reject(signal.reason);
    };
    this.#waiting.add(resolve);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Calls up the next one; it stays occupied meanwhile, so that nobody slips in. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#occupied = false;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

function full(): JsflowError {
  return new JsflowError(
    "buffer_full",
    `cannot wait in line: ${MAX_WAITING_CALLERS} callers of this process wait for the same name ` +
      "already; have fewer of them at a time",
  );
}
