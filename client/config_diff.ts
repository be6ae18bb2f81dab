/** One setting that is stored with another value than is wanted. */
export interface ConfigDifference {
  /** Its name, with dots into nested settings: `metadata.owner`. */
  readonly field: string;
  /** The value that the server has. */
  readonly stored: unknown;
  /** The value that the caller asked for. */
  readonly wanted: unknown;
}

const MAX_TEXT = 200;

/**
 * Compares what is wanted with what is stored, by the fields of `wanted` alone.
 *
 * A field that is `undefined` is not compared, and nested objects are compared by their wanted fields
 * in turn, so that `{}` asks for nothing. The order of a list of strings doesn't matter. What servers leave out counts as equal to
 * its empty value: a missing field and `false`, `0`, `""` or `[]`.
 */
export function diffConfig(stored: object, wanted: object): readonly ConfigDifference[] {
  return diffFields(stored, wanted, "");
}

/** Writes differences as lines, one a field: `  field: stored → wanted`. */
export function formatDiff(differences: readonly ConfigDifference[]): string {
  return differences
    .map(({ field, stored, wanted }) => `  ${field}: ${textOf(stored)} → ${textOf(wanted)}`)
    .join("\n");
}

function diffFields(stored: object, wanted: object, prefix: string): ConfigDifference[] {
  const differences: ConfigDifference[] = [];
  for (const [key, value] of Object.entries(wanted)) {
    if (value === undefined) continue;
    const found: unknown = Object.hasOwn(stored, key)
      ? (stored as Record<string, unknown>)[key]
      : undefined;
    const field = prefix + key;
    if (isObject(value)) {
      differences.push(...diffFields(isObject(found) ? found : {}, value, `${field}.`));
    } else if (!isSame(found, value)) {
      differences.push({ field, stored: found, wanted: value });
    }
  }
  return differences;
}

function isSame(stored: unknown, wanted: unknown): boolean {
  if (isEmpty(stored) && isEmpty(wanted)) return true;
  if (isEmpty(wanted)) return false;
  if (Array.isArray(stored) && Array.isArray(wanted)) return isSameList(stored, wanted);
  if (isObject(stored) && isObject(wanted)) return diffFields(stored, wanted, "").length === 0;
  return Object.is(stored, wanted);
}

function isSameList(stored: readonly unknown[], wanted: readonly unknown[]): boolean {
  if (stored.length !== wanted.length) return false;
  if (!wanted.every((item) => typeof item === "string")) {
    return wanted.every((item, index) => isSame(stored[index], item));
  }
  const sorted = [...stored].map(String).sort();
  return [...wanted].sort().every((item, index) => sorted[index] === item);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  if (value === 0 || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return "not set";
  if (value === Infinity) return "no bound";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}
