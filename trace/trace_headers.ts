import { checkFlag, checkKnownKeys } from "./_checks.ts";
import type { HeaderCarrier } from "./telemetry.ts";
import type { TraceContext } from "./trace_context.ts";
import {
  checkTraceContext,
  isSpanId,
  isTraceId,
  tryParseTraceparent,
  writeTraceparent,
} from "./traceparent.ts";

/** The header of the W3C recommendation that holds trace id, span id and flags. */
export const TRACEPARENT_HEADER = "traceparent";

/** The header of the W3C recommendation in which tracing systems keep data of their own. */
export const TRACESTATE_HEADER = "tracestate";

/** The trace id alone, for systems that don't read `traceparent`. */
export const TRACE_ID_HEADER = "X-Trace-ID";

/** The span id alone, for systems that don't read `traceparent`. */
export const SPAN_ID_HEADER = "X-Span-ID";

/** The id of the parent span, which `traceparent` has no place for. */
export const PARENT_SPAN_ID_HEADER = "X-Parent-Span-ID";

/** The longest `tracestate` that is passed on, in characters; a longer one is left out. */
export const MAX_TRACESTATE_LENGTH = 512;

/** What {@link injectTrace} writes besides the headers of the W3C. */
export interface InjectTraceOptions {
  /**
   * Also writes `X-Trace-ID`, `X-Span-ID` and `X-Parent-Span-ID`. Without it, such headers are
   * removed when they hold ids of a trace, and left alone when they hold anything else.
   * @default false
   */
  readonly xHeaders?: boolean | undefined;
}

/** The names of the headers in one way of writing them. */
interface Spelling {
  readonly traceparent: string;
  readonly tracestate: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
}

/** Names in NATS are case-sensitive, and libraries differ in how they write them. */
const spellings: readonly Spelling[] = [
  {
    traceparent: TRACEPARENT_HEADER,
    tracestate: TRACESTATE_HEADER,
    traceId: TRACE_ID_HEADER,
    spanId: SPAN_ID_HEADER,
    parentSpanId: PARENT_SPAN_ID_HEADER,
  },
  {
    traceparent: "Traceparent",
    tracestate: "Tracestate",
    traceId: "X-Trace-Id",
    spanId: "X-Span-Id",
    parentSpanId: "X-Parent-Span-Id",
  },
  {
    traceparent: "TraceParent",
    tracestate: "TraceState",
    traceId: "x-trace-id",
    spanId: "x-span-id",
    parentSpanId: "x-parent-span-id",
  },
  {
    traceparent: "TRACEPARENT",
    tracestate: "TRACESTATE",
    traceId: "X-TRACE-ID",
    spanId: "X-SPAN-ID",
    parentSpanId: "X-PARENT-SPAN-ID",
  },
];

/** All of them, for headers that don't tell their names. */
const usualNames: readonly string[] = spellings.flatMap((names) => Object.values(names));

/** What belongs to a trace, by the name in lower case, and which values of it do. */
const traceValues: ReadonlyMap<string, (value: string) => boolean> = new Map([
  [TRACEPARENT_HEADER, () => true],
  [TRACESTATE_HEADER, () => true],
  [TRACE_ID_HEADER.toLowerCase(), isTraceId],
  [SPAN_ID_HEADER.toLowerCase(), isSpanId],
  [PARENT_SPAN_ID_HEADER.toLowerCase(), isSpanId],
]);

/**
 * Writes a trace context into the headers of a message, over what is there.
 *
 * Only ids and printable ASCII are ever written: no value can add a header of its own.
 *
 * @throws {TypeError} when an id or the state is malformed; nothing is written then.
 * @example
 * ```ts
 * import { createTraceContext, injectTrace } from "@x/jsflow/trace";
 *
 * const headers = new Map<string, string>(); // or the headers of a NATS message
 * injectTrace(headers, createTraceContext(), { xHeaders: true });
 * console.log([...headers.keys()]); // traceparent, X-Trace-ID, X-Span-ID
 * ```
 */
