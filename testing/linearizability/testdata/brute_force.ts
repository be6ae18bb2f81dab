import type { Model } from "../model.ts";
import type { RecordedOperation } from "../recorded_operation.ts";

/** Tries every order of a few operations, without any shortcut. */
export function isLinearizableByForce<S, I, O>(
  model: Model<S, I, O>,
  operations: readonly RecordedOperation<I, O>[],
): boolean {
  const keys = new Set(operations.map(({ key }) => key));
  return [...keys].every((key) =>
    canContinue(model, model.initial, operations.filter((operation) => operation.key === key))
  );
}

function canContinue<S, I, O>(
  model: Model<S, I, O>,
  state: S,
  rest: readonly RecordedOperation<I, O>[],
): boolean {
  if (rest.every(({ result }) => result === undefined)) return true;
  return rest.some((operation) => {
    if (rest.some((other) => other.returned < operation.called)) return false;
    const next = model.apply(state, operation.input, operation.result);
    return next !== undefined && canContinue(model, next, rest.filter((it) => it !== operation));
  });
}
