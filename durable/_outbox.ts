import { toBinary } from "@bufbuild/protobuf";
import { type Entry, EntrySchema } from "./gen/jsflow/durable/v1/journal_pb.ts";

/** What fits into one record. */
export interface Packed {
  readonly entries: readonly Entry[];
  /** False when something had to stay behind. */
  readonly all: boolean;
  /** Bytes that are left in the record. */
  readonly roomBytes: number;
}

interface Outgoing {
  readonly entry: Entry;
  /** Called once the entry is in the journal. */
  readonly committed: () => void;
}

/**
 * What an execution has made and not yet journaled, in the order in which it was made. The code sees
 * an entry before it is written; only what it has seen is written.
 */
export class Outbox {
  readonly #maxBytes: number;
  #entries: Outgoing[] = [];
  #shown = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** How many entries the code has already seen. */
  get shown(): number {
    return this.#shown;
  }

  /** The first entry that the code has not seen. */
  get next(): Entry | undefined {
    return this.#entries[this.#shown]?.entry;
  }

  push(entry: Entry, committed: () => void): void {
    this.#entries.push({ entry, committed });
  }

  /** The code has seen {@link next}. */
  show(): void {
    this.#shown++;
  }

  /** The code begins anew and has seen nothing. */
  hideAll(): void {
    this.#shown = 0;
  }

  /** Whether the outcome of an operation waits here. */
  holdsOutcome(index: number): boolean {
    return this.#entries.some(({ entry }) => outcomeIndex(entry) === index);
  }

  /** As many shown entries as one record can carry. */
  pack(): Packed {
    const entries: Entry[] = [];
    let roomBytes = this.#maxBytes;
    for (const { entry } of this.#entries.slice(0, this.#shown)) {
      const bytes = entryBytes(entry);
      if (entries.length > 0 && bytes > roomBytes) return { entries, all: false, roomBytes };
      roomBytes -= bytes;
      entries.push(entry);
    }
    return { entries, all: true, roomBytes };
  }

  /** The first entries are in the journal; returns how many of them are outcomes. */
  commit(count: number): number {
    const written = this.#entries.splice(0, Math.min(count, this.#shown));
    this.#shown -= written.length;
    for (const { committed } of written) committed();
    return written.filter(({ entry }) => outcomeIndex(entry) !== undefined).length;
  }
}

/** Tag and length of an entry within its record. */
const ENTRY_OVERHEAD_BYTES = 8;

/** Bytes that an entry takes within a record. */
export function entryBytes(entry: Entry): number {
  return toBinary(EntrySchema, entry).byteLength + ENTRY_OVERHEAD_BYTES;
}

function outcomeIndex({ kind }: Entry): number | undefined {
  return kind.case === "outcome" ? kind.value.op?.index ?? 0 : undefined;
}
