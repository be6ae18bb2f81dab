import type { CallOptions } from "../client/call_options.ts";
import type { Clock } from "../client/clock.ts";
import { callBounds } from "../client/call_options.ts";
import { checkOptions, checkString, describe, MAX_TIMER_MS } from "../client/validate.ts";
import type { Store } from "./store.ts";

/** What each primitive of the coordination stores its state under. */
export type StateKind =
  | "barrier"
  | "counter"
  | "leader"
  | "lock"
  | "metrics"
  | "once"
  | "rate"
  | "semaphore"
  | "wait_group";

/** A key's state, as somebody saw it. */
export interface Seen {
  /** The value, unchecked; undefined when the key holds none. */
  readonly value: unknown;
  /** The revision that `value` stands for; 0 when the key never held anything. */
  readonly revision: number;
}

/** How long something waits; without a time it waits until its signal aborts. */
export interface WaitLimits {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** The bounds of a wait for a state. */
export interface StateWaitOptions extends WaitLimits {
  /** Completes "cannot …": `wait for group "build"`. */
  readonly what: string;
}

/** Something that lives in a space and ends with it. */
export interface SpaceResource {
  /**
   * Whether somebody at work holds it, who is to give it back within the client's grace. What
   * doesn't yield is closed as soon as the client begins to close.
   * @default false
   */
  readonly yields?: boolean | undefined;
  /** Ends it: what it waits for rejects, what it holds is given back. Idempotent, never rejects. */
  close(): Promise<void>;
}

/** What the primitives of the coordination are built on. */
export interface Space {
  /** Name of the bucket. */
  readonly bucket: string;
  /**
   * The states, as JSON. Objects lose the key `__proto__` there: use arrays of entries where a
   * user's text would be a key.
   */
  readonly store: Store<unknown>;
  readonly clock: Clock;
  /** From 0 to 1, 1 excluded. */
  readonly random: () => number;
  /** A text that nobody has drawn before: for owners, members and operations. */
  readonly newId: () => string;
  /** Milliseconds that one call to the store takes at most. */
  readonly timeoutMs: number;
  /** Aborts when the space closes; its reason is a JsflowError `connection_closed`. */
  readonly closing: AbortSignal;
  /** The key of a state: `<kind>.<name>`, injective. @throws {TypeError | RangeError} */
  keyOf(kind: StateKind, name: string): string;
  /**
   * Waits until the key's state is as wanted, and returns it.
   *
   * The watch begins before anything is read, so that no change is missed. The first state that
   * `predicate` sees is the present one, a missing one as `{ value: undefined, revision: 0 }`. What
   * `predicate` throws ends the wait.
   *
   * @throws the signal's reason; {@link JsflowError} `timeout`; `connection_closed` when the space
   * closes; what ends the watch, such as `bucket_not_found`.
   */
  waitUntilState(
    key: string,
    predicate: (seen: Seen) => boolean,
    options: StateWaitOptions,
  ): Promise<Seen>;
  /**
   * Ends something with the space; returns the function that forgets it again.
   *
   * @throws {JsflowError} `connection_closed` when the space is closed.
   */
  own(resource: SpaceResource): () => void;
  /** Lets something go on behind a call that is over; closing the space waits for it. */
  inBackground(work: Promise<unknown>): void;
}

const spaces = new WeakMap<object, Space>();

/** Connects a coordination with its space; for its implementation alone. */
export function registerSpace(coordination: object, space: Space): void {
  spaces.set(coordination, space);
}

/**
 * Returns the space behind what a user calls a coordination.
 *
 * @throws {TypeError} when it was not made by `openCoordination`.
 */
export function spaceOf(coordination: object): Space {
  const space = spaces.get(coordination);
  if (space === undefined) {
    throw new TypeError(
      `a coordination made by openCoordination is needed, got ${describe(coordination)}`,
    );
  }
  return space;
}

/** The most characters that a name of a lock, a group or the like may have. */
const MAX_NAME_LENGTH = 200;

/** Checks the name of a lock, a group or the like; `what` is how errors call it. */
export function checkName(what: string, name: unknown): string {
  return checkString(what, name, { maxLength: MAX_NAME_LENGTH });
}

/** Checks the options of a call that waits without a bound unless it is given one. */
export function checkLimits<O extends WaitLimits>(
  what: string,
  options: O | undefined,
  keys: readonly (keyof O & string)[] = [],
): WaitLimits {
  checkOptions<O>(what, options, ["signal", "timeoutMs", ...keys]);
  const { signal, timeoutMs } = options ?? {};
  const bounds = callBounds(what, { signal, timeoutMs } as CallOptions, MAX_TIMER_MS);
  return { signal: bounds.signal, timeoutMs };
}
