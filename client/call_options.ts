import { checkBoolean, checkDurationMs, checkOptions, checkSignal } from "./validate.ts";

/** How long a call waits that the breaker has no say in; its documentation tells the default. */
export interface WaitBounds {
  /** Gives up with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Gives up after this many milliseconds.
   * @default what the call's documentation says; else the timeoutMs of the coordination or store
   * that is asked, and the client's requestTimeoutMs where there is none: each 5000 by default
   */
  readonly timeoutMs?: number | undefined;
}

/** How long a call waits, and whether the breaker may refuse it. */
export interface CallOptions extends WaitBounds {
  /**
   * Makes the call even while the breaker is open; its outcome still counts. A success does not
   * close an open breaker, which only a probe does. @default false
   */
  readonly bypassBreaker?: boolean | undefined;
}

/** The bounds of a call, checked. */
export interface CallBounds {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly bypassBreaker?: boolean | undefined;
}

/** The names of {@link WaitBounds}. */
const WAIT_KEYS: readonly (keyof WaitBounds)[] = ["signal", "timeoutMs"];
/** The names of {@link CallOptions}. */
export const CALL_KEYS: readonly (keyof CallOptions)[] = [...WAIT_KEYS, "bypassBreaker"];

/** Checks the options of a call that only waits; `timeoutMs` is its default. */
export function checkWait(
  what: string,
  options: WaitBounds | undefined,
  timeoutMs: number,
): CallBounds {
  checkOptions(what, options, WAIT_KEYS);
  return callBounds(what, options, timeoutMs);
}

/** Checks the options of a call; `keys` are those beyond {@link CallOptions}. */
export function checkCall<O extends CallOptions>(
  core: { readonly requestTimeoutMs: number },
  what: string,
  options: O | undefined,
  keys: readonly (keyof O & string)[] = [],
): CallBounds {
  checkOptions(what, options, [...CALL_KEYS, ...keys]);
  return callBounds(what, options, core.requestTimeoutMs);
}

/** Checks the bounds among options whose keys are known; `timeoutMs` is the default. */
export function callBounds(
  what: string,
  options: CallOptions | undefined,
  timeoutMs: number,
): CallBounds {
  if (options === undefined) return { timeoutMs };
  const { signal, timeoutMs: givenMs = timeoutMs, bypassBreaker } = options;
  return {
    signal: checkSignal(`${what}: signal`, signal),
    timeoutMs: checkDurationMs(`${what}: timeoutMs`, givenMs, { min: 1 }),
    bypassBreaker: checkBypass(what, bypassBreaker),
  };
}

/** Checks the option `bypassBreaker`. */
export function checkBypass(what: string, value: unknown): boolean | undefined {
  return value === undefined ? undefined : checkBoolean(`${what}: bypassBreaker`, value);
}
