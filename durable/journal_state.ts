import { fromBinary } from "@bufbuild/protobuf";
import {
  type Entry,
  type Operation,
  type OperationAttempted,
  type OperationCompleted,
  type Party,
  type Record as JournalRecord,
  RecordSchema,
  type Started,
} from "./gen/jsflow/durable/v1/journal_pb.ts";

/** Format of the records that this version writes and reads. */
export const RECORD_VERSION = 1;

/** What the accepted records of an invocation add up to. */
export type JournalStatus =
  | "absent"
  | "early"
  | "active"
  | "suspended"
  | "released"
  | "blocked"
  | "parked"
  | "completed"
  | "failed"
  | "cancelled"
  | "tombstone";

/** Why an invocation is quarantined: nothing is appended to its journal any more. */
export interface JournalFault {
  readonly kind: "chain" | "version" | "undecodable" | "invariant";
  /** Stream sequence of the offending record. */
  readonly seq: number;
  readonly message: string;
}

/** The fold of an invocation's accepted records: everything that is known of it. */
export interface JournalState {
  status: JournalStatus;
  /** Sequence and id of the last accepted record; 0 and "" when there is none. */
  lastSeq: number;
  lastRecordId: string;
  /** The latest claim. */
  epoch: number;
  owner: string;
  commandSeq: number;
  /** How often the command had been delivered when it was claimed; 0 when unknown. */
  delivery: number;
  takeovers: number;
  /** True once the latest claim has brought an outcome. */
  progressed: boolean;
  started: Started | undefined;
  startedAtMs: number;
  updatedAtMs: number;
  /** Who wants to hear how it ends, by {@link partyKey}. */
  readonly parties: Map<string, Party>;
  /** Everything that replay delivers, in journal order. */
  readonly timeline: Entry[];
  readonly attempts: Map<number, OperationAttempted>;
  readonly outcomes: Map<number, OperationCompleted>;
  readonly eventIds: Set<string>;
  /** The last of pause and resume counts. */
  pauseRequested: boolean;
  cancelReason: string | undefined;
  /** The entry that ended it, and the sequence of its record. */
  terminal: Entry | undefined;
  terminalSeq: number;
  blocked: { reason: string; expected?: Operation; actual?: Operation } | undefined;
  fault: JournalFault | undefined;
}

/** The state before the first record. */
export function emptyState(): JournalState {
  return {
    status: "absent",
    lastSeq: 0,
    lastRecordId: "",
    epoch: 0,
    owner: "",
    commandSeq: 0,
    delivery: 0,
    takeovers: 0,
    progressed: false,
    started: undefined,
    startedAtMs: 0,
    updatedAtMs: 0,
    parties: new Map(),
    timeline: [],
    attempts: new Map(),
    outcomes: new Map(),
    eventIds: new Set(),
    pauseRequested: false,
    cancelReason: undefined,
    terminal: undefined,
    terminalSeq: 0,
    blocked: undefined,
    fault: undefined,
  };
}

/** True when the invocation has ended. */
export function isTerminal(state: JournalState): boolean {
  return TERMINAL.has(state.status);
}

/** True when the invocation waits and has been asked to go on waiting. */
export function isPaused(state: JournalState): boolean {
  return state.status === "suspended" && state.pauseRequested;
}

/** One name for each party, so that none is listed twice. */
export function partyKey(party: Party): string {
  if (party.kind.case === "inbox") return `inbox ${party.kind.value}`;
  if (party.kind.case !== "parent") return "";
  const { workflow, id, index } = party.kind.value;
  return JSON.stringify([workflow, id, index]);
}

/**
 * Folds the record at stream sequence `seq` into the state.
 *
 * A record that can't be decoded, doesn't name the last accepted record as its predecessor, or
 * breaks an invariant sets `fault`; from then on nothing is accepted.
 */
export function acceptRecord(state: JournalState, seq: number, bytes: Uint8Array): void {
  if (state.fault || seq <= state.lastSeq) return;
  let record: JournalRecord;
  try {
    record = fromBinary(RecordSchema, bytes);
  } catch (error) {
    state.fault = { kind: "undecodable", seq, message: `record ${seq} can't be decoded: ${error}` };
    return;
  }
  state.fault = chainFault(state, seq, record);
  if (state.fault) return;
  state.lastSeq = seq;
  state.lastRecordId = record.recordId;
  if (state.startedAtMs === 0) state.startedAtMs = Number(record.atMs);
  state.updatedAtMs = Number(record.atMs);
  for (const entry of record.entries) {
    const message = acceptEntry(state, record, entry, seq);
    if (message) {
      state.fault = { kind: "invariant", seq, message: `record ${seq}: ${message}` };
      return;
    }
  }
}

const TERMINAL: ReadonlySet<JournalStatus> = new Set(
  ["completed", "failed", "cancelled", "tombstone"] as const,
);

