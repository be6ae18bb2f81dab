/** What came back from an operation. */
export interface OperationResult<O> {
  /** The value, or what stands for it. */
  readonly output: O;
}

/** One operation of a history. */
export interface RecordedOperation<I, O> {
  /** Who did it. */
  readonly process: string;
  /** What it was done to; operations on different keys are checked apart from each other. */
  readonly key: string;
  /** What was asked for. */
  readonly input: I;
  /**
   * What came back. Without one nobody knows what happened: it may take effect at any time after
   * its call, or never.
   */
  readonly result: OperationResult<O> | undefined;
  /** Place of its call in the order of all calls and returns. */
  readonly called: number;
  /** Place of its return in that order; `Infinity` when there is no result. */
  readonly returned: number;
  /** Wall clock in milliseconds at its call and its return, for people; decides nothing. */
  readonly times?: { readonly calledMs: number; readonly returnedMs?: number | undefined };
  /** Why there is no result, for people. */
  readonly note?: string | undefined;
}
