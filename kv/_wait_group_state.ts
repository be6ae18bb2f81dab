import { JsflowError } from "../client/errors.ts";
import { foreignState } from "./_foreign_state.ts";
import type { Seen } from "./_space.ts";

/** What a wait group's key holds: sets of members, so that saying something twice is once. */
export interface WaitGroupState {
  readonly pending: readonly string[];
  /** Kept, so that a late or repeated `add` brings nobody back. */
  readonly done: readonly string[];
}

/** The most members of a group, those that are done included: they stand in one value. */
export const MAX_MEMBERS: number = 4_000;

/** @throws {JsflowError} `invalid_payload` when it is no group. */
export function readWaitGroup(key: string, seen: Seen): WaitGroupState {
  if (seen.value === undefined) return { pending: [], done: [] };
  const { pending, done } = (seen.value ?? {}) as Partial<WaitGroupState>;
  if (areTexts(pending) && areTexts(done)) return { pending, done };
  throw foreignState(key, seen, "a wait group");
}

/** The state with new members; undefined when all are known. */
export function addMembers(
  { pending, done }: WaitGroupState,
  members: readonly string[],
): WaitGroupState | undefined {
  const known = new Set([...pending, ...done]);
  const added = [...new Set(members)].filter((member) => !known.has(member));
  if (added.length === 0) return undefined;
  return bounded({ pending: [...pending, ...added], done });
}

/** The state once a member is done; undefined when it was before. */
export function finishMember(
  { pending, done }: WaitGroupState,
  member: string,
): WaitGroupState | undefined {
  if (done.includes(member)) return undefined;
  return bounded({
    pending: pending.filter((other) => other !== member),
    done: [...done, member],
  });
}

function bounded(state: WaitGroupState): WaitGroupState {
  if (state.pending.length + state.done.length <= MAX_MEMBERS) return state;
  throw new JsflowError(
    "buffer_full",
    `cannot add to a wait group: it would have more than ${MAX_MEMBERS} members; clear it, or use ` +
      "several groups",
  );
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}
