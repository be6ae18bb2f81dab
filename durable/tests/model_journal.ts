import { JournalBuilder } from "./journal_builder.ts";
import { entries, events, inboxOf } from "./journal_builder.ts";
import type { Entry } from "../gen/jsflow/durable/v1/journal_pb.ts";
import { acceptRecord, emptyState, type JournalState } from "../journal_state.ts";

/** A record of the model: its entries in short, and who wrote it. */
export interface ModelRecord {
  /** Unique among the records that were ever offered after the same predecessor. */
  readonly id: string;
  /** `claimed 3 0`, `started 0`, `attached 1`, `event signal 2`, `outcome 1`, `suspended`, … */
  readonly parts: readonly string[];
  readonly epoch: number;
  readonly owner: string;
}

/** A journal that can come about: the path from the root to this node. */
export interface JournalNode {
  readonly id: number;
  readonly depth: number;
  readonly parent: JournalNode | undefined;
  readonly record: ModelRecord | undefined;
  /** What the engine's own fold makes of it. */
  readonly state: JournalState;
  readonly children: Map<string, JournalNode>;
}

/** All journals of one exploration, each folded once. */
export class JournalTree {
  readonly root: JournalNode = {
    id: 0,
    depth: 0,
    parent: undefined,
    record: undefined,
    state: emptyState(),
    children: new Map(),
  };
  #size = 1;

  /** The journal after one more record; its writer saw `seen` as the end. */
  append(end: JournalNode, record: ModelRecord, seen: JournalNode = end): JournalNode {
    const key = seen === end ? record.id : `${record.id} after ${seen.id}`;
    const known = end.children.get(key);
    if (known) return known;
    const depth = end.depth + 1;
    const node = {
      id: this.#size++,
      depth,
      parent: end,
      record,
      state: fold(end.state, depth, record, seen.state),
      children: new Map(),
    };
    end.children.set(key, node);
    return node;
  }
}

/** The node of a path that lies at this depth. */
export function ancestorAt(node: JournalNode, depth: number): JournalNode {
  let at = node;
  while (at.depth > depth && at.parent) at = at.parent;
  return at;
}

/** The records of a path, first to last. */
export function recordsOf(node: JournalNode): ModelRecord[] {
  const records: ModelRecord[] = [];
  for (let at: JournalNode | undefined = node; at?.record; at = at.parent) {
    records.unshift(at.record);
  }
  return records;
}

const encoder = new JournalBuilder();

function fold(
  before: JournalState,
  seq: number,
  { id, parts, epoch, owner }: ModelRecord,
  seen: JournalState,
): JournalState {
  const state = copy(before);
  const bytes = encoder.encode(parts.map(toEntry), {
    recordId: `${seq} ${id}`,
    epoch,
    owner,
    prevSeq: seen.lastSeq,
    prevRecordId: seen.lastRecordId,
  });
  acceptRecord(state, seq, bytes);
  return state;
}

function copy(state: JournalState): JournalState {
  return {
    ...state,
    claimedBy: new Set(state.claimedBy),
    parties: new Map(state.parties),
    timeline: [...state.timeline],
    attempts: new Map(state.attempts),
    outcomes: new Map(state.outcomes),
    eventIds: new Set(state.eventIds),
  };
}

function toEntry(part: string): Entry {
  const [kind, a = "", b = ""] = part.split(" ");
  switch (kind) {
    case "claimed":
      return entries.claimed(Number(a), Number(b));
    case "started":
      return entries.started(inboxOf(a));
    case "attached":
      return entries.attached(inboxOf(a));
    case "event":
      return entries.event(events[a as keyof typeof events](b));
    case "outcome":
      return entries.outcome(Number(a));
    default:
      return entries[kind as "suspended"]();
  }
}
