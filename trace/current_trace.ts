import { trace as otel } from "@opentelemetry/api";
import { activeContext, runInContext } from "./_active_context.ts";
import { checkIsFunction } from "./_checks.ts";
import { toSpanContext, toTraceContext } from "./_span_context.ts";
import type { TraceContext } from "./trace_context.ts";
import { checkTraceContext } from "./traceparent.ts";

/**
 * Returns the trace context of the code that is running, or undefined outside of any.
 *
 * It is the innermost of: a call of {@link withTrace}, a handler that runs for a message, and
 * OpenTelemetry's active span when the application registered a context manager.
 *
 * @example
 * ```ts
 * import { currentTrace } from "@x/jsflow/trace";
 *
 * console.log(currentTrace()?.traceId ?? "not in a trace");
 * ```
 */
export function currentTrace(): TraceContext | undefined {
  const span = otel.getSpanContext(activeContext());
  return span === undefined ? undefined : toTraceContext(span);
}

/**
 * Runs a function, and all that it awaits or starts, within a trace context, and returns what it
 * returns.
 *
 * What is published or requested in it becomes a child of `trace`. Spans that other libraries
 * make with OpenTelemetry become children too, given a context manager.
 *
 * @throws {TypeError} when the context is malformed or `work` is not a function.
 * @example
 * ```ts
 * import { createTraceContext, currentTrace, withTrace } from "@x/jsflow/trace";
 *
 * const trace = createTraceContext();
 * await withTrace(trace, async () => {
 *   await Promise.resolve();
 *   console.log(currentTrace()?.traceId === trace.traceId); // true
 * });
 * ```
 */
export function withTrace<T>(trace: TraceContext, work: () => T): T {
  checkTraceContext("run within", trace);
  checkIsFunction("work", work);
  return runInContext(otel.setSpanContext(activeContext(), toSpanContext(trace, false)), work);
}

/**
 * Runs a function outside of any trace, and returns what it returns.
 *
 * For what outlives the code that starts it, such as a loop over messages: the trace of the one
 * request that started it would go on in all of them.
 *
 * @throws {TypeError} when `work` is not a function.
 * @example
 * ```ts
 * import { currentTrace, withoutTrace } from "@x/jsflow/trace";
 *
 * console.log(withoutTrace(() => currentTrace())); // undefined
 * ```
 */
export function withoutTrace<T>(work: () => T): T {
  checkIsFunction("work", work);
  return runInContext(otel.deleteSpan(activeContext()), work);
}
