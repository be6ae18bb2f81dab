import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Entry,
  EntrySchema,
  type Event,
  EventSchema,
  type Party,
  PartySchema,
  RecordSchema,
} from "../gen/jsflow/durable/v1/journal_pb.ts";
import { acceptRecord, emptyState, type JournalState, RECORD_VERSION } from "../journal_state.ts";

type EntryInit = NonNullable<MessageInitShape<typeof EntrySchema>["kind"]>;
type EventInit = NonNullable<MessageInitShape<typeof EventSchema>["kind"]>;

/** One entry, from plain values. */
export function entryOf(kind: EntryInit): Entry {
  return create(EntrySchema, { kind });
}

/** One event, from plain values. */
export function eventOf(id: string, kind: EventInit): Event {
  return create(EventSchema, { id, kind });
}

/** A party that listens on an inbox. */
export function inboxOf(value: string): Party {
  return create(PartySchema, { kind: { case: "inbox", value } });
}

/** Events by the word that tests use for them. */
export const events = {
  signal: (id: string): Event => eventOf(id, { case: "signal", value: { name: "go" } }),
  awakeable: (id: string): Event => eventOf(id, { case: "awakeable", value: { index: 1 } }),
  timer: (id: string): Event => eventOf(id, { case: "timer", value: { index: 1 } }),
  child: (id: string): Event => eventOf(id, { case: "child", value: { index: 1 } }),
  cancel: (id: string): Event => eventOf(id, { case: "cancel", value: { reason: "enough" } }),
  pause: (id: string): Event => eventOf(id, { case: "pause", value: {} }),
  resume: (id: string): Event => eventOf(id, { case: "resume", value: {} }),
  wake: (id: string): Event => eventOf(id, { case: "wake", value: { reason: "check" } }),
  reopen: (id: string): Event => eventOf(id, { case: "resume", value: { reopen: true } }),
} as const;

/** Entries by the word that tests use for them. */
export const entries = {
  claimed: (commandSeq: number, takeovers: number = 0, delivery: number = 0): Entry =>
    entryOf({ case: "claimed", value: { commandSeq: BigInt(commandSeq), takeovers, delivery } }),
  started: (party?: Party): Entry =>
    entryOf({ case: "started", value: { start: party ? { party } : {} } }),
  attached: (party: Party): Entry => entryOf({ case: "attached", value: { party } }),
  event: (value: Event): Entry => entryOf({ case: "event", value }),
  attempted: (index: number, attempt: number): Entry =>
    entryOf({ case: "attempted", value: { op: operation(index), attempt } }),
  outcome: (index: number): Entry =>
    entryOf({
      case: "outcome",
      value: { op: operation(index), attempts: 1, result: { case: "value", value: {} } },
    }),
  suspended: (): Entry => entryOf({ case: "suspended", value: {} }),
  released: (): Entry => entryOf({ case: "released", value: {} }),
  blocked: (): Entry => entryOf({ case: "blocked", value: { reason: "changed" } }),
  parked: (takeovers: number = 10): Entry => entryOf({ case: "parked", value: { takeovers } }),
  completed: (): Entry => entryOf({ case: "completed", value: { output: {} } }),
  failed: (): Entry => entryOf({ case: "failed", value: { error: { message: "no" } } }),
  cancelled: (): Entry => entryOf({ case: "cancelled", value: { reason: "enough" } }),
  reopened: (): Entry => entryOf({ case: "reopened", value: {} }),
  tombstone: (): Entry => entryOf({ case: "tombstone", value: { status: "completed" } }),
} as const;

function operation(index: number) {
  return { index, kind: "run", name: `step ${index}` };
}

/** What a record says beside its entries. */
export interface RecordFields {
  readonly version: number;
  readonly recordId: string;
  readonly epoch: number;
  readonly owner: string;
  readonly prevSeq: number;
  readonly prevRecordId: string;
  readonly atMs: number;
}

/** Folds records that are made on the way, as a reader of a journal would. */
export class JournalBuilder {
  readonly state: JournalState = emptyState();
  /** Sequence of the record added last. */
  seq = 0;

  /** Adds one record with what its writer would have put in, unless `fields` say otherwise. */
  add(list: readonly Entry[], fields: Partial<RecordFields> = {}): this {
    this.seq += 10;
    acceptRecord(this.state, this.seq, this.encode(list, fields));
    return this;
  }

  /** Adds a record of the current owner. */
  own(...list: readonly Entry[]): this {
    return this.add(list, { epoch: this.state.epoch, owner: this.state.owner });
  }

  /** Adds a record that claims for a command, and whatever goes with the claim. */
  claim(commandSeq: number, ...rest: readonly Entry[]): this {
    const epoch = this.state.epoch + 1;
    const list = [entries.claimed(commandSeq), ...rest];
    return this.add(list, { epoch, owner: `owner ${epoch}` });
  }

  /** Adds a record that holds events of outsiders. */
  events(...list: readonly Event[]): this {
    return this.add(list.map(entries.event));
  }

  /** Bytes of a record that would follow what was accepted. */
  encode(list: readonly Entry[], fields: Partial<RecordFields> = {}): Uint8Array {
    const { lastSeq, lastRecordId } = this.state;
    const next = this.seq || 1;
    const all: RecordFields = {
      version: RECORD_VERSION,
      recordId: `record ${next}`,
      epoch: 0,
      owner: `outsider ${next}`,
      prevSeq: lastSeq,
      prevRecordId: lastRecordId,
      atMs: 1_000 + next,
      ...fields,
    };
    return toBinary(
      RecordSchema,
      create(RecordSchema, {
        ...all,
        epoch: BigInt(all.epoch),
        prevSeq: BigInt(all.prevSeq),
        atMs: BigInt(all.atMs),
        entries: [...list],
      }),
    );
  }
}
