import { systemClock } from "../client/clock.ts";
import { untilAborted } from "../client/deadline.ts";
import { isJsflowError } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import { type ConsumerTarget, deleteConsumer, INACTIVE_MS } from "./_watch_consumer.ts";
import { isUnheard } from "./_watch_failures.ts";

/** Milliseconds that one attempt takes at most, and all of them once the watch is closed. */
const FAREWELL_MS = 2_000;
/** Pauses while the watch goes on. */
const BACKOFF: RetryPolicy = { attempts: Infinity, initialMs: 100, factor: 2, maxMs: 5_000 };
/** The client learns a moment later than a watch that its connection is back. */
const LAST_DELAYS_MS: readonly number[] = [10, 40, 150];

/** Removes the consumers of a watch that it needs no more. */
export class Farewells {
  readonly #pending = new Set<Promise<void>>();
  /** Aborts when the watch is closed: then nobody waits long. */
  readonly #closing = new AbortController();
  readonly #over = new AbortController();

  /**
   * Removes a consumer, once it is known whether there is one. When the server can't be told for as
   * long as it would keep the consumer anyway, that is left to it.
   */
  add(target: ConsumerTarget, making: Promise<unknown>): void {
    const farewell = this.#say(target, making);
    this.#pending.add(farewell);
    void farewell.then(() => this.#pending.delete(farewell));
  }

  /** Resolves when all are gone, or soon. Never rejects. */
  async close(): Promise<void> {
    if (this.#pending.size === 0) return;
    this.#closing.abort();
    const timer = setTimeout(() => this.#over.abort(), FAREWELL_MS);
    await Promise.all(this.#pending);
    clearTimeout(timer);
  }

  async #say(target: ConsumerTarget, making: Promise<unknown>): Promise<void> {
    const deadline = performance.now() + INACTIVE_MS;
    // A deletion that overtakes the making would find nothing.
    const wasMade = await untilAborted(making, this.#over.signal).then(() => true, () => false);
    for (let failures = 1, last = 0; performance.now() < deadline; failures++) {
      try {
        return await deleteConsumer(target, { signal: this.#over.signal, timeoutMs: FAREWELL_MS });
      } catch (error) {
        // A request that nobody answered may still be carried out, by a leader that is elected later.
        const mayCome = !wasMade && isJsflowError(error, "consumer_not_found");
        if (this.#over.signal.aborted || !(mayCome || isUnheard(error))) return;
      }
      const isClosing = this.#closing.signal.aborted;
      const delayMs = isClosing
        ? LAST_DELAYS_MS[last++]
        : retryDelayMs(BACKOFF, failures, Math.random);
      if (delayMs === undefined) return;
      const signal = isClosing ? this.#over.signal : this.#closing.signal;
      await systemClock.sleep(delayMs, signal).catch(() => {});
    }
  }
}
