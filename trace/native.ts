// The types of other libraries that stand in this folder's signatures, under one roof. `@ignore`
// keeps the documentation check from walking into their packages.
import type * as logtape from "@logtape/logtape";
import type * as otel from "@opentelemetry/api";

/**
 * LogTape's logger.
 *
 * @ignore
 */
export type Logger = logtape.Logger;

/**
 * OpenTelemetry's source of meters, as a metrics SDK provides it.
 *
 * @ignore
 */
export type MeterProvider = otel.MeterProvider;

/**
 * OpenTelemetry's source of tracers, as a tracing SDK provides it.
 *
 * @ignore
 */
export type TracerProvider = otel.TracerProvider;