function chainFault(
  state: JournalState,
  seq: number,
  record: JournalRecord,
): JournalFault | undefined {
  if (record.version !== RECORD_VERSION) {
    const message = `record ${seq} has version ${record.version}, this worker reads ` +
      `${RECORD_VERSION}: deploy a newer worker`;
    return { kind: "version", seq, message };
  }
  const prevSeq = Number(record.prevSeq);
  if (prevSeq === state.lastSeq && record.prevRecordId === state.lastRecordId) return undefined;
  const head = record.entries[0]?.kind.case;
  if (state.lastSeq === 0 && head === "tombstone") return undefined;
  const message = `record ${seq} follows record ${prevSeq} (${record.prevRecordId}), but the ` +
    `journal ends with record ${state.lastSeq} (${state.lastRecordId}): it has forked, or the ` +
    `server's store was restored from an old copy`;
  return { kind: "chain", seq, message };
}

/** Applies one entry; returns what is wrong with it, if anything. */
function acceptEntry(
  state: JournalState,
  record: JournalRecord,
  entry: Entry,
  seq: number,
): string | undefined {
  const { kind } = entry;
  if (isTerminal(state) && kind.case !== "reopened" && kind.case !== "tombstone") {
    return `"${kind.case}" follows the end of the invocation`;
  }
  switch (kind.case) {
    case "claimed": {
      const epoch = Number(record.epoch);
      if (epoch <= state.epoch) return `epoch ${epoch} claimed after epoch ${state.epoch}`;
      state.status = "active";
      state.epoch = epoch;
      state.owner = record.owner;
      state.commandSeq = Number(kind.value.commandSeq);
      state.delivery = kind.value.delivery;
      state.takeovers = kind.value.takeovers;
      state.progressed = false;
      state.blocked = undefined;
      return undefined;
    }
    case "started":
      if (state.started) return "started twice";
      state.started = kind.value;
      addParty(state, kind.value.start?.party);
      return undefined;
    case "attached":
      addParty(state, kind.value.party);
      return undefined;
    case "event":
      return acceptEvent(state, entry);
    case "completed":
    case "failed":
    case "cancelled":
      // Whoever cancels what no worker has claimed yet ends it; from then on only the owner may.
      if (kind.case !== "cancelled" || state.epoch > 0) {
        const refusal = checkOwner(state, record, entry);
        if (refusal) return refusal;
      }
      end(state, entry, seq);
      return undefined;
    case "tombstone":
      end(state, entry, seq);
      return undefined;
    case "reopened":
      if (state.status !== "failed") return `reopened when ${state.status}`;
      state.status = "suspended";
      state.terminal = undefined;
      return undefined;
    case undefined:
      return "an entry of an unknown kind";
    default:
      return acceptOwned(state, record, entry);
  }
}

/** What is wrong with an entry that only the owner of the highest epoch may append. */
function checkOwner(
  state: JournalState,
  { epoch, owner }: JournalRecord,
  { kind }: Entry,
): string | undefined {
  if (Number(epoch) !== state.epoch || owner !== state.owner) {
    return `"${kind.case}" of epoch ${epoch} under the claim of epoch ${state.epoch}`;
  }
  return state.status === "active" ? undefined : `"${kind.case}" when ${state.status}`;
}

function end(state: JournalState, entry: Entry, seq: number): void {
  state.status = entry.kind.case as JournalStatus;
  state.terminal = entry;
  state.terminalSeq = seq;
}

/** Entries that only the owner of the highest epoch may append. */
function acceptOwned(
  state: JournalState,
  record: JournalRecord,
  entry: Entry,
): string | undefined {
  const { kind } = entry;
  const refusal = checkOwner(state, record, entry);
  if (refusal) return refusal;
  switch (kind.case) {
    case "suspended":
    case "released":
    case "parked":
      state.status = kind.case;
      return undefined;
    case "blocked": {
      const { reason, expected, actual } = kind.value;
      state.status = "blocked";
      state.blocked = { reason, ...(expected && { expected }), ...(actual && { actual }) };
      return undefined;
    }
    case "attempted":
      state.attempts.set(kind.value.op?.index ?? 0, kind.value);
      return undefined;
    case "outcome": {
      const index = kind.value.op?.index ?? 0;
      if (state.outcomes.has(index)) return `the outcome of operation ${index} is decided twice`;
      state.outcomes.set(index, kind.value);
      state.progressed = true;
      state.timeline.push(entry);
      return undefined;
    }
    default:
      // Going on without what it says would be worse than waiting for a newer worker.
      return `"${kind.case}" is not known to this version`;
  }
}

function acceptEvent(state: JournalState, entry: Entry): string | undefined {
  const event = entry.kind.value as Extract<Entry["kind"], { case: "event" }>["value"];
  if (state.eventIds.has(event.id)) return `event ${event.id} is journaled twice`;
  state.eventIds.add(event.id);
  if (state.status === "absent") state.status = "early";
  if (event.kind.case === "pause") state.pauseRequested = true;
  if (event.kind.case === "resume") state.pauseRequested = false;
  if (event.kind.case === "cancel") state.cancelReason ??= event.kind.value.reason;
  state.timeline.push(entry);
  return undefined;
}

function addParty(state: JournalState, party: Party | undefined): void {
  if (party?.kind.case) state.parties.set(partyKey(party), party);
}
