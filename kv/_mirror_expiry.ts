import type { StreamInfo } from "../client/stream_info.ts";
import type { RawEntry } from "./_bucket.ts";

/** Where a writer says how long a value lives. */
const LIFETIME_HEADER = "Nats-TTL";
const MS_PER_UNIT: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 1e-3,
  "µs": 1e-3,
  "μs": 1e-3,
  ns: 1e-6,
};

/** When values expire of which no message will tell, by the server's clock. */
export interface Expiry {
  /** When a value expires, in milliseconds since 1970; `Infinity` for never. */
  expiresAt(raw: Pick<RawEntry, "header" | "time">): number;
  /** What time it is. */
  now(): number;
}

/**
 * When the values of a bucket expire; undefined when they never do, or when the server says so for
 * each of them.
 *
 * The server tells what time it is, from 2.10 on; from then on it is this machine's monotonic clock
 * that goes on. For older servers the clock of this machine has to do.
 */
export function createExpiry(
  { config: { allowMessageTtl, maxAgeMs }, native }: Pick<StreamInfo, "config" | "native">,
): Expiry | undefined {
  const isReported = (native.config.subject_delete_marker_ttl ?? 0) > 0;
  const ageMs = maxAgeMs === 0 ? Infinity : maxAgeMs;
  if (isReported || (ageMs === Infinity && !allowMessageTtl)) return undefined;
  const { ts } = native as { readonly ts?: string };
  const serverMs = ts === undefined ? Date.now() : Date.parse(ts);
  const askedAt = performance.now();
  return {
    now: () => serverMs + performance.now() - askedAt,
    expiresAt: ({ header, time }) => {
      // Where lifetimes are not allowed the header means nothing.
      const own = allowMessageTtl ? lifetimeMs(header(LIFETIME_HEADER)) : undefined;
      if (own === Infinity) return Infinity; // it outlives the bucket's age, which nothing else does
      return time.getTime() + Math.min(own ?? Infinity, ageMs);
    },
  };
}

/** Milliseconds that a lifetime says, as the server reads it; undefined for none. */
export function lifetimeMs(text: string | undefined): number | undefined {
  const said = text?.trim() ?? "";
  if (said.toLowerCase() === "never") return Infinity;
  if (/^\d+$/.test(said)) return Number(said) * 1_000 || undefined;
  let ms = 0;
  for (const [, count, unit] of said.matchAll(/(\d+\.?\d*|\.\d+)(ms|us|µs|μs|ns|h|m|s)/g)) {
    ms += Number(count) * MS_PER_UNIT[unit!]!;
  }
  return Math.floor(ms / 1_000) * 1_000 || undefined; // it counts whole seconds
}
