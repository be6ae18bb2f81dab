import {
  type Attributes,
  type Context,
  type Link,
  type Span,
  type SpanContext,
  SpanStatusCode,
  trace as otel,
} from "@opentelemetry/api";
import { activeContext } from "./_active_context.ts";
import {
  clientAttributes,
  conventions,
  detailAttributes,
  ERROR_TYPE,
  operationAttributes,
  spanName,
} from "./_conventions.ts";
import type { DescribedError } from "./_describe_error.ts";
import { toSpanContext, toTraceContext } from "./_span_context.ts";
import { TracerSource } from "./_tracer_source.ts";
import type { ClientIdentity } from "./client_identity.ts";
import type { TelemetrySettings } from "./telemetry_options.ts";
import type { HeaderCarrier, OperationDetails, OperationKind } from "./telemetry.ts";
import { childTrace, createTraceContext, type TraceContext } from "./trace_context.ts";
import { extractTrace, writeTrace } from "./trace_headers.ts";

/** The most links of one span: SDKs keep no more by default. */
const MAX_LINKS = 128;

/** Operations that a message sets off, not the code around. */
const HANDLERS: readonly OperationKind[] = ["process", "serve"];

/** A place in a trace, with the span that reports it when there is an SDK. */
export interface TracedSpan {
  readonly trace: TraceContext;
  readonly span: Span | undefined;
}

/** Begins the spans of one client. */
export class Spans {
  readonly #source: TracerSource;
  readonly #identity: ClientIdentity;
  readonly #xHeaders: boolean;
  readonly #fixed = new Map<OperationKind, Attributes>();

  constructor(settings: TelemetrySettings, identity: ClientIdentity) {
    this.#source = new TracerSource(settings.tracerProvider);
    this.#identity = identity;
    this.#xHeaders = settings.xHeaders;
  }

  /**
   * Begins a span below the message's context, else below the current one. A handler's span without
   * a message's context is a root: what is current there is whatever once began to listen.
   */
  begin(kind: OperationKind, details: OperationDetails): TracedSpan {
    const active = activeContext();
    const ambient = otel.getSpanContext(active);
    const remote = details.parent === undefined ? undefined : extractTrace(details.parent);
    const root = remote === undefined && HANDLERS.includes(kind);
    const inherited = root || ambient === undefined ? undefined : toTraceContext(ambient);
    const parent = remote ?? inherited;
    const tracer = this.#source.get();
    if (tracer !== undefined) {
      const remoteSpan = remote === undefined ? undefined : toSpanContext(remote, true);
      const span = tracer.startSpan(spanName(kind, details), {
        kind: conventions[kind].spanKind,
        attributes: { ...this.#fixedAttributes(kind), ...detailAttributes(details) },
        links: findLinks(
          details,
          remoteSpan,
          root || remoteSpan !== undefined ? ambient : undefined,
        ),
        root,
      }, remoteSpan === undefined ? active : otel.setSpanContext(active, remoteSpan));
      const trace = traceOf(span, parent);
      if (trace !== undefined) return { trace, span };
    }
    return {
      trace: parent === undefined ? createTraceContext() : childTrace(parent),
      span: undefined,
    };
  }

  /** Writes a context into outgoing headers. */
  inject(headers: HeaderCarrier, trace: TraceContext): void {
    writeTrace(headers, trace, this.#xHeaders);
  }

  #fixedAttributes(kind: OperationKind): Attributes {
    let fixed = this.#fixed.get(kind);
    if (fixed === undefined) {
      const identity = this.#identity;
      fixed = { ...operationAttributes(kind, identity), ...clientAttributes(identity) };
      this.#fixed.set(kind, fixed);
    }
    return fixed;
  }
}

/** The context in which the work of an operation runs. */
export function contextOf({ trace, span }: TracedSpan): Context {
  return span === undefined
    ? otel.setSpanContext(activeContext(), toSpanContext(trace, false))
    : otel.setSpan(activeContext(), span);
}

/** Tells a span what became known since it began. */
export function noteOnSpan(span: Span, details: Partial<OperationDetails>): void {
  if (!span.isRecording()) return;
  span.setAttributes(detailAttributes(details));
  if (details.links !== undefined) span.addLinks(linksTo(details.links));
}

/** Ends a span, with the error that its operation ended by. */
export function endSpan(span: Span, error: DescribedError | undefined): void {
  if (error !== undefined && span.isRecording()) {
    span.setAttribute(ERROR_TYPE, error.type);
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    span.recordException({ name: error.name, message: error.message });
  }
  span.end();
}

/** Without an SDK, spans have an invalid context or that of their parent. */
function traceOf(span: Span, parent: TraceContext | undefined): TraceContext | undefined {
  const own = span.spanContext();
  if (own.spanId === parent?.spanId) return undefined;
  return toTraceContext(own, own.traceId === parent?.traceId ? parent.spanId : undefined);
}

/**
 * Links a span to all that led to it: the context of its message, the one that the code runs in when
 * that is not its parent, and the messages of a batch.
 */
function findLinks(
  details: OperationDetails,
  remote: SpanContext | undefined,
  ambient: SpanContext | undefined,
): Link[] {
  const batch = linksTo(details.links);
  const links: Link[] = remote === undefined ? [] : [{ context: remote }];
  if (ambient !== undefined && otel.isSpanContextValid(ambient)) links.push({ context: ambient });
  return [...links, ...batch];
}

function linksTo(messages: readonly HeaderCarrier[] | undefined): Link[] {
  const links: Link[] = [];
  for (const headers of messages ?? []) {
    if (links.length === MAX_LINKS) break;
    const trace = extractTrace(headers);
    if (trace !== undefined) links.push({ context: toSpanContext(trace, true) });
  }
  return links;
}
