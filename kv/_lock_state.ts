import { JsflowError } from "../client/errors.ts";
import type { Sighting } from "./_lease.ts";
import type { Seen } from "./_space.ts";
import type { Standing } from "./_state_keeper.ts";

/** What a lock's key holds. It is never deleted, so that its epochs rise for ever. */
export interface LockState {
  /** Who holds it; null when it is free. */
  readonly owner: string | null;
  /** Raised each time it is taken; the token of whoever took it. 0 when nobody ever did. */
  readonly epoch: number;
  /** The holder's lease in milliseconds. */
  readonly leaseMs: number;
  /** Raised by each sign of life of the holder. */
  readonly beat: number;
}

/** Who wants a lock. */
export interface Claim {
  /** Drawn for one acquisition; nobody else ever has it. */
  readonly owner: string;
  readonly leaseMs: number;
}

/**
 * Reads what a lock's key holds.
 *
 * A key whose value somebody removed is free. Epochs never exceed revisions, so beginning again
 * behind the removal's revision keeps them rising.
 *
 * @throws {JsflowError} `invalid_payload` when it is no lock.
 */
export function readLock({ value, revision }: Seen, key: string): LockState {
  if (value === undefined) return { owner: null, epoch: revision, leaseMs: 0, beat: 0 };
  const { owner, epoch, leaseMs, beat } = (value ?? {}) as Partial<LockState>;
  const isLock = (owner === null || typeof owner === "string") && isCount(epoch) &&
    typeof leaseMs === "number" && leaseMs >= 0 && isCount(beat);
  if (!isLock) {
    throw new JsflowError(
      "invalid_payload",
      `cannot read ${key}: revision ${revision} is no state of a lock; ` +
        "nothing else may write under this key",
    );
  }
  return { owner, epoch, leaseMs, beat };
}

/** The state once it is taken. */
export function takeLock(state: LockState, { owner, leaseMs }: Claim): LockState {
  return { owner, epoch: state.epoch + 1, leaseMs, beat: 0 };
}

/** The state after a sign of life. */
export function beatLock(state: LockState): LockState {
  return { ...state, beat: state.beat + 1 };
}

/** The state once it is given back. */
export function freeLock(state: LockState): LockState {
  return { owner: null, epoch: state.epoch, leaseMs: 0, beat: 0 };
}

/** Who holds it, for those who wait; undefined when it is free. */
export function holderOf(
  { owner, epoch, leaseMs }: LockState,
  revision: number,
): Sighting | undefined {
  return owner === null ? undefined : { holder: `${owner} ${epoch}`, sign: revision, leaseMs };
}

/**
 * Tells what a state that was read means for the holder of `token`. Reads may be late: a state from
 * before its time says nothing.
 */
export function standingOf(
  state: LockState,
  { owner, token }: { readonly owner: string; readonly token: number },
): Standing {
  if (state.epoch < token) return "stale";
  if (state.epoch > token) return "lost";
  if (state.owner === owner) return "held";
  return state.owner === null ? "freed" : "lost";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
