import { foreignState } from "./_foreign_state.ts";
import type { Seen } from "./_space.ts";

/** Who has arrived, and by which call. */
export type Arrivals = readonly (readonly [member: string, call: string])[];

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

/** The state once a member has arrived; a member that has is replaced by its newer call. */
export function arriveAt(
  state: BarrierState,
  { member, call }: { readonly member: string; readonly call: string },
): BarrierState {
  const arrived: Arrivals = [...others(state.arrived, member), [member, call]];
  if (arrived.length < state.parties) return { ...state, arrived };
  return { ...state, generation: state.generation + 1, arrived: [], passed: arrived };
}

/** The state once a call is withdrawn; undefined when it does not wait any more. */
export function withdraw(state: BarrierState, call: string): BarrierState | undefined {
  if (!hasCall(state.arrived, call)) return undefined;
  return { ...state, arrived: state.arrived.filter(([, other]) => other !== call) };
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
  return arrivals.some(([, other]) => other === call);
}

function others(arrivals: Arrivals, member: string): Arrivals {
  return arrivals.filter(([other]) => other !== member);
}

function areArrivals(value: unknown): value is Arrivals {
  return Array.isArray(value) &&
    value.every((entry: unknown) =>
      Array.isArray(entry) && entry.length === 2 &&
      entry.every((part) => typeof part === "string")
    );
}
