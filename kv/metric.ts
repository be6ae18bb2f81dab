/** Counters only ever add up, gauges are set. */
export type MetricKind = "counter" | "gauge";

/** What tells series of one name apart: texts by name, 16 at most, of 100 characters each. */
export type MetricLabels = Readonly<Record<string, string>>;

/** A series of a metrics board. */
export interface Metric {
  /** What is measured. */
  readonly name: string;
  /** Whether it adds up or is set. */
  readonly kind: MetricKind;
  /** What tells it apart from others of its name. */
  readonly labels: MetricLabels;
  /** A counter's sum, a gauge's last value; within the safe integers, where it stops rising. */
  readonly value: number;
}

/** A metrics board as it was at one moment. */
export interface MetricsSnapshot {
  /** The series, by name, then by labels. */
  readonly metrics: readonly Metric[];
  /** Rises with each change; 0 when nothing was ever stored. */
  readonly revision: number;
}