export function injectTrace(
  headers: HeaderCarrier,
  trace: TraceContext,
  options?: InjectTraceOptions,
): void {
  if (typeof headers?.set !== "function" || typeof headers.get !== "function") {
    throw new TypeError("cannot inject a trace context: the headers must have methods get and set");
  }
  const { xHeaders } = checkKnownKeys<InjectTraceOptions>("injectTrace", options, ["xHeaders"]);
  const withX = checkFlag("xHeaders", xHeaders, false);
  checkTraceContext("inject", trace);
  if (trace.state !== undefined && usableState(trace.state) === undefined) {
    throw new TypeError(
      "cannot inject a trace context: its state must be from 1 to " +
        `${MAX_TRACESTATE_LENGTH} printable ASCII characters; leave it out`,
    );
  }
  writeTrace(headers, trace, withX);
}

/** Writes a context that is known to be well-formed, in the place of one that is there. */
export function writeTrace(headers: HeaderCarrier, trace: TraceContext, xHeaders: boolean): void {
  dropTrace(headers, xHeaders);
  headers.set(TRACEPARENT_HEADER, writeTraceparent(trace));
  if (trace.state !== undefined) headers.set(TRACESTATE_HEADER, trace.state);
  if (!xHeaders) return;
  headers.set(TRACE_ID_HEADER, trace.traceId);
  headers.set(SPAN_ID_HEADER, trace.spanId);
  if (trace.parentSpanId !== undefined) headers.set(PARENT_SPAN_ID_HEADER, trace.parentSpanId);
}

/** Headers that were copied from another message must not keep a value of its trace. */
function dropTrace(headers: HeaderCarrier, xHeaders: boolean): void {
  const names = typeof headers.keys === "function" ? [...headers.keys()] : usualNames;
  for (const name of names) {
    const isOfTrace = traceValues.get(name.toLowerCase());
    if (isOfTrace === undefined) continue;
    const value = headers.get(name);
    if (!value || (!xHeaders && !isOfTrace(value))) continue;
    if (typeof headers.delete === "function") headers.delete(name);
    else headers.set(name, "");
  }
}

/**
 * Reads the trace context that a message carries: its `traceparent`, or the `X-` headers when it
 * has none.
 *
 * The span id is that of the sender. The names are read in lower case, upper case and the usual
 * mixtures, all of one message in the same way. A malformed context counts as none, and so does
 * half of one; a `tracestate` that is too long or not printable is left out.
 *
 * @example
 * ```ts
 * import { extractTrace } from "@x/jsflow/trace";
 *
 * const headers = new Map([
 *   ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"],
 * ]);
 * console.log(extractTrace(headers)?.sampled); // false
 * ```
 */
export function extractTrace(headers: HeaderCarrier): TraceContext | undefined {
  for (const names of spellings) {
    const traceparent = headers.get(names.traceparent);
    if (traceparent) return withState(tryParseTraceparent(traceparent), headers, names);
  }
  for (const names of spellings) {
    const traceId = headers.get(names.traceId);
    if (traceId) return fromXHeaders(traceId, headers, names);
  }
  return undefined;
}

function withState(
  trace: TraceContext | undefined,
  headers: HeaderCarrier,
  names: Spelling,
): TraceContext | undefined {
  const state = trace === undefined ? undefined : usableState(headers.get(names.tracestate));
  return trace === undefined || state === undefined ? trace : { ...trace, state };
}

function fromXHeaders(
  traceId: string,
  headers: HeaderCarrier,
  names: Spelling,
): TraceContext | undefined {
  const spanId = headers.get(names.spanId);
  if (!isTraceId(traceId) || spanId === undefined || !isSpanId(spanId)) return undefined;
  const parentSpanId = headers.get(names.parentSpanId);
  if (!parentSpanId) return { traceId, spanId, sampled: true };
  return isSpanId(parentSpanId) ? { traceId, spanId, parentSpanId, sampled: true } : undefined;
}

/** The state as it may travel, or undefined when it may not. */
export function usableState(text: string | undefined): string | undefined {
  if (typeof text !== "string" || text.length > MAX_TRACESTATE_LENGTH) return undefined;
  return /^[\x20-\x7e]+$/.test(text) && text.trim() !== "" ? text : undefined;
}
