import type { KV, KvEntry } from "@nats-io/kv";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { translateError } from "../client/translate_error.ts";
import type { FailureInfo } from "./errors.ts";
import { failureInfo } from "./failure.ts";
import { isPaused, isTerminal, type JournalState } from "./journal_state.ts";

/** Where an invocation stands, as people see it. */
export type InvocationStatus =
  /** Queued, or told to pause or to cancel before it was started. */
  | "pending"
  | "running"
  /** Waits for a timer, a signal or a child, and takes no memory. */
  | "suspended"
  | "paused"
  /** Its code no longer repeats its journal. */
  | "blocked"
  /** It kept crashing its workers. */
  | "parked"
  | "completed"
  | "failed"
  | "cancelled";

/**
 * What is known of an invocation without reading its journal: one JSON document in the state
 * bucket, for listing and watching. The journal alone is the truth.
 */
export interface InvocationSummary {
  /** Format of the document. */
  readonly version: 1;
  /** Name of the workflow. */
  readonly workflow: string;
  /** Id of the invocation. */
  readonly id: string;
  /** Where it stands. */
  readonly status: InvocationStatus;
  /** Sequence of the journal record that this summary was folded at. */
  readonly journalSeq: number;
  /** When its first record was written, in ISO 8601; absent while there is none. */
  readonly startedAt?: string | undefined;
  /** When its last record was written, in ISO 8601; absent while there is none. */
  readonly updatedAt?: string | undefined;
  /** Set once it has ended: the sequence of the record that says how. */
  readonly terminalSeq?: number | undefined;
  /** What it failed with. */
  readonly error?: FailureInfo | undefined;
  /** Why it is blocked or was cancelled. */
  readonly reason?: string | undefined;
}

/** The public status of a folded journal. */
export function statusOf(state: JournalState): InvocationStatus {
  if (state.fault) return "blocked";
  if (isPaused(state)) return "paused";
  switch (state.status) {
    case "absent":
    case "early":
      return "pending";
    case "active":
    case "released":
      return "running";
    case "tombstone":
      return tombstoneStatus(state);
    default:
      return state.status;
  }
}

/** Folds a journal into its summary. */
export function summarise(workflow: string, id: string, state: JournalState): InvocationSummary {
  const end = state.terminal?.kind;
  const error = end?.case === "failed" ? failureInfo(end.value.error) : undefined;
  const reason = end?.case === "cancelled"
    ? end.value.reason
    : state.fault?.message ?? state.blocked?.reason;
  return {
    version: 1,
    workflow,
    id,
    status: statusOf(state),
    // What broke the journal comes after all that was accepted.
    journalSeq: state.fault?.seq ?? state.lastSeq,
    ...(state.lastSeq > 0 && {
      startedAt: new Date(state.startedAtMs).toISOString(),
      updatedAt: new Date(state.updatedAtMs).toISOString(),
    }),
    ...(isTerminal(state) && { terminalSeq: state.terminalSeq }),
    ...(error && { error }),
    ...(reason && { reason }),
  };
}

/**
 * Writes a summary by compare-and-set over an older one; a newer one stays.
 *
 * @throws {JsflowError} `sequence_conflict` when somebody else writes at the same time; whatever the
 * server refuses.
 */
export async function writeSummary(
  states: KV,
  key: string,
  summary: InvocationSummary,
): Promise<void> {
  const text = JSON.stringify(summary);
  if (await tryPut(states, key, text, 0)) return;
  const stored = await readEntry(states, key);
  const kept = stored?.operation === "PUT" ? stored.json<InvocationSummary>() : undefined;
  if (kept && kept.journalSeq >= summary.journalSeq) return;
  // A key that somebody deleted has a revision too.
  if (await tryPut(states, key, text, stored?.revision ?? 0)) return;
  throw new JsflowError(
    "sequence_conflict",
    `cannot write the summary ${key}: others write it, or what was read is old; try again`,
  );
}

/** False when the key is not at this revision. */
async function tryPut(states: KV, key: string, text: string, revision: number): Promise<boolean> {
  try {
    await states.put(key, text, { previousSeq: revision });
    return true;
  } catch (error) {
    const translated = translateError(error, `write the summary ${key}`);
    if (isJsflowError(translated, "sequence_conflict")) return false;
    throw translated;
  }
}

/** The stored summary and its revision. */
export async function readSummary(
  states: KV,
  key: string,
): Promise<{ summary: InvocationSummary; revision: number } | undefined> {
  const entry = await readEntry(states, key);
  if (!entry || entry.operation !== "PUT") return undefined;
  return { summary: entry.json<InvocationSummary>(), revision: entry.revision };
}

async function readEntry(states: KV, key: string): Promise<KvEntry | undefined> {
  try {
    return await states.get(key) ?? undefined;
  } catch (error) {
    throw translateError(error, `read the summary ${key}`);
  }
}

function tombstoneStatus(state: JournalState): InvocationStatus {
  const status = state.terminal?.kind.case === "tombstone" ? state.terminal.kind.value.status : "";
  return status === "failed" || status === "cancelled" ? status : "completed";
}
