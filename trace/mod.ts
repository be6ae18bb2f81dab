/**
 * Distributed tracing and metrics: W3C trace contexts in the headers of messages, the current
 * context in asynchronous code, and OpenTelemetry's spans and metrics where an SDK is registered.
 *
 * A client does all of this by itself. These functions are for programs that read or write headers
 * on their own, or want the ids of the trace that they are in.
 *
 * @example
 * ```ts
 * import { childTrace, currentTrace, extractTrace, injectTrace, withTrace } from "@x/jsflow/trace";
 *
 * const received = new Map([
 *   ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
 * ]);
 * const sender = extractTrace(received);
 * if (sender !== undefined) {
 *   withTrace(childTrace(sender), () => {
 *     const trace = currentTrace();
 *     const outgoing = new Map<string, string>();
 *     if (trace !== undefined) injectTrace(outgoing, childTrace(trace));
 *     console.log(outgoing.get("traceparent"));
 *   });
 * }
 * ```
 *
 * @module
 */
export { currentTrace, withoutTrace, withTrace } from "./current_trace.ts";
export { detached, type DetachedOptions } from "./detached.ts";
export { BREAKER_STATE_VALUES, METRIC_NAMES } from "./metric_names.ts";
export type { MeterProvider, TracerProvider } from "./native.ts";
export type { HeaderCarrier } from "./telemetry.ts";
export type { TelemetryOptions } from "./telemetry_options.ts";
export { childTrace, createTraceContext, type TraceContext } from "./trace_context.ts";
export {
  extractTrace,
  injectTrace,
  type InjectTraceOptions,
  MAX_TRACESTATE_LENGTH,
  PARENT_SPAN_ID_HEADER,
  SPAN_ID_HEADER,
  TRACE_ID_HEADER,
  TRACEPARENT_HEADER,
  TRACESTATE_HEADER,
} from "./trace_headers.ts";
export { formatTraceparent, parseTraceparent } from "./traceparent.ts";
