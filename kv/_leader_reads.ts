import { systemClock } from "../client/clock.ts";
import type { Bounds, Bucket, RawEntry } from "./_bucket.ts";
import { overlayBucket } from "./_bucket_overlay.ts";
import { isStartingUp } from "./_passing_error.ts";
import { timeLeft } from "./_time_left.ts";

/** Milliseconds before a bucket that seems to be gone is looked for again. */
const PAUSES_MS: readonly number[] = [100, 200];

/**
 * The same bucket, of which keys are read at the leader alone.
 *
 * Another replica may lag behind, and then shows what was: that somebody is done, that a lock is
 * taken. What is decided by that without a write, no compare-and-set would mend.
 */
export function readingAtLeader(bucket: Bucket): Bucket {
  const last = (name: string, bounds: Bounds) => lastAtLeader(bucket, name, bounds);
  return overlayBucket(bucket, { last, lastAtLeader: last });
}

/** A server that has just started may not know its buckets yet. */
async function lastAtLeader(
  bucket: Bucket,
  name: string,
  bounds: Bounds,
): Promise<RawEntry | undefined> {
  const left = timeLeft(bounds, systemClock);
  for (let attempt = 0;; attempt++) {
    try {
      return await bucket.lastAtLeader(name, left());
    } catch (error) {
      const pauseMs = PAUSES_MS[attempt];
      const isFinal = !isStartingUp(error) || pauseMs === undefined;
      if (isFinal || pauseMs >= left().timeoutMs) throw error;
      await systemClock.sleep(pauseMs, bounds.signal);
    }
  }
}
