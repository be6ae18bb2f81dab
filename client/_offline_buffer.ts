import { setImmediate } from "node:timers";
import { ConnectionTimeoutError } from "./connection_errors.ts";
import type { GuardOptions } from "./core.ts";
import { JsflowError } from "./errors.ts";

/** Microtasks within which whoever is let go has acted; `ready` and `guard` take about ten. */
const TURN_MICROTASKS = 32;
/** How many may go before everything else in the process gets its chance. */
const TURNS_IN_A_ROW = 32;

/** How much may wait for the connection. */
export interface OfflineBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

interface Waiter {
  readonly what: string;
  readonly bytes: number;
  settle(error?: unknown): void;
}

/**
 * Where operations wait for the connection, in the order in which they came.
 *
 * What waits here are the operations themselves, not messages that were given to the native client:
 * each of them ends, one way or the other, and its caller knows how.
 */
export class OfflineBuffer {
  readonly #bounds: OfflineBounds;
  readonly #mayGo: () => boolean;
  readonly #waiters = new Set<Waiter>();
  #bytes = 0;
  #open = false;
  #isLettingGo = false;

  /** While `mayGo` says no nobody is let go; once it says yes again, `open` must be called. */
  constructor(bounds: OfflineBounds, mayGo: () => boolean = () => true) {
    this.#bounds = bounds;
    this.#mayGo = mayGo;
  }

  /** How many operations wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Whether newcomers must wait as well, since others came before them. */
  get isBusy(): boolean {
    return this.#waiters.size > 0 || this.#isLettingGo;
  }

  /**
   * Resolves when it is this operation's turn.
   *
   * @throws {JsflowError} `buffer_full`; {ConnectionTimeoutError}; the signal's reason.
   */
  wait(what: string, options: GuardOptions): Promise<void> {
    const { bytes = 0, signal, timeoutMs } = options;
    const full = this.#refusal(what, bytes);
    if (full !== undefined) return Promise.reject(full);
    return new Promise((resolve, reject) => {
      const settle = (error?: unknown) => {
        if (!this.#waiters.delete(waiter)) return;
        this.#bytes -= bytes;
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        error === undefined ? resolve() : reject(error);
      };
      const abort = () => settle(signal?.reason);
      const timer = setTimeout(() => settle(timedOut(what, timeoutMs, this.#open)), timeoutMs);
      const waiter: Waiter = { what, bytes, settle };
      signal?.addEventListener("abort", abort, { once: true });
      this.#bytes += bytes;
      this.#waiters.add(waiter);
    });
  }

  /** The connection is there: lets go all that wait, one after another. */
  open(): void {
    this.#open = true;
    if (!this.#isLettingGo) void this.#letGo();
  }

  /** The connection is gone. */
  shut(): void {
    this.#open = false;
  }

  /** Gives up all that wait. */
  fail(errorFor: (what: string) => Error): void {
    for (const waiter of [...this.#waiters]) waiter.settle(errorFor(waiter.what));
  }

  /** Whoever is let go acts some microtasks later: only then comes the next one's turn. */
  async #letGo(): Promise<void> {
    this.#isLettingGo = true;
    let turns = 0;
    for (const waiter of this.#waiters) {
      if (!this.#open || !this.#mayGo()) break;
      waiter.settle();
      for (let count = 0; count < TURN_MICROTASKS; count++) await undefined;
      // Those who come again and again must not keep the process from its sockets and timers.
      if (++turns % TURNS_IN_A_ROW === 0) {
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    }
    this.#isLettingGo = false;
  }

  #refusal(what: string, bytes: number): JsflowError | undefined {
    const { maxMessages, maxBytes } = this.#bounds;
    if (this.#waiters.size < maxMessages && this.#bytes + bytes <= maxBytes) return undefined;
    return new JsflowError(
      "buffer_full",
      `cannot ${what}: ${this.#waiters.size} operations with ${this.#bytes} bytes wait for the ` +
        `connection already, of at most ${maxMessages} with ${maxBytes} bytes; slow down, or ` +
        "raise the option offline",
    );
  }
}

function timedOut(what: string, timeoutMs: number, isOpen: boolean): ConnectionTimeoutError {
  const why = isOpen
    ? "the server did not take what was sent before"
    : "the connection did not come back";
  return new ConnectionTimeoutError(
    `cannot ${what}: ${why} within ${timeoutMs} ms; check that a server runs, or wait longer`,
    timeoutMs,
  );
}
