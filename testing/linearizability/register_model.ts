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
  /** What was read, by `update` and `cas` too. */
  readonly value?: RegisterValue | undefined;
  /** The revision that was read, or written; the one that was read by a `cas` that was refused. */
  readonly revision?: number | undefined;
  /** The revision that `update` replaced. */
  readonly replaced?: number | undefined;
  /** Whether `cas` wrote. @default true */
  readonly done?: boolean | undefined;
}

/** What a register holds, and at which revision. */
export interface RegisterState {
  /** Null for nothing. */
  readonly value: RegisterValue;
  /** Its revision; null when that is unknown, and higher than `floor`. */
  readonly revision: number | null;
  /** The last revision that is known, or that an unknown one must have replaced. */
  readonly floor: number;
  /** What an unknown revision is not, since a `cas` that expects it was refused; rises. */
  readonly excluded: readonly number[];
}

/**
 * A register with compare-and-set, by value or by revision. Revisions are whole numbers, and each
 * write has one higher than the one before. At the beginning it holds nothing, at revision 0.
 *
 * A `cas` that is refused although it may have met what it expects says that it has not: whoever
 * meets that value at that revision before the next write contradicts it.
 *
 * Values that are written once only make the check sharpest and fastest.
 */
export const registerModel: Model<RegisterState, RegisterInput, RegisterOutput> = {
  name: "register",
  initial: { value: null, revision: 0, floor: 0, excluded: [] },
  apply,
  isReadOnly: (input, result) =>
    input.op === "read" || (input.op === "cas" && result?.output.done === false),
  rank: (_input, result) => result?.output.revision,
  simplify,
  stateKey: (state) => `${showRevision(state)} ${JSON.stringify(state.value)}`,
  describeState: (state) => `${show(state.value)} at ${showRevision(state)}`,
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
  if (result === undefined) return lost(state, input);
  const { done, replaced, revision, value } = result.output;
  switch (input.op) {
    case "read":
      return found(state, value, revision);
    case "write":
      return written(state, input.value, revision);
    case "update": {
      const before = found(state, value, replaced);
      return before && written(before, input.value, revision);
    }
    case "cas": {
      const { expected } = input;
      if (done === false) return refused(found(state, value, revision), expected);
      const seen = found(state, value, undefined);
      const before = seen && found(seen, expected.value, expected.revision);
      return before && written(before, input.value, revision);
    }
  }
}

/**
 * The state after an operation without a result, if it has an effect. What nobody was told needs
 * nothing that tells it apart: that would only make more states.
 */
function lost(state: RegisterState, input: RegisterInput): RegisterState | undefined {
  if (input.op === "read") return state;
  const { value, revision } = input.op === "cas" ? input.expected : {};
  if (found(state, value, revision) === undefined) return undefined;
  return { value: input.value, revision: null, floor: state.floor, excluded: [] };
}

/** The state, known to hold a value at a revision; undefined when it can't, or is not known to. */
function found(
  state: RegisterState,
  value: RegisterValue | undefined,
  revision: number | undefined,
): RegisterState | undefined {
  if (value !== undefined && value !== state.value) return undefined;
  if (revision === undefined || revision === state.revision) return state;
  const { excluded, floor } = state;
  if (state.revision !== null || revision <= floor || excluded.includes(revision)) return undefined;
  return { value: state.value, revision, floor: revision, excluded: [] };
}

/** The state after a write that was answered; undefined when revisions don't rise. */
function written(
  state: RegisterState,
  value: RegisterValue,
  revision: number | undefined,
): RegisterState | undefined {
  const lowest = state.revision ?? state.floor + 1; // of those that it replaces
  if (revision === undefined) return { value, revision: null, floor: lowest, excluded: [] };
  return revision > lowest ? { value, revision, floor: revision, excluded: [] } : undefined;
}

/** The state that has not met an expectation; undefined when it certainly has. */
function refused(
  state: RegisterState | undefined,
  { value, revision }: RegisterExpectation,
): RegisterState | undefined {
  const met = state && found(state, value, revision);
  if (state === undefined || met === undefined) return state;
  // What was narrowed when it was found may be otherwise.
  return met === state ? undefined : without(state, revision!);
}

/** The state, which is at an unknown revision, but not at this one. */
function without({ value, floor, excluded }: RegisterState, revision: number): RegisterState {
  const all = [...excluded, revision].sort((a, b) => a - b);
  let lowest = floor + 1;
  for (; all[0] === lowest; lowest++) all.shift();
  return { value, revision: null, floor: lowest - 1, excluded: all };
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

function showRevision({ revision, floor, excluded }: RegisterState): string {
  if (revision !== null) return `revision ${revision}`;
  const others = excluded.length === 0 ? "" : ` other than ${excluded.join(", ")}`;
  return `a revision above ${floor}${others}`;
}

function show(value: RegisterValue): string {
  return value === null ? "nothing" : JSON.stringify(value);
}
