import type { Model } from "./model.ts";
import type { OperationResult } from "./recorded_operation.ts";

/** An operation on a set. */
export interface SetInput {
  /** What is done. */
  readonly op: "add" | "remove" | "contains";
  /** To which text. */
  readonly member: string;
}

/** What comes back from a set. */
export interface SetOutput {
  /** Whether it held the member before; left out when the operation didn't say. */
  readonly present?: boolean | undefined;
}

/** A set of texts that is empty at the beginning. Its states are sorted. */
export const setModel: Model<readonly string[], SetInput, SetOutput> = {
  name: "set",
  initial: [],
  apply,
  isReadOnly: ({ op }, result) => {
    const present = result?.output.present;
    return op === "contains" || present === (op === "add");
  },
  describe: (input, result) => {
    const what = `${input.op} ${JSON.stringify(input.member)}`;
    if (result === undefined) return `${what}: outcome unknown`;
    const { present } = result.output;
    return present === undefined ? what : `${what}: it was ${present ? "" : "not "}there`;
  },
};

function apply(
  state: readonly string[],
  { op, member }: SetInput,
  result: OperationResult<SetOutput> | undefined,
): readonly string[] | undefined {
  const present = state.includes(member);
  const said = result?.output.present;
  if (said !== undefined && said !== present) return undefined;
  if (op === "add") return present ? state : [...state, member].sort();
  if (op === "remove" && present) return state.filter((other) => other !== member);
  return state;
}
