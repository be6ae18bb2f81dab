import type { StreamInfo } from "../client/stream_info.ts";

/** When values expire, by the server's clock. */
export interface Expiry {
  /** Milliseconds that a value has left which was stored then; not above 0 when it has expired. */
  leftMs(storedMs: number): number;
}

/**
 * When the values of a bucket expire; undefined when they never do, or when the server says so for
 * each of them.
 *
 * The server tells what time it is, from 2.10 on. For older ones the clock of this machine has to do.
 */
export function createExpiry(
  { config: { maxAgeMs }, native }: Pick<StreamInfo, "config" | "native">,
): Expiry | undefined {
  const isReported = (native.config.subject_delete_marker_ttl ?? 0) > 0;
  if (isReported || maxAgeMs === Infinity || maxAgeMs === 0) return undefined;
  const { ts } = native as { readonly ts?: string };
  const serverMs = ts === undefined ? Date.now() : Date.parse(ts);
  const askedAt = performance.now();
  return {
    leftMs: (storedMs) => storedMs + maxAgeMs - serverMs - (performance.now() - askedAt),
  };
}
