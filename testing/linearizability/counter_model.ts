import type { Model } from "./model.ts";

/** An operation on a counter. */
export type CounterInput =
  | { readonly op: "add"; readonly amount: number }
  | { readonly op: "read" };

/** What comes back from a counter. */
export interface CounterOutput {
  /** Its value after the operation; left out when an `add` returned none. */
  readonly value?: number | undefined;
}

/** A counter that begins at 0. */
export const counterModel: Model<number, CounterInput, CounterOutput> = {
  name: "counter",
  initial: 0,
  apply: (state, input, result) => {
    const next = input.op === "add" ? state + input.amount : state;
    const value = result?.output.value;
    return value === undefined || value === next ? next : undefined;
  },
  isReadOnly: (input) => input.op === "read",
  stateKey: String,
  describeState: String,
  describe: (input, result) => {
    const what = input.op === "add" ? `add ${input.amount}` : "read";
    if (result === undefined) return `${what}: outcome unknown`;
    return result.output.value === undefined ? what : `${what}: ${result.output.value}`;
  },
};
