import { kindOf } from "./_checks.ts";
import type { TraceContext } from "./trace_context.ts";

/** Version, trace id, span id and flags; what a later version may add begins with a dash. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Longer headers are no traceparent of any version that one could expect. */
const MAX_LENGTH = 512;

const SAMPLED = 1;

/**
 * Reads a `traceparent` header of the W3C recommendation.
 *
 * A later version than 00 is read as far as 00 goes, as the recommendation asks. The span id is
 * that of the sender: pass the result to `childTrace` for a span of one's own.
 *
 * @throws {TypeError} when it is malformed: a wrong length, upper case, version ff, an id of zeros
 * only, or more fields than version 00 has.
 * @example
 * ```ts
 * import { parseTraceparent } from "@x/jsflow/trace";
 *
 * const { sampled } = parseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
 * console.log(sampled); // true
 * ```
 */
export function parseTraceparent(text: string): TraceContext {
  const trace = tryParseTraceparent(text);
  if (trace !== undefined) return trace;
  throw new TypeError(
    "cannot parse a traceparent: it must be 00-<trace id of 32 digits>-<span id of 16>-<flags of " +
      `2>, hexadecimal in lower case, ids not all 0, got ${kindOf(text)}`,
  );
}

/** Like {@link parseTraceparent}, but returns undefined for what is malformed. */
export function tryParseTraceparent(text: string): TraceContext | undefined {
  if (typeof text !== "string" || text.length > MAX_LENGTH) return undefined;
  const match = TRACEPARENT.exec(text);
  if (match === null) return undefined;
  const [, version = "", traceId = "", spanId = "", flags = "", more] = match;
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (!isTraceId(traceId) || !isSpanId(spanId)) return undefined;
  return { traceId, spanId, sampled: (parseInt(flags, 16) & SAMPLED) === SAMPLED };
}

/**
 * Writes a `traceparent` header, version 00.
 *
 * @throws {TypeError} when an id is malformed.
 * @example
 * ```ts
 * import { createTraceContext, formatTraceparent } from "@x/jsflow/trace";
 *
 * const request = new Request("http://localhost/", {
 *   headers: { traceparent: formatTraceparent(createTraceContext()) },
 * });
 * console.log(request.headers.get("traceparent"));
 * ```
 */
export function formatTraceparent(trace: TraceContext): string {
  checkTraceContext("format", trace);
  return writeTraceparent(trace);
}

/** Like {@link formatTraceparent}, for a context that is known to be well-formed. */
export function writeTraceparent(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? "01" : "00"}`;
}

/** Whether a text is 32 lower-case hexadecimal digits, not all 0. */
export function isTraceId(text: unknown): boolean {
  return typeof text === "string" && /^(?!0{32})[0-9a-f]{32}$/.test(text);
}

/** Whether a text is 16 lower-case hexadecimal digits, not all 0. */
export function isSpanId(text: unknown): boolean {
  return typeof text === "string" && /^(?!0{16})[0-9a-f]{16}$/.test(text);
}

/** Refuses a context with malformed ids; `action` completes "cannot …". @throws {TypeError} */
export function checkTraceContext(action: string, trace: TraceContext): void {
  const fits = typeof trace === "object" && trace !== null && typeof trace.sampled === "boolean" &&
    isTraceId(trace.traceId) && isSpanId(trace.spanId) &&
    (trace.parentSpanId === undefined || isSpanId(trace.parentSpanId));
  if (fits) return;
  throw new TypeError(
    `cannot ${action} a trace context: its ids must be 32 and 16 hexadecimal digits in lower ` +
      "case, not all 0, and sampled a boolean; make it with createTraceContext or childTrace",
  );
}
