import type { Operation } from "../trace/telemetry.ts";
import type { Publication } from "./_publication.ts";
import type { PubAck } from "./pub_ack.ts";

/**
 * Where a message is: just made, waiting for room, about to be sent, sent, resting until it is sent
 * again, looked into because of its answer, or done with.
 */
export type EntryState =
  | "new"
  | "waiting"
  | "admitted"
  | "sent"
  | "resting"
  | "checking"
  | "settled";

/** What a publisher has done, and has to do. */
export interface PublisherStats {
  /** Messages sent and not yet settled. */
  readonly inFlight: number;
  /** Their bytes. */
  readonly bytesInFlight: number;
  /** Messages that wait for room. */
  readonly waiting: number;
  /** Messages that were acknowledged. */
  readonly published: number;
  /** Messages that were given up. */
  readonly failed: number;
}

/** Somebody who waits until some messages are settled. */
export interface FlushWaiter {
  /** How many are not yet. */
  left: number;
  readonly resolve: () => void;
}

/** One message of a publisher. */
export interface Entry {
  readonly publication: Publication;
  readonly operation: Operation;
  readonly resolve: (ack: PubAck) => void;
  readonly reject: (error: unknown) => void;
  state: EntryState;
  /** Whether it counts as in flight. */
  admitted: boolean;
  /** Identity of the attempt under way. */
  token: string;
  /** Monotonic time at which the state has lasted too long. */
  deadline: number;
  /** Monotonic time before which it is not sent again. */
  resendAt: number;
  /** Attempts that failed. */
  failures: number;
  /** Whether an attempt ended without anybody knowing what became of it. */
  maybeStored: boolean;
  /** Whether its stream was created anew on its behalf. */
  recreated: boolean;
  /** Takes the listener off the caller's signal. */
  release: (() => void) | undefined;
  flushes: FlushWaiter[] | undefined;
}

/** How the promise of a message ends. */
export interface Outcome {
  readonly resolve: (ack: PubAck) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Resolves when all that are given are settled.
 *
 * When the signal aborts it only leaves the messages; who waits hears of that elsewhere.
 */
export function untilSettled(
  open: ReadonlySet<Entry>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (open.size === 0) return Promise.resolve();
  return new Promise<void>((resolve) => {
    const flush: FlushWaiter = { left: open.size, resolve };
    const entries = [...open];
    for (const entry of entries) (entry.flushes ??= []).push(flush);
    const leave = () => {
      for (const entry of entries) {
        entry.flushes = entry.flushes?.filter((other) => other !== flush);
      }
    };
    signal?.addEventListener("abort", leave, { once: true });
  });
}

/** Makes the entry of a message that waits for room. */
export function createEntry(
  publication: Publication,
  operation: Operation,
  { resolve, reject }: Outcome,
): Entry {
  return {
    publication,
    operation,
    resolve,
    reject,
    state: "new",
    admitted: false,
    token: "",
    deadline: performance.now() + publication.bounds.timeoutMs,
    resendAt: 0,
    failures: 0,
    maybeStored: false,
    recreated: false,
    release: undefined,
    flushes: undefined,
  };
}
