import type { SmallestFailure } from "./_smallest_failure.ts";
import type { Model } from "./model.ts";
import type { RecordedOperation } from "./recorded_operation.ts";

/** Operations that each part of the description shows at most. */
const SHOWN = 16;

/** Tells what can't be explained, in plain words. */
export function describeViolation<S, I, O>(
  model: Model<S, I, O>,
  failure: SmallestFailure<S, I, O>,
): string {
  const { operations, last, found, isSmallest } = failure;
  const show = (operation: RecordedOperation<I, O>) => `  ${line(model, operation)}`;
  const states = found.states.map((state) =>
    `  ${model.describeState?.(state) ?? JSON.stringify(state)}`
  );
  const stuckAt = found.stuckAt ?? last;
  const where = stuckAt === last
    ? "this return"
    : `the return of ${line(model, stuckAt)}, which comes before it`;
  const open = operations.filter((operation) => operation !== last && overlaps(operation, last));
  return [
    `not linearizable: key ${JSON.stringify(last.key)} as a ${model.name}, within its first ` +
    `${operations.length} operations, which end with the return of`,
    show(last),
    isSmallest
      ? "Without this result, all of them can be explained."
      : "A shorter part may fail too.",
    `Before ${where}, the ${model.name} could be`,
    ...states,
    ...section("At the same time, or without a result:", open.map(show)),
    ...section("One order that leads there ends with:", found.order.map(show)),
  ].join("\n");
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const more = lines.length > SHOWN ? [`  … and ${lines.length - SHOWN} before`] : [];
  return [title, ...more, ...lines.slice(-SHOWN)];
}

function overlaps<I, O>(a: RecordedOperation<I, O>, b: RecordedOperation<I, O>): boolean {
  return a.called < b.returned && b.called < a.returned;
}

function line<S, I, O>(
  model: Model<S, I, O>,
  { process, input, result, called, returned, times, note }: RecordedOperation<I, O>,
): string {
  const what = model.describe?.(input, result) ??
    `${JSON.stringify(input)}: ${result ? JSON.stringify(result.output) : "outcome unknown"}`;
  const span = returned === Infinity ? `${called}…` : `${called}…${returned}`;
  const since = times === undefined ? "" : `, ${clockTime(times.calledMs)}`;
  return `${process}: ${what} (${span}${since})${note === undefined ? "" : ` [${note}]`}`;
}

function clockTime(ms: number): string {
  return new Date(ms).toISOString().slice(11, 23);
}
