/** What a consumer may bound in each request. */
export type RequestLimit = "batch" | "bytes" | "expiresMs";

/** A bound of a consumer, as told by a refusal. */
export interface LearnedLimit {
  readonly of: RequestLimit;
  readonly value: number;
}

/** Reads `Exceeded MaxRequestBatch of 10`; undefined when it is worded in another way. */
export function parseLimit(description: string): LearnedLimit | undefined {
  const match = /^exceeded maxrequest(batch|expires|maxbytes) of (\S+)$/i.exec(description);
  const [, kind = "", text = ""] = match ?? [];
  const isTime = kind.toLowerCase() === "expires";
  const value = isTime ? parseDurationMs(text) : Number(text);
  if (!(value > 0)) return undefined;
  return { of: isTime ? "expiresMs" : kind.toLowerCase() === "batch" ? "batch" : "bytes", value };
}

const UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  "µs": 1e-3,
  ns: 1e-6,
};

/** Reads `1m30s` or `1.5s`, in whole milliseconds; NaN when it is something else. */
function parseDurationMs(text: string): number {
  if (!/^([\d.]+(h|m|s|ms|µs|ns))+$/.test(text)) return NaN;
  let sum = 0;
  for (const [, count, unit = ""] of text.matchAll(/([\d.]+)(ms|µs|ns|h|m|s)/g)) {
    sum += Number(count) * (UNITS_MS[unit] ?? NaN);
  }
  return Math.floor(sum);
}
