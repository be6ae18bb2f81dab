import { setTimeout as after } from "node:timers/promises";

/**
 * Where time comes from; injected so that tests and simulations can bring their own.
 */
export interface Clock {
  /** Wall clock: milliseconds since 1970. It may jump. */
  now(): number;
  /** Monotonic clock in milliseconds, from an arbitrary origin. It never goes back. */
  monotonic(): number;
  /**
   * Resolves after `ms` milliseconds; soon, when they are over already.
   *
   * Rejects with the signal's reason as soon as it aborts, and leaves no listener behind.
   */
  sleep(ms: number, signal?: AbortSignal | undefined): Promise<void>;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await after(Math.max(0, ms), undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
