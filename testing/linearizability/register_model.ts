import type { Model } from "./model.ts";
import type { OperationResult, RecordedOperation } from "./recorded_operation.ts";

/** What a register holds; null for nothing. */
export type RegisterValue = string | number | boolean | null;

/** What a compare-and-set expects: a value, a revision, or both. */
export interface RegisterExpectation {
  /** The value that it must hold. @default any */
  readonly value?: RegisterValue | undefined;
  /** The revision that it must be at. @default any */
  readonly revision?: number | undefined;
}

/** An operation on a register. */
export type RegisterInput =
  | { readonly op: "read" }
  /** Null removes. */
  | { readonly op: "write"; readonly value: RegisterValue }
  /** Writes when the register holds a value, or is at a revision. */
  | {
    readonly op: "cas";
    readonly expected: RegisterExpectation;
    readonly value: RegisterValue;
  }
  /** Reads and writes in one step. */
  | { readonly op: "update"; readonly value: RegisterValue };

/** What comes back from a register; what is left out is not checked. */
export interface RegisterOutput {
  /** What was read, by `update` too. */
  readonly value?: RegisterValue | undefined;
  /** The revision that was read or written. */
  readonly revision?: number | undefined;
  /** The revision that `update` replaced. */
  readonly replaced?: number | undefined;
  /** Whether `cas` wrote. */
  readonly done?: boolean | undefined;
}

/** What a register holds, and at which revision. */
export interface RegisterState {
  /** Null for nothing. */
  readonly value: RegisterValue;
  /** Its revision; null when that is unknown, and higher than `floor`. */
  readonly revision: number | null;
  /** The last revision that is known. */
  readonly floor: number;
}

/**
 * A register with compare-and-set, by value or by revision. Each write has a revision higher than
 * the one before. At the beginning it holds nothing, at revision 0.
 *
 * Values that are written once only make the check sharpest and fastest.
 */
export const registerModel: Model<RegisterState, RegisterInput, RegisterOutput> = {
  name: "register",
  initial: { value: null, revision: 0, floor: 0 },
  apply,
  isReadOnly: (input, result) =>
    input.op === "read" || (input.op === "cas" && result?.output.done === false),
  rank: (_input, result) => result?.output.revision,
  simplify,
  stateKey: ({ value, revision, floor }) => `${revision ?? `>${floor}`} ${JSON.stringify(value)}`,
  describeState: ({ value, revision, floor }) =>
    `${show(value)} at ${revision === null ? `a revision above ${floor}` : `revision ${revision}`}`,
  describe: (input, result) => `${describeInput(input)}${describeOutput(result)}`,
};

/** What stands for every value that was written without a result, and that nobody has seen. */
const UNSEEN = "(a value that nobody has seen)";

type Operation = RecordedOperation<RegisterInput, RegisterOutput>;

/** Merges the values that nobody has seen. */
function simplify(operations: readonly Operation[]): readonly Operation[] {
  const seen = new Set<RegisterValue | undefined>([null]);
  for (const { input, result } of operations) {
    seen.add(result?.output.value);
    if (input.op === "cas") seen.add(input.expected.value);
  }
  return operations.map((operation) => {
    const { input, result } = operation;
    if (result !== undefined || input.op === "read" || seen.has(input.value)) return operation;
    return { ...operation, input: { ...input, value: UNSEEN } };
  });
}

function apply(
  state: RegisterState,
  input: RegisterInput,
  result: OperationResult<RegisterOutput> | undefined,
): RegisterState | undefined {
  const output = result?.output ?? {};
  switch (input.op) {
    case "read":
      return holds(state, output.value) ? at(state, output.revision) : undefined;
    case "write":
      return written(state, input.value, output.revision);
    case "update": {
      const before = holds(state, output.value) ? at(state, output.replaced) : undefined;
      return before && written(before, input.value, output.revision);
    }
    case "cas": {
      const { value, revision } = input.expected;
      const before = holds(state, value) ? at(state, revision) : undefined;
      if (output.done === false) return isCertain(state, before) ? undefined : state;
      // What nobody was told needs no revision of its own: that would only make more states.
      return before && written(result ? before : state, input.value, output.revision);
    }
  }
}

/** Whether `value` may have been read. */
function holds(state: RegisterState, value: RegisterValue | undefined): boolean {
  return value === undefined || value === state.value;
}

/** The state, known to be at a revision; undefined when it can't be. */
function at(state: RegisterState, revision: number | undefined): RegisterState | undefined {
  if (revision === undefined || revision === state.revision) return state;
  if (state.revision !== null || revision <= state.floor) return undefined;
  return { value: state.value, revision, floor: revision };
}

/** The state after a write; undefined when revisions don't rise. */
function written(
  state: RegisterState,
  value: RegisterValue,
  revision: number | undefined,
): RegisterState | undefined {
  if (revision === undefined) return { value, revision: null, floor: state.floor };
  return revision > state.floor ? { value, revision, floor: revision } : undefined;
}

/** Whether a compare-and-set must succeed, and not only may, since the revision is unknown. */
function isCertain(state: RegisterState, found: RegisterState | undefined): boolean {
  return found === state;
}

function describeInput(input: RegisterInput): string {
  switch (input.op) {
    case "read":
      return "read";
    case "write":
      return input.value === null ? "remove" : `write ${show(input.value)}`;
    case "update":
      return `update to ${show(input.value)}`;
    case "cas":
      return `set ${show(input.value)} over ${describeExpected(input.expected)}`;
  }
}

function describeExpected({ value, revision }: RegisterExpectation): string {
  if (revision === undefined) return value === undefined ? "anything" : show(value);
  return `revision ${revision}${value === undefined ? "" : `, ${show(value)}`}`;
}

function describeOutput(result: OperationResult<RegisterOutput> | undefined): string {
  if (result === undefined) return ": outcome unknown";
  const { done, value, revision, replaced } = result.output;
  const parts: string[] = [];
  if (done !== undefined) parts.push(done ? "done" : "refused");
  if (value !== undefined) parts.push(`found ${show(value)}`);
  if (replaced !== undefined) parts.push(`replaced revision ${replaced}`);
  if (revision !== undefined) parts.push(`revision ${revision}`);
  return parts.length === 0 ? "" : `: ${parts.join(", ")}`;
}

function show(value: RegisterValue): string {
  return value === null ? "nothing" : JSON.stringify(value);
}
