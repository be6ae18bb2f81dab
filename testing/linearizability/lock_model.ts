import type { Model } from "./model.ts";
import type { OperationResult } from "./recorded_operation.ts";

/** An operation on a lock, or with its token on what the lock protects. */
export type LockInput =
  | { readonly op: "acquire" }
  | { readonly op: "release"; readonly token: number }
  | { readonly op: "use"; readonly token: number };

/** What comes back from a lock, or from what it protects. */
export interface LockOutput {
  /** The token of `acquire`; null when the lock was refused. */
  readonly token?: number | null | undefined;
  /** Whether `release` gave up a lock that was held still, or `use` was let in. */
  readonly done?: boolean | undefined;
}

/** A lock, and the highest token that came to what it protects. */
export interface LockState {
  /** The highest token so far. */
  readonly issued: number;
  /** The token that holds it; null for none, -1 for one above `issued` that nobody was told. */
  readonly held: number | null;
  /** The highest token that was let in. */
  readonly used: number;
  /**
   * The tokens that were given out, without those that can't be let in any more: single ones, and
   * ranges of which one may have been that nobody was told.
   */
  readonly given: readonly { readonly from: number; readonly to: number }[];
}

/** How a {@link lockModel} judges. */
export interface LockModelOptions {
  /**
   * Whether a lock that is held may not be given to another: true only where no lease can run
   * out. @default false
   */
  readonly exclusive?: boolean | undefined;
}

/**
 * A lock with fencing tokens, and what it protects.
 *
 * Each acquisition has a token higher than all before. A release succeeds for the last token only,
 * and once. What the lock protects lets in tokens in rising order only, each as often as it comes:
 * this is what protects it, since a lease may run out while its holder goes on. It lets in no token
 * that was never given out.
 */
export function lockModel(
  options: LockModelOptions = {},
): Model<LockState, LockInput, LockOutput> {
  const exclusive = options.exclusive ?? false;
  return {
    name: exclusive ? "exclusive lock" : "lock",
    initial: { issued: 0, held: null, used: 0, given: [] },
    apply: (state, input, result) => {
      if (input.op === "acquire") return acquire(state, result, exclusive);
      if (input.op === "release") return release(state, input.token, result);
      return use(state, input.token, result);
    },
    isReadOnly: (_input, result) => result?.output.done === false || result?.output.token === null,
    rank: (input, result) => input.op === "acquire" ? result?.output.token ?? undefined : undefined,
    stateKey: ({ issued, held, used, given }) =>
      `${issued} ${held} ${used} ${given.map(({ from, to }) => `${from}-${to}`)}`,
    describeState: ({ issued, held, used }) =>
      `last token ${issued}, held by ${
        held === UNKNOWN ? "an unknown one" : held ?? "nobody"
      }, last used ${used}`,
    describe,
  };
}

const UNKNOWN = -1;

type Result = OperationResult<LockOutput> | undefined;

function acquire(state: LockState, result: Result, exclusive: boolean): LockState | undefined {
  const isTaken = exclusive && state.held !== null;
  if (result === undefined) return isTaken ? undefined : { ...state, held: UNKNOWN };
  const { token } = result.output;
  if (token === null || token === undefined) return exclusive && !isTaken ? undefined : state;
  return isTaken || token <= state.issued ? undefined : give(state, token);
}

/** The state once a token was given out, after one perhaps that nobody was told. */
function give(state: LockState, token: number): LockState {
  const { issued, given } = state;
  const unknown = state.held === UNKNOWN && issued + 1 < token
    ? [{ from: issued + 1, to: token - 1 }]
    : [];
  const known = { from: token, to: token };
  return { ...state, issued: token, held: token, given: [...given, ...unknown, known] };
}

function release(state: LockState, token: number, result: Result): LockState | undefined {
  // A lease may have run out without anybody having taken the lock.
  if (result?.output.done === false) return state;
  const { held, issued } = state;
  if (held === token) return { ...state, held: null };
  const isUnknown = held === UNKNOWN && token > issued;
  return isUnknown ? { ...give({ ...state, held: null }, token), held: null } : undefined;
}

function use(state: LockState, token: number, result: Result): LockState | undefined {
  const isStale = token < state.used;
  if (result?.output.done === false) {
    const isKnown = state.given.some(({ from, to }) => from === token && to === token);
    return isStale || !isKnown ? state : undefined;
  }
  if (isStale) return undefined;
  const isUnknown = state.held === UNKNOWN && token > state.issued;
  const told = isUnknown ? give({ ...state, held: null }, token) : state;
  if (!told.given.some(({ from, to }) => from <= token && token <= to)) return undefined;
  return { ...told, used: token, given: told.given.filter(({ to }) => to >= token) };
}

function describe(input: LockInput, result: Result): string {
  const what = input.op === "acquire" ? "acquire" : `${input.op} with token ${input.token}`;
  if (result === undefined) return `${what}: outcome unknown`;
  const { token, done } = result.output;
  if (input.op === "acquire") return `${what}: ${token == null ? "refused" : `token ${token}`}`;
  return `${what}: ${done === false ? "refused" : "done"}`;
}
