import { type Budget, Search, type SearchResult } from "./_search.ts";
import type { Model } from "./model.ts";
import type { RecordedOperation } from "./recorded_operation.ts";

/** A beginning of a history that fails. */
export interface SmallestFailure<S, I, O> {
  /** What was called in it; what returned later has no result here. */
  readonly operations: readonly RecordedOperation<I, O>[];
  /** The operation whose return ends it: without this one's result, all of it can be explained. */
  readonly last: RecordedOperation<I, O>;
  /** How far the search came in it. */
  readonly found: SearchResult<S, I, O>;
  /** Whether everything shorter is known to be fine. */
  readonly isSmallest: boolean;
}

/** A search that failed, and what it searched. */
export interface FailedSearch<S, I, O> {
  readonly operations: readonly RecordedOperation<I, O>[];
  readonly found: SearchResult<S, I, O>;
}

/**
 * Finds the shortest beginning of a history that no linearizable history begins with.
 *
 * The search that failed got past every return before the one at which it was stuck, so the
 * shortest one ends there or later.
 */
export function smallestFailure<S, I, O>(
  model: Model<S, I, O>,
  failed: FailedSearch<S, I, O>,
  budget: Budget,
): SmallestFailure<S, I, O> {
  const ends = failed.operations.filter(({ result }) => result !== undefined)
    .sort((a, b) => a.returned - b.returned);
  let [low, high] = [ends.indexOf(failed.found.stuckAt!), ends.length - 1];
  let smallest = failed;
  let middle = low;
  while (low < high) {
    const operations = cutAfter(failed.operations, ends[middle]!.returned);
    const found = new Search(model, operations, budget).run();
    if (found.verdict === "unknown") break;
    if (found.verdict === "linearizable") low = middle + 1;
    else [high, smallest] = [middle, { operations, found }];
    middle = Math.floor((low + high) / 2);
  }
  return { ...smallest, last: ends[high]!, isSmallest: low === high };
}

/** The history as it was at a place: what had not returned yet has no result. */
function cutAfter<I, O>(
  operations: readonly RecordedOperation<I, O>[],
  place: number,
): RecordedOperation<I, O>[] {
  return operations.filter(({ called }) => called <= place).map((operation) =>
    operation.returned <= place
      ? operation
      : { ...operation, result: undefined, returned: Infinity }
  );
}
