import { checkLinearizability, type LinearizabilityOptions } from "./check_linearizability.ts";
import type { Model } from "./model.ts";
import type { RecordedOperation } from "./recorded_operation.ts";

/**
 * Throws unless a model explains a history; see `checkLinearizability`.
 *
 * @returns the number of steps that the search took
 * @throws {Error} that shows what can't be explained, or says that the bounds were not enough
 * @throws {TypeError | RangeError} for options that make no sense
 *
 * @example
 * ```ts
 * import { assertLinearizable, counterModel } from "@x/jsflow/testing";
 *
 * assertLinearizable(counterModel, [
 *   { process: "a", key: "hits", input: { op: "add", amount: 1 }, result: { output: { value: 1 } },
 *     called: 0, returned: 2 },
 *   { process: "b", key: "hits", input: { op: "read" }, result: { output: { value: 0 } }, called: 1,
 *     returned: 3 },
 * ]);
 * ```
 */
export function assertLinearizable<S, I, O>(
  model: Model<S, I, O>,
  operations: readonly RecordedOperation<I, O>[],
  options?: LinearizabilityOptions,
): number {
  const found = checkLinearizability(model, operations, options);
  if (found.verdict === "violation") throw new Error(found.report);
  if (found.verdict === "unknown") {
    throw new Error(
      `cannot tell whether ${found.keys.map((key) => JSON.stringify(key)).join(", ")} are ` +
        `linearizable: ${found.steps} steps were not enough; raise maxSteps or timeoutMs, or ` +
        "spread the operations over more keys",
    );
  }
  return found.steps;
}
