import { timeoutError } from "../client/deadline.ts";
import type { Bounds } from "./_bucket.ts";
import { inLine } from "./_contention.ts";
import type { Space } from "./_space.ts";

/** Whose turn is waited for. */
export interface TurnOptions extends Bounds {
  readonly key: string;
  /** Completes "cannot …". */
  readonly what: string;
}

/**
 * Runs `work` when all callers of this space who came before for this key are through, with the
 * time that is left then.
 *
 * @throws the signal's reason, or {@link JsflowError} `timeout` or `buffer_full`, before its turn;
 * then what `work` throws.
 */
export async function inTurn<T>(
  space: Space,
  { key, what, signal: outer, timeoutMs }: TurnOptions,
  work: (left: Bounds) => Promise<T>,
): Promise<T> {
  outer?.throwIfAborted();
  const endsAt = space.clock.monotonic() + timeoutMs;
  const waiting = new AbortController();
  const abort = () => waiting.abort(outer?.reason);
  const timer = setTimeout(() => waiting.abort(timeoutError(what, timeoutMs)), timeoutMs);
  const settle = () => {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
  };
  outer?.addEventListener("abort", abort, { once: true });
  try {
    return await inLine(space, { key, signal: waiting.signal }, async () => {
      settle();
      const leftMs = endsAt - space.clock.monotonic();
      if (leftMs <= 0) throw timeoutError(what, timeoutMs);
      return await work({ signal: outer, timeoutMs: leftMs });
    });
  } finally {
    settle();
  }
}
