import type { OperationResult, RecordedOperation } from "./recorded_operation.ts";

/**
 * What an object does when its operations come one after the other; the measure for those that
 * came at the same time.
 *
 * States are values: `apply` returns a new one, or the one that it was given.
 */
export interface Model<S, I, O> {
  /** What it is called in reports. */
  readonly name: string;
  /** The state before the first operation. */
  readonly initial: S;
  /**
   * Returns the state after an operation, or undefined when it can't have had this result in this
   * state.
   *
   * Without a result, returns the state after it has taken effect, whatever it would have returned:
   * it must allow everything afterwards that any result would. Undefined, or the state as it is,
   * means that it has no effect here. A state may leave open what such an operation left unknown.
   */
  apply(state: S, input: I, result: OperationResult<O> | undefined): S | undefined;
  /**
   * Whether an operation changes nothing in any state in which it can have this result; at most it
   * tells what a state has left open. Speeds up the search. @default false
   */
  isReadOnly?(input: I, result: OperationResult<O> | undefined): boolean;
  /**
   * A number that is likely to be lower for what took effect first, such as a revision. Only says
   * what to try first, which makes the search much faster. @default none
   */
  rank?(input: I, result: OperationResult<O> | undefined): number | undefined;
  /**
   * Makes operations without a result equal whose differences nobody can have seen, which makes the
   * search much faster. Returns the operations in the same order. @default as they are
   */
  simplify?(operations: readonly RecordedOperation<I, O>[]): readonly RecordedOperation<I, O>[];
  /** A text that two states share when they are equal. @default the state as JSON */
  stateKey?(state: S): string;
  /** A state, for people. @default the state as JSON */
  describeState?(state: S): string;
  /** An operation and what came of it, for people. @default input and output as JSON */
  describe?(input: I, result: OperationResult<O> | undefined): string;
}
