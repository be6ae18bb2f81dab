import { checkDurationMs, checkInteger, checkOptions } from "../../client/validate.ts";
import { describeViolation } from "./_describe_violation.ts";
import { type Budget, Search } from "./_search.ts";
import { type FailedSearch, smallestFailure } from "./_smallest_failure.ts";
import type { Model } from "./model.ts";
import type { RecordedOperation } from "./recorded_operation.ts";

/** How long {@link checkLinearizability} may search. */
export interface LinearizabilityOptions {
  /** Steps of the search for one key; each takes some memory. @default 1000000 */
  readonly maxSteps?: number | undefined;
  /** Milliseconds for all keys together. @default 60000 */
  readonly timeoutMs?: number | undefined;
}

/** What {@link checkLinearizability} found. */
export type Linearizability =
  & {
    /** Steps that the search took, for all keys. */
    readonly steps: number;
  }
  & (
    | { readonly verdict: "linearizable" }
    | {
      readonly verdict: "violation";
      readonly key: string;
      /** What can't be explained: the shortest beginning that fails, in plain words. */
      readonly report: string;
      /** What was called in that beginning. */
      readonly operations: readonly RecordedOperation<unknown, unknown>[];
    }
    | {
      readonly verdict: "unknown";
      /** The keys for which the time or the steps were not enough. */
      readonly keys: readonly string[];
    }
  );

const DEFAULT_MAX_STEPS = 1_000_000;
const DEFAULT_TIMEOUT_MS = 60_000;
/** Steps between two looks at the clock. */
const STEPS_PER_LOOK = 256;

/**
 * Tells whether a history can be explained by a model: whether each operation can have taken effect
 * at one moment between its call and its return, so that all results are as the model says.
 *
 * Each key is an object of its own. An operation without a result takes effect at any time after
 * its call, or never. Deciding this can take exponential time, so the search is bounded: then the
 * verdict is `unknown`, unless another key is in violation. The search works without interruption,
 * that is, nothing else happens in the process meanwhile.
 *
 * @throws {TypeError | RangeError} for options that make no sense
 *
 * @example
 * ```ts
 * import { checkLinearizability, registerModel } from "@x/jsflow/testing";
 *
 * const stale = checkLinearizability(registerModel, [
 *   { process: "a", key: "k", input: { op: "write", value: 1 }, result: { output: {} }, called: 0,
 *     returned: 1 },
 *   { process: "b", key: "k", input: { op: "read" }, result: { output: { value: null } }, called: 2,
 *     returned: 3 },
 * ]);
 * if (stale.verdict === "violation") console.log(stale.report);
 * ```
 */
export function checkLinearizability<S, I, O>(
  model: Model<S, I, O>,
  operations: readonly RecordedOperation<I, O>[],
  options?: LinearizabilityOptions,
): Linearizability {
  const limits = checkLimits(options);
  const deadlineMs = performance.now() + limits.timeoutMs;
  const undecided: string[] = [];
  let steps = 0;
  for (const [key, group] of Map.groupBy(operations, (operation) => operation.key)) {
    const budget = new StepBudget(limits.maxSteps, deadlineMs);
    const found = new Search(model, group, budget).run();
    steps += budget.steps;
    if (found.verdict === "unknown") undecided.push(key);
    if (found.verdict !== "violation") continue;
    const failed = { operations: group, found };
    return { verdict: "violation", key, steps, ...explain(model, failed, limits) };
  }
  if (undecided.length > 0) return { verdict: "unknown", keys: undecided, steps };
  return { verdict: "linearizable", steps };
}

interface Limits {
  readonly maxSteps: number;
  readonly timeoutMs: number;
}

function checkLimits(options: LinearizabilityOptions | undefined): Limits {
  const { maxSteps, timeoutMs } = checkOptions("checkLinearizability", options, [
    "maxSteps",
    "timeoutMs",
  ]);
  return {
    maxSteps: checkInteger("maxSteps", maxSteps ?? DEFAULT_MAX_STEPS, { min: 1 }),
    timeoutMs: checkDurationMs("timeoutMs", timeoutMs ?? DEFAULT_TIMEOUT_MS, { min: 1 }),
  };
}

/** Within the same limits once more. */
function explain<S, I, O>(
  model: Model<S, I, O>,
  failed: FailedSearch<S, I, O>,
  { maxSteps, timeoutMs }: Limits,
): { report: string; operations: readonly RecordedOperation<I, O>[] } {
  const budget = new StepBudget(maxSteps, performance.now() + timeoutMs);
  const failure = smallestFailure(model, failed, budget);
  return { report: describeViolation(model, failure), operations: failure.operations };
}

class StepBudget implements Budget {
  readonly #maxSteps: number;
  readonly #deadlineMs: number;
  #steps = 0;
  #isOver = false;

  constructor(maxSteps: number, deadlineMs: number) {
    this.#maxSteps = maxSteps;
    this.#deadlineMs = deadlineMs;
  }

  get steps(): number {
    return this.#steps;
  }

  take(): boolean {
    if (this.#isOver || this.#steps >= this.#maxSteps) return false;
    this.#steps++;
    this.#isOver = this.#steps % STEPS_PER_LOOK === 0 && performance.now() > this.#deadlineMs;
    return !this.#isOver;
  }
}
