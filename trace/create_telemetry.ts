import { runInContext } from "./_active_context.ts";
import { describeError } from "./_describe_error.ts";
import { createMetrics, type Metrics } from "./_metrics.ts";
import { contextOf, endSpan, noteOnSpan, Spans, type TracedSpan } from "./_spans.ts";
import type { ClientIdentity } from "./client_identity.ts";
import { silentTelemetry } from "./silent_telemetry.ts";
import type {
  CounterName,
  GaugeName,
  HeaderCarrier,
  Operation,
  OperationDetails,
  OperationKind,
  Telemetry,
} from "./telemetry.ts";
import { checkTelemetryOptions, type TelemetryOptions } from "./telemetry_options.ts";
import type { TraceContext } from "./trace_context.ts";

/**
 * Makes what a client reports to: spans and metrics by OpenTelemetry's conventions for messaging,
 * and trace contexts that travel in headers even without an SDK.
 *
 * Spans go to the given provider or to the one that is registered, even later on. Metrics go to the
 * given provider or to the one that is registered by now. Contexts are written by the W3C
 * recommendation whatever propagator is registered. With neither tracing nor metrics, or with
 * nobody to collect metrics and tracing off, it does nothing at all.
 *
 * @throws {TypeError} for an unknown option or one of the wrong type.
 */
export function createTelemetry(
  options: TelemetryOptions | undefined,
  identity: ClientIdentity,
): Telemetry {
  const settings = checkTelemetryOptions(options);
  const spans = settings.tracing ? new Spans(settings, identity) : undefined;
  const metrics = settings.metrics ? createMetrics(settings.meterProvider, identity) : undefined;
  if (spans === undefined && metrics === undefined) return silentTelemetry;
  return new ReportingTelemetry(spans, metrics);
}

class ReportingTelemetry implements Telemetry {
  readonly tracing: boolean;
  readonly #spans: Spans | undefined;
  readonly #metrics: Metrics | undefined;

  constructor(spans: Spans | undefined, metrics: Metrics | undefined) {
    this.tracing = spans !== undefined;
    this.#spans = spans;
    this.#metrics = metrics;
  }

  begin(kind: OperationKind, details: OperationDetails): Operation {
    return new ReportedOperation(this.#spans, this.#metrics, kind, details);
  }

  count(name: CounterName, amount = 1, attributes?: Readonly<Record<string, string>>): void {
    this.#metrics?.count(name, amount, attributes);
  }

  gauge(name: GaugeName, read: () => number): () => void {
    return this.#metrics?.gauge(name, read) ?? (() => {});
  }

  close(): void {
    this.#metrics?.close();
  }
}

class ReportedOperation implements Operation {
  readonly #spans: Spans | undefined;
  readonly #metrics: Metrics | undefined;
  readonly #kind: OperationKind;
  readonly #traced: TracedSpan | undefined;
  readonly #beganAt: number;
  #details: OperationDetails;
  #ended = false;
  /** Ends the message's time in flight. */
  readonly #leave: (() => void) | undefined;
  /** What still keeps the message in flight: the operation, and its handler when that is slower. */
  #holds = 1;

  constructor(
    spans: Spans | undefined,
    metrics: Metrics | undefined,
    kind: OperationKind,
    details: OperationDetails,
  ) {
    this.#spans = spans;
    this.#metrics = metrics;
    this.#kind = kind;
    this.#details = details;
    this.#traced = spans?.begin(kind, details);
    this.#leave = metrics?.enter(kind, details);
    this.#beganAt = metrics === undefined ? 0 : performance.now();
  }

  get trace(): TraceContext | undefined {
    return this.#traced?.trace;
  }

  inject(headers: HeaderCarrier): void {
    if (this.#traced !== undefined) this.#spans?.inject(headers, this.#traced.trace);
  }

  run<T>(work: () => T): T {
    const traced = this.#traced;
    const result = traced === undefined ? work() : runInContext(contextOf(traced), work);
    if (this.#leave !== undefined && result instanceof Promise) this.#hold(result);
    return result;
  }

  note(details: Partial<OperationDetails>): void {
    if (this.#ended) return;
    if (this.#metrics !== undefined) this.#details = { ...this.#details, ...known(details) };
    if (this.#traced?.span !== undefined) noteOnSpan(this.#traced.span, details);
  }

  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#release();
    const span = this.#traced?.span;
    if (span === undefined && this.#metrics === undefined) return;
    const failure = error === undefined ? undefined : describeError(error);
    this.#metrics?.record(this.#kind, this.#details, {
      seconds: (performance.now() - this.#beganAt) / 1_000,
      errorType: failure?.type,
    });
    if (span !== undefined) endSpan(span, failure);
  }

  /** A handler may outlive its operation, which ends at the deadline. */
  #hold(work: Promise<unknown>): void {
    if (this.#holds === 0) return; // it is over
    this.#holds++;
    const release = () => this.#release();
    work.then(release, release);
  }

  #release(): void {
    if (--this.#holds === 0) this.#leave?.();
  }
}

/** What is not known must not erase what is. */
function known(details: Partial<OperationDetails>): Partial<OperationDetails> {
  return Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined));
}
