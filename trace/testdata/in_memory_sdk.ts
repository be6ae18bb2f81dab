import {
  AggregationTemporality,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";

/** A tracing SDK that keeps its spans in memory. */
export interface MemoryTracing {
  readonly provider: BasicTracerProvider;
  /** The spans that have ended, in that order. */
  spans(): ReadableSpan[];
}

export function memoryTracing(sampler?: Sampler): MemoryTracing {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
    ...(sampler === undefined ? {} : { sampler }),
  });
  return { provider, spans: () => exporter.getFinishedSpans() };
}

/** One value of a metric. */
export interface Point {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: unknown;
}

/** A metrics SDK that collects when asked. */
export interface MemoryMetrics {
  readonly provider: MeterProvider;
  /** What was collected last, by the name of the metric. */
  collect(): Promise<Map<string, MetricData>>;
  /** The values of one metric; of a histogram, how many values there were. */
  points(name: string): Promise<Point[]>;
  close(): Promise<void>;
}

export function memoryMetrics(): MemoryMetrics {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const provider = new MeterProvider({ readers: [reader] });
  const collect = async () => {
    exporter.reset();
    await provider.forceFlush();
    const scopes = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics);
    const metrics = scopes.flatMap(({ metrics }) => metrics);
    return new Map(metrics.map((metric) => [metric.descriptor.name, metric]));
  };
  const points = async (name: string) => {
    const found: readonly DataPoint<unknown>[] = (await collect()).get(name)?.dataPoints ?? [];
    return found.map(({ attributes, value }) => ({ attributes, value: simplify(value) }));
  };
  return { provider, collect, points, close: () => provider.shutdown() };
}

function simplify(value: unknown): unknown {
  return typeof value === "object" ? (value as Histogram).count : value;
}
