import type { Model } from "./model.ts";
import type { OperationResult } from "./recorded_operation.ts";

/**
 * An operation on a semaphore. `holder` names one permit, from its acquisition to its release; who
 * has it already is refused another one.
 */
export interface SemaphoreInput {
  /** What is done. */
  readonly op: "acquire" | "release";
  /** The permit's name. */
  readonly holder: string;
}

/** What comes back from a semaphore. */
export interface SemaphoreOutput {
  /** Whether the permit was given, or given back. */
  readonly done: boolean;
}

/**
 * A semaphore with a number of permits, of which it never gives more.
 *
 * A lease that may have run out is a release without a result, called when the holder was last
 * known to be alive.
 */
export function semaphoreModel(
  permits: number,
): Model<readonly string[], SemaphoreInput, SemaphoreOutput> {
  return {
    name: `semaphore of ${permits}`,
    initial: [],
    apply: (holders, input, result) =>
      input.op === "acquire"
        ? acquire({ holders, permits }, input.holder, result)
        : release(holders, input.holder, result),
    isReadOnly: (_input, result) => result?.output.done === false,
    describeState: (holders) => `held by ${holders.join(", ") || "nobody"}`,
    describe: ({ op, holder }, result) => {
      const outcome = result === undefined
        ? "outcome unknown"
        : result.output.done
        ? "done"
        : "refused";
      return `${op} for ${holder}: ${outcome}`;
    },
  };
}

function acquire(
  { holders, permits }: { readonly holders: readonly string[]; readonly permits: number },
  holder: string,
  result: OperationResult<SemaphoreOutput> | undefined,
): readonly string[] | undefined {
  const isTaken = holders.length >= permits || holders.includes(holder);
  if (result?.output.done === false) return isTaken ? holders : undefined;
  return isTaken ? undefined : [...holders, holder].sort();
}

function release(
  holders: readonly string[],
  holder: string,
  result: OperationResult<SemaphoreOutput> | undefined,
): readonly string[] | undefined {
  const isHeld = holders.includes(holder);
  if (result?.output.done === false) return isHeld ? undefined : holders;
  return isHeld ? holders.filter((other) => other !== holder) : undefined;
}
