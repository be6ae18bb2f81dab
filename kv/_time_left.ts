import { type Clock, systemClock } from "../client/clock.ts";
import type { Bounds } from "./_bucket.ts";

/** Returns what is left of the bounds, each time that it is called; at least a millisecond. */
export function timeLeft(
  bounds: Bounds,
  clock: Pick<Clock, "monotonic"> = systemClock,
): () => Bounds {
  const endsAt = clock.monotonic() + bounds.timeoutMs;
  return () => ({ ...bounds, timeoutMs: Math.max(1, Math.ceil(endsAt - clock.monotonic())) });
}
