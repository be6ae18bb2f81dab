import { foreignState } from "./_foreign_state.ts";
import type { Seen } from "./_space.ts";

/** Who has arrived, and by which calls. A member that has arrived again has several. */
export type Arrivals = readonly (readonly [member: string, ...calls: string[]])[];

/** Calls of one member that are known; beyond, the oldest is forgotten. */
const MAX_CALLS = 4;

/** What a barrier's key holds. */
export interface BarrierState {
  /** How many must arrive. */
  readonly parties: number;
  /** How often it has opened. */
  readonly generation: number;
  /** Those who wait for it to open. */
  readonly arrived: Arrivals;
  /** Those with whom it opened last, for calls whose answer was lost. */
  readonly passed: Arrivals;
}

/** @throws {JsflowError} `invalid_payload` when it is no barrier. */
export function readBarrier(key: string, seen: Seen): BarrierState | undefined {
  if (seen.value === undefined) return undefined;
  const state = (seen.value ?? {}) as Partial<BarrierState>;
  const { parties, generation, arrived, passed } = state;
  const isBarrier = Number.isSafeInteger(parties) && Number.isSafeInteger(generation) &&
    areArrivals(arrived) && areArrivals(passed);
  if (isBarrier) return state as BarrierState;
  throw foreignState(key, seen, "a barrier");
}

/** The state once a member has arrived; one that has keeps its place, with one more call. */
export function arriveAt(
  state: BarrierState,
  { member, call }: { readonly member: string; readonly call: string },
): BarrierState {
  const [, ...before] = state.arrived.find(([other]) => other === member) ?? [member];
  const calls = [...before, call].slice(-MAX_CALLS);
  const others = state.arrived.filter(([other]) => other !== member);
  const arrived: Arrivals = [...others, [member, ...calls]];
  if (arrived.length < state.parties) return { ...state, arrived };
  return { ...state, generation: state.generation + 1, arrived: [], passed: arrived };
}

/**
 * The state once a call is withdrawn, and its member with the last of its calls; undefined when it
 * does not wait any more.
 */
export function withdraw(state: BarrierState, call: string): BarrierState | undefined {
  if (!hasCall(state.arrived, call)) return undefined;
  const arrived = state.arrived
    .map(([member, ...calls]) => [member, ...calls.filter((other) => other !== call)] as const)
    .filter(([, ...calls]) => calls.length > 0);
  return { ...state, arrived };
}

/**
 * The generation whose opening a call waits for or has seen; undefined when it has not arrived as
 * far as the state tells.
 */
export function generationOf(state: BarrierState, call: string): number | undefined {
  if (hasCall(state.arrived, call)) return state.generation;
  return hasCall(state.passed, call) ? state.generation - 1 : undefined;
}

function hasCall(arrivals: Arrivals, call: string): boolean {
  return arrivals.some(([, ...calls]) => calls.includes(call));
}

function areArrivals(value: unknown): value is Arrivals {
  return Array.isArray(value) &&
    value.every((entry: unknown) =>
      Array.isArray(entry) && entry.length >= 2 &&
      entry.every((part) => typeof part === "string")
    );
}
