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
  /** Tells it from other records of the same content at the same place. */
  readonly tag: number;
}

/** A journal that can come about: the path from the root to this node. */
export interface JournalNode {
  readonly id: number;
  readonly depth: number;
  readonly parent: JournalNode | undefined;
  readonly record: ModelRecord | undefined;
  /** What the engine's own fold makes of it. */
  readonly state: JournalState;
  /** One text for all journals that the protocol can't tell apart. */
  readonly meaning: string;
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
    meaning: "",
    children: new Map(),
  };
  #size = 1;
  readonly #meanings = new Map<string, string>();

  /** The journal after one more record; its writer saw `seen` as the end. */
  append(end: JournalNode, record: ModelRecord, seen: JournalNode = end): JournalNode {
    const key = seen === end ? record.id : `${record.id} after ${seen.id}`;
    const known = end.children.get(key);
    if (known) return known;
    const depth = end.depth + 1;
    const state = fold(end.state, depth, record, seen.state);
    const meaning = this.#intern(meaningOf(state));
    const node = {
      id: this.#size++,
      depth,
      parent: end,
      record,
      state,
      meaning,
      children: new Map(),
    };
    end.children.set(key, node);
    return node;
  }

  #intern(text: string): string {
    const short = this.#meanings.get(text) ?? this.#meanings.size.toString(36);
    this.#meanings.set(text, short);
    return short;
  }
}

/** What decisions and code can depend on: all of the fold but places, names and epochs. */
function meaningOf(state: JournalState): string {
  const { status, commandSeq, takeovers, progressed, started, pauseRequested } = state;
  const { parties, outcomes, eventIds, cancelReason, fault } = state;
  const sets = [parties.keys(), outcomes.keys(), eventIds].map((set) => [...set].sort());
  const flags = [progressed, started !== undefined, pauseRequested, cancelReason, fault?.kind];
  return JSON.stringify([status, commandSeq, takeovers, flags, sets]);
}

/** The node of a path that lies at this depth. */
export function ancestorAt(node: JournalNode, depth: number): JournalNode {
  let at = node;
  while (at.depth > depth && at.parent) at = at.parent;
  return at;
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
