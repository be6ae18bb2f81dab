import { checkFlag, checkHasMethod, checkKnownKeys } from "./_checks.ts";
import type { MeterProvider, TracerProvider } from "./native.ts";

/** What a client reports, and where. */
export interface TelemetryOptions {
  /** Whether trace contexts travel in headers and spans are made. @default true */
  readonly tracing?: boolean | undefined;
  /** Whether metrics are recorded. @default true */
  readonly metrics?: boolean | undefined;
  /**
   * Whether outgoing messages also get `X-Trace-ID`, `X-Span-ID` and `X-Parent-Span-ID`.
   * @default false
   */
  readonly xHeaders?: boolean | undefined;
  /** Where spans go. @default the provider that is registered with OpenTelemetry, if any */
  readonly tracerProvider?: TracerProvider | undefined;
  /**
   * Where metrics go.
   * @default the provider that is registered with OpenTelemetry when the client is made, if any
   */
  readonly meterProvider?: MeterProvider | undefined;
}

/** {@link TelemetryOptions} after validation. */
export interface TelemetrySettings {
  /** Whether trace contexts travel and spans are made. */
  readonly tracing: boolean;
  /** Whether metrics are recorded. */
  readonly metrics: boolean;
  /** Whether the `X-` headers are written. */
  readonly xHeaders: boolean;
  /** Where spans go; undefined is OpenTelemetry's global one. */
  readonly tracerProvider: TracerProvider | undefined;
  /** Where metrics go; undefined is OpenTelemetry's global one. */
  readonly meterProvider: MeterProvider | undefined;
}

/**
 * Validates telemetry options and fills in the defaults.
 *
 * @throws {TypeError} for an unknown key or a value of the wrong type.
 */
export function checkTelemetryOptions(options: TelemetryOptions | undefined): TelemetrySettings {
  const given = checkKnownKeys<TelemetryOptions>("telemetry", options, [
    "tracing",
    "metrics",
    "xHeaders",
    "tracerProvider",
    "meterProvider",
  ]);
  return {
    tracing: checkFlag("tracing", given.tracing, true),
    metrics: checkFlag("metrics", given.metrics, true),
    xHeaders: checkFlag("xHeaders", given.xHeaders, false),
    tracerProvider: checkHasMethod("tracerProvider", given.tracerProvider, "getTracer"),
    meterProvider: checkHasMethod("meterProvider", given.meterProvider, "getMeter"),
  };
}
