import { retryDelayMs } from "./retry_policy.ts";

const BACKOFF = { attempts: Infinity, initialMs: 100, factor: 2, maxMs: 5_000 } as const;
/** How long nobody must have asked for the growth to start over. */
const QUIET_MS = 2 * BACKOFF.maxMs;

/** Where {@link reconnectDelays} takes time and chance from. */
export interface DelaySources {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

/**
 * Makes the function that the native client asks how far apart two dials must be.
 *
 * It asks several times for each dial, so a delay stays the same until it has passed; only then
 * the next, longer one is drawn. After a quiet time, as when the connection was up, the delays are
 * short again.
 */
export function reconnectDelays(sources: DelaySources): () => number {
  let attempt = 0;
  let delayMs = 0;
  let drawnAt = -Infinity;
  return () => {
    const now = sources.now();
    const elapsedMs = now - drawnAt;
    if (elapsedMs < delayMs) return delayMs;
    attempt = elapsedMs > delayMs + QUIET_MS ? 1 : attempt + 1;
    delayMs = retryDelayMs(BACKOFF, attempt, sources.random) ?? BACKOFF.maxMs;
    drawnAt = now;
    return delayMs;
  };
}
