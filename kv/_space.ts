import type { CallOptions } from "../client/call_options.ts";
import type { Clock } from "../client/clock.ts";
import { callBounds } from "../client/call_options.ts";
import type { ClientCore } from "../client/core.ts";
import { checkOptions, checkString, describe, MAX_TIMER_MS } from "../client/validate.ts";
import { escapedKeyNames, MAX_NAME_BYTES } from "./_key_names.ts";
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
  /** What the caller was promised, when a part of it is over already; for errors. */
  readonly promisedMs?: number | undefined;
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
  /** The client below, which other coordinations may share. */
  readonly core: ClientCore;
  /**
   * The states, as JSON, read at the leader: on replicas too, what a call finds is no older than the
   * call. What a watch shows may be. Objects lose the key `__proto__` there: use arrays of entries where a
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
  /** Reads a state, within `timeoutMs`. */
  read(key: string, signal?: AbortSignal): Promise<Seen>;
  /**
   * Waits until the key's state is as wanted, and returns it.
   *
   * The watch begins before anything is read, so that no change is missed, and what is older than the
   * call does not count. The first state that `predicate` sees is the present one, a missing one as
   * `{ value: undefined, revision: 0 }`. What `predicate` throws ends the wait.
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

/** What a name stands behind in its key. */
export interface NamePlace {
  /** How errors call the name. */
  readonly what: string;
  /** What stands before it, with a dot at its end. */
  readonly prefix: string;
  /** How it stands in the key. @default as it is */
  readonly escape?: ((name: string) => string) | undefined;
}

/**
 * Checks a name that stands in a key, and returns the key.
 *
 * @throws {TypeError | RangeError} before anything is asked.
 */
export function keyWithin(place: NamePlace, name: unknown): string {
  const checked = checkName(place.what, name);
  const key = place.prefix + (place.escape?.(checked) ?? checked);
  if (isKey(key)) return key;
  const room = MAX_NAME_BYTES - encodedLength(place.prefix);
  throw new RangeError(
    `${place.what} must take at most ${room} bytes once encoded, got ${checked.length} ` +
      "characters that take more; letters, digits, _ - / and . take one byte each, others three " +
      "for each byte of their UTF-8",
  );
}

function isKey(key: string): boolean {
  try {
    escapedKeyNames.encode(key);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function encodedLength(prefix: string): number {
  return escapedKeyNames.encode(`${prefix}x`).length - 1;
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
