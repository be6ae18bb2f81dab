import { checkObject, checkString, describe } from "../client/validate.ts";
import type { MetricLabels } from "./metric.ts";

const MAX_NAME_LENGTH = 100;
const MAX_LABELS = 16;

/** Checks the name of a metric. */
export function checkMetricName(name: unknown): string {
  return checkString("the name of a metric", name, { maxLength: MAX_NAME_LENGTH });
}

/** Checks what is added to a counter or stored in a gauge; JSON carries no more. */
export function checkMetricValue(what: string, value: unknown, min: number): number {
  if (typeof value !== "number") {
    throw new TypeError(`${what} must be a number, got ${describe(value)}`);
  }
  if (value >= min && value <= Number.MAX_SAFE_INTEGER) return value;
  throw new RangeError(
    `${what} must be a number from ${min} to ${Number.MAX_SAFE_INTEGER}, got ${value}`,
  );
}

/** Checks the labels of a series. */
export function checkLabels(labels: MetricLabels): MetricLabels {
  checkObject("labels", labels);
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) {
    throw new RangeError(`labels must be ${MAX_LABELS} at most, got ${entries.length}`);
  }
  for (const [name, value] of entries) {
    checkString("the name of a label", name, { maxLength: MAX_NAME_LENGTH });
    checkString(`label ${JSON.stringify(name)}`, value, {
      minLength: 0,
      maxLength: MAX_NAME_LENGTH,
    });
  }
  return labels;
}
