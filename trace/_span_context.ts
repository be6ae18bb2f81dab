import { createTraceState, type SpanContext, type TraceState } from "@opentelemetry/api";
import type { TraceContext } from "./trace_context.ts";
import { usableState } from "./trace_headers.ts";
import { isSpanId, isTraceId } from "./traceparent.ts";

const SAMPLED = 1;

/** A trace context in OpenTelemetry's terms, which remembers the context that it stands for. */
class LinkedSpanContext implements SpanContext {
  readonly origin: TraceContext;
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
  readonly traceState?: TraceState;
  readonly isRemote: boolean;

  constructor(origin: TraceContext, isRemote: boolean) {
    this.origin = origin;
    this.traceId = origin.traceId;
    this.spanId = origin.spanId;
    this.traceFlags = origin.sampled ? SAMPLED : 0;
    this.isRemote = isRemote;
    if (origin.state !== undefined) this.traceState = createTraceState(origin.state);
  }
}

/** Says in OpenTelemetry's terms where something happened, in this process or in another. */
export function toSpanContext(trace: TraceContext, isRemote: boolean): SpanContext {
  return new LinkedSpanContext(trace, isRemote);
}

/** Reads what OpenTelemetry says; undefined when its ids are not valid. */
export function toTraceContext(
  span: SpanContext,
  parentSpanId?: string | undefined,
): TraceContext | undefined {
  if (span instanceof LinkedSpanContext) return span.origin;
  const { traceId, spanId } = span;
  if (!isTraceId(traceId) || !isSpanId(spanId)) return undefined;
  return {
    traceId,
    spanId,
    parentSpanId,
    sampled: (span.traceFlags & SAMPLED) === SAMPLED,
    state: usableState(span.traceState?.serialize()),
  };
}
