/**
 * What each writer has applied last: writer, number of its operation, what came of it. The writer
 * that applied something last stands last.
 */
export type AppliedLog = readonly (readonly [writer: string, seq: number, result: number])[];

/** One operation of a writer, whose operations go one after the other. */
export interface LoggedOperation {
  readonly writer: string;
  /** Larger than that of the writer's operations before. */
  readonly seq: number;
}

/** What a log tells of an operation. */
export type AppliedVerdict =
  | { readonly kind: "applied"; readonly result: number }
  | { readonly kind: "missing" }
  | { readonly kind: "forgotten" };

/** Writers that a log remembers; beyond, the one that applied nothing for longest is forgotten. */
export const MAX_LOGGED_WRITERS = 128;

/**
 * Tells whether an operation that may have been applied was: nobody can tell (`forgotten`) once so
 * many others have written since that its writer may have been dropped.
 */
export function appliedVerdict(log: AppliedLog, operation: LoggedOperation): AppliedVerdict {
  const known = log.find(([writer]) => writer === operation.writer);
  if (known === undefined) {
    return { kind: log.length < MAX_LOGGED_WRITERS ? "missing" : "forgotten" };
  }
  const [, seq, result] = known;
  return seq === operation.seq ? { kind: "applied", result } : { kind: "missing" };
}

/** The log once an operation is applied. */
export function withApplied(
  log: AppliedLog,
  { writer, seq }: LoggedOperation,
  result: number,
): AppliedLog {
  const others = log.filter(([other]) => other !== writer);
  return [...others.slice(-(MAX_LOGGED_WRITERS - 1)), [writer, seq, result]];
}

/** Whether something read from a bucket is a log. */
export function isAppliedLog(value: unknown): value is AppliedLog {
  return Array.isArray(value) && value.every((entry: unknown) => {
    if (!Array.isArray(entry) || entry.length !== 3) return false;
    const [writer, seq, result] = entry as unknown[];
    return typeof writer === "string" && Number.isSafeInteger(seq) && typeof result === "number";
  });
}
