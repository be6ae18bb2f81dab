import { type AppliedLog, isAppliedLog } from "./_applied_log.ts";
import { foreignState } from "./_foreign_state.ts";
import type { Seen } from "./_space.ts";
import type { Metric, MetricKind, MetricLabels } from "./metric.ts";

/** What tells a series from others: kind, name, and labels in the order of their names. */
export type SeriesId = readonly [
  kind: MetricKind,
  name: string,
  labels: readonly (readonly [name: string, value: string])[],
];

/** A series, or a change of one: for a counter what is added, for a gauge its new value. */
export type Series = readonly [...SeriesId, value: number];

/** What a board's key holds. */
export interface MetricsState {
  readonly series: readonly Series[];
  /** The last batches of those that wrote lately. */
  readonly log: AppliedLog;
}

/** Series by what they are stored under. */
export type SeriesMap = Map<string, Series>;

/** @throws {JsflowError} `invalid_payload` when it is no board. */
export function readMetrics(key: string, seen: Seen): MetricsState {
  if (seen.value === undefined) return { series: [], log: [] };
  const { series, log } = (seen.value ?? {}) as Partial<MetricsState>;
  const isBoard = Array.isArray(series) && series.every(isSeries) && isAppliedLog(log);
  if (isBoard) return { series, log };
  throw foreignState(key, seen, "a metrics board");
}

/** Makes the id of a series of labels in any order. */
export function seriesId(kind: MetricKind, name: string, labels: MetricLabels): SeriesId {
  const sorted = Object.entries(labels).sort(([a], [b]) => a < b ? -1 : 1);
  return [kind, name, sorted];
}

/** Takes a change into series: a counter's is added to what is there, a gauge's replaces it. */
export function mergeChange(map: SeriesMap, change: Series): void {
  const [kind, name, labels, value] = change;
  const text = textOf([kind, name, labels]);
  const before = kind === "counter" ? map.get(text)?.[3] ?? 0 : 0;
  map.set(text, [kind, name, labels, saturated(before + value)]);
}

/** The series once changes are in, and how many changes were too many for the bound. */
export function mergeSeries(
  series: readonly Series[],
  changes: Iterable<Series>,
  maxSeries: number,
): { readonly series: readonly Series[]; readonly refused: number } {
  const map: SeriesMap = new Map(series.map((one) => [textOf([one[0], one[1], one[2]]), one]));
  let refused = 0;
  for (const change of changes) {
    const isKnown = map.has(textOf([change[0], change[1], change[2]]));
    if (isKnown || map.size < maxSeries) mergeChange(map, change);
    else refused++;
  }
  return { series: [...map.values()], refused };
}

/** The same, as users see it: by name, then by labels. */
export function metricsOf({ series }: MetricsState): readonly Metric[] {
  const sorted = series.map((one) => ({ one, text: JSON.stringify([one[1], one[2], one[0]]) }))
    .sort((a, b) => a.text < b.text ? -1 : 1);
  return sorted.map(({ one: [kind, name, labels, value] }) => ({
    name,
    kind,
    labels: Object.fromEntries(labels),
    value,
  }));
}

/** Injective: JSON of texts in a fixed order. */
export function textOf(id: SeriesId): string {
  return JSON.stringify(id);
}

/** What JSON carries without a loss. */
function saturated(value: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
}

function isSeries(value: unknown): value is Series {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [kind, name, labels, number] = value as unknown[];
  return (kind === "counter" || kind === "gauge") && typeof name === "string" &&
    typeof number === "number" && Array.isArray(labels) && labels.every(isLabel);
}

function isLabel(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 &&
    value.every((part) => typeof part === "string");
}
