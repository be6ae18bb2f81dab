import { JsflowError } from "../client/errors.ts";
import type { Sighting } from "./_lease.ts";
import type { Claim } from "./_lock_state.ts";
import type { Seen } from "./_space.ts";
import type { Standing } from "./_state_keeper.ts";

/** One who holds a permit. */
export interface PermitHolder {
  /** Drawn for one acquisition; nobody else ever has it. */
  readonly owner: string;
  /** The epoch that its acquisition raised. */
  readonly token: number;
  readonly leaseMs: number;
  /** Raised by each of its signs of life. */
  readonly beat: number;
}

/** What a semaphore's key holds. It is never deleted, so that its epochs rise for ever. */
export interface SemaphoreState {
  /** How many may hold a permit at a time. */
  readonly permits: number;
  /** Raised each time a permit is taken. */
  readonly epoch: number;
  readonly holders: readonly PermitHolder[];
}

/**
 * Reads what a semaphore's key holds; one that holds nothing has as many permits as given.
 *
 * @throws {JsflowError} `invalid_payload` when it is no semaphore.
 */
export function readSemaphore(
  { value, revision }: Seen,
  { key, permits }: { readonly key: string; readonly permits: number },
): SemaphoreState {
  // Epochs never exceed revisions, so beginning again behind a removal keeps them rising.
  if (value === undefined) return { permits, epoch: revision, holders: [] };
  const state = (value ?? {}) as Partial<SemaphoreState>;
  const isSemaphore = isCount(state.permits) && isCount(state.epoch) &&
    Array.isArray(state.holders) && state.holders.every(isHolder);
  if (isSemaphore) return state as SemaphoreState;
  throw new JsflowError(
    "invalid_payload",
    `cannot read ${key}: revision ${revision} is no state of a semaphore; ` +
      "nothing else may write under this key",
  );
}

/** The state once those who are gone are out, and the new one is in. */
export function takePermit(
  state: SemaphoreState,
  { owner, leaseMs }: Claim,
  gone: ReadonlySet<string>,
): SemaphoreState {
  const epoch = state.epoch + 1;
  const { holders } = without(state, gone);
  return { ...state, epoch, holders: [...holders, { owner, token: epoch, leaseMs, beat: 0 }] };
}

/** The state once these owners are out. */
export function without(state: SemaphoreState, owners: ReadonlySet<string>): SemaphoreState {
  return { ...state, holders: state.holders.filter(({ owner }) => !owners.has(owner)) };
}

/** The state after a sign of life of this owner. */
export function beatPermit(state: SemaphoreState, owner: string): SemaphoreState {
  const holders = state.holders.map((holder) =>
    holder.owner === owner ? { ...holder, beat: holder.beat + 1 } : holder
  );
  return { ...state, holders };
}

/** The state once this owner has given its permit back. */
export function freePermit(state: SemaphoreState, owner: string): SemaphoreState {
  return without(state, new Set([owner]));
}

/** The holder of this name; undefined when it holds none. */
export function permitOf(state: SemaphoreState, owner: string): PermitHolder | undefined {
  return state.holders.find((holder) => holder.owner === owner);
}

/** The holders, for those who wait. */
export function sightingsOf({ holders }: SemaphoreState): readonly Sighting[] {
  return holders.map(({ owner, beat, leaseMs }) => ({ holder: owner, sign: beat, leaseMs }));
}

/** Tells what a state that was read means for a holder. */
export function permitStanding(
  state: SemaphoreState,
  { owner, token }: { readonly owner: string; readonly token: number },
): Standing {
  if (state.epoch < token) return "stale";
  return permitOf(state, owner) === undefined ? "lost" : "held";
}

function isHolder(holder: unknown): holder is PermitHolder {
  const { owner, token, leaseMs, beat } = (holder ?? {}) as Partial<PermitHolder>;
  return typeof owner === "string" && isCount(token) && isCount(beat) &&
    typeof leaseMs === "number" && leaseMs >= 0;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
