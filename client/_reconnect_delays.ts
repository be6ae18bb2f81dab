import { type BackoffRetryPolicy, retryDelayMs } from "./retry_policy.ts";

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
 * the next, longer one is drawn. After a quiet time of twice the longest delay, as when the
 * connection was up, the delays are short again. How often is dialled is not decided here: the
 * attempts of the policy play no part.
 */
export function reconnectDelays(
  policy: BackoffRetryPolicy & { readonly maxMs: number },
  sources: DelaySources,
): () => number {
  const backoff = { ...policy, attempts: Infinity };
  const quietMs = 2 * policy.maxMs;
  let attempt = 0;
  let delayMs = 0;
  let drawnAt = -Infinity;
  return () => {
    const now = sources.now();
    const elapsedMs = now - drawnAt;
    if (elapsedMs < delayMs) return delayMs;
    attempt = elapsedMs > delayMs + quietMs ? 1 : attempt + 1;
    delayMs = retryDelayMs(backoff, attempt, sources.random) ?? policy.maxMs;
    drawnAt = now;
    return delayMs;
  };
}
