import { foreignState } from "./_foreign_state.ts";
import { freeLock, type LockState, readLock } from "./_lock_state.ts";
import type { Seen } from "./_space.ts";

/** What came of a function that runs once. */
export type OnceOutcome =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "failure"; readonly name: string; readonly message: string };

/** What is stored of something that runs once: who runs it, then what came of it. */
export interface OnceState extends LockState {
  readonly outcome: OnceOutcome | undefined;
}

const MAX_FAILURE_LENGTH = 1_000;

/** @throws {JsflowError} `invalid_payload` when it is something else. */
export function readOnce(key: string, seen: Seen): OnceState {
  const state = readLock(seen, key);
  const { outcome } = (seen.value ?? {}) as { outcome?: unknown };
  if (outcome === undefined || isOutcome(outcome)) return { ...state, outcome };
  throw foreignState(key, seen, "something that runs once");
}

/** The state once the run is over; without an outcome, it is to be run again. */
export function finishOnce(state: OnceState, outcome: OnceOutcome | undefined): OnceState {
  return { ...freeLock(state), outcome };
}

/** What is stored of a failure: its name and text, cut to size. */
export function failureOf(error: unknown): OnceOutcome {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return {
    kind: "failure",
    name: String(name).slice(0, MAX_FAILURE_LENGTH),
    message: String(message).slice(0, MAX_FAILURE_LENGTH),
  };
}

function isOutcome(value: unknown): value is OnceOutcome {
  const { kind, name, message } = (value ?? {}) as Record<string, unknown>;
  return kind === "value" ||
    (kind === "failure" && typeof name === "string" && typeof message === "string");
}
