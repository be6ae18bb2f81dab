import { randomSpanId, randomTraceId } from "./_random_ids.ts";

/** Where in a distributed trace something happens. */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all 0. */
  readonly traceId: string;
  /** 16 lower-case hexadecimal digits, not all 0. */
  readonly spanId: string;
  /** The span that this one is a part of; undefined at a root or when it is unknown. */
  readonly parentSpanId?: string | undefined;
  /** Whether the trace is recorded. */
  readonly sampled: boolean;
  /** The `tracestate` header as it came. */
  readonly state?: string | undefined;
}

/**
 * Begins a new trace: random ids, no parent, sampled.
 *
 * @example
 * ```ts
 * import { createTraceContext, formatTraceparent } from "@x/jsflow/trace";
 *
 * console.log(formatTraceparent(createTraceContext())); // 00-…-…-01
 * ```
 */
export function createTraceContext(): TraceContext {
  return { traceId: randomTraceId(), spanId: randomSpanId(), sampled: true };
}

/**
 * Begins a span within the trace of `parent`: a new span id, and the same decision on sampling and
 * the same state.
 *
 * @example
 * ```ts
 * import { childTrace, createTraceContext } from "@x/jsflow/trace";
 *
 * const parent = createTraceContext();
 * const child = childTrace(parent);
 * console.log(child.traceId === parent.traceId, child.parentSpanId === parent.spanId);
 * ```
 */
export function childTrace(parent: TraceContext): TraceContext {
  const { traceId, spanId: parentSpanId, sampled, state } = parent;
  const child = { traceId, spanId: randomSpanId(), parentSpanId, sampled };
  return state === undefined ? child : { ...child, state };
}
