import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Clock } from "../client/clock.ts";
import { untilAborted } from "../client/deadline.ts";
import { type Entry, RecordSchema } from "./gen/jsflow/durable/v1/journal_pb.ts";
import type { AppendResult, JournalStore } from "./journal_store.ts";
import { isFinal, pauseAfter, untilAnswered } from "./_until_answered.ts";
import { acceptRecord, emptyState, type JournalState, RECORD_VERSION } from "./journal_state.ts";

/** Under which claim a record is written; epoch 0 and a fresh nonce for those that own nothing. */
export interface Writer {
  readonly epoch: number;
  readonly owner: string;
}

/** What a journal needs from its surroundings. */
export interface JournalContext {
  readonly store: JournalStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
}

/** Says that the journal lost what it held: it was purged, or restored from an old copy. */
export class JournalLostError extends Error {
  constructor(subject: string) {
    super(`the journal ${subject} no longer holds what it held`);
    this.name = "JournalLostError";
  }
}

/**
 * One invocation's journal: the fold of what was read, and the only way to append.
 *
 * Not for concurrent use: one append at a time.
 */
export class Journal {
  readonly subject: string;
  state: JournalState = emptyState();
  readonly #context: JournalContext;

  constructor(subject: string, context: JournalContext) {
    this.subject = subject;
    this.#context = context;
  }

  /** Reads what was appended since, and folds it; retries until the signal aborts. */
  async load(signal: AbortSignal): Promise<void> {
    await untilAnswered(this.#context, signal, () => this.#readForward());
  }

  /**
   * Looks at the end of the journal, for an owner that may have missed an event.
   *
   * @throws {JournalLostError} when the journal is shorter than it was.
   */
  async refresh(signal: AbortSignal): Promise<void> {
    await untilAnswered(this.#context, signal, () => this.#readTail());
  }

  /**
   * Appends the entries as one record after the last accepted one.
   *
   * Resolves with true when the record is in the journal, with false when somebody else's record
   * came first; either way `state` then holds the tail as it was read, so look at it before going
   * on. A time-out is settled by reading the tail and offering the same record again.
   *
   * @throws {JournalLostError} when the journal is shorter than it was.
   * @throws {JsflowError} `payload_too_large`; `connection_closed`; the signal's reason.
   */
  async append(entries: readonly Entry[], writer: Writer, signal: AbortSignal): Promise<boolean> {
    const { lastSeq, lastRecordId } = this.state;
    const recordId = this.#context.newId();
    const bytes = toBinary(
      RecordSchema,
      create(RecordSchema, {
        version: RECORD_VERSION,
        recordId,
        epoch: BigInt(writer.epoch),
        owner: writer.owner,
        prevSeq: BigInt(lastSeq),
        prevRecordId: lastRecordId,
        atMs: BigInt(this.#context.clock.now()),
        entries: [...entries],
      }),
    );
    for (let failures = 1;; failures++) {
      const result = await untilAborted(this.#offer(bytes, recordId, lastSeq), signal);
      if (result?.kind === "accepted" && !result.duplicate) {
        acceptRecord(this.state, result.seq, bytes);
        return true;
      }
      // Conflict, duplicate or unknown: only the tail tells whether this very record is there.
      const found = await untilAnswered(this.#context, signal, () => this.#readTail(recordId));
      if (found) return true;
      if (this.state.lastSeq !== lastSeq || this.state.fault) return false;
      await pauseAfter(failures, this.#context, signal);
    }
  }

  /** Undefined when it is unknown whether the record was written. */
  async #offer(
    bytes: Uint8Array,
    recordId: string,
    lastSeq: number,
  ): Promise<AppendResult | undefined> {
    try {
      return await this.#context.store.append(this.subject, bytes, { recordId, lastSeq });
    } catch (error) {
      if (isFinal(error)) throw error;
      return undefined;
    }
  }

  /** Folds the tail; true when it holds the record of this id. */
  async #readTail(recordId?: string): Promise<boolean> {
    const { lastSeq, lastRecordId } = this.state;
    const last = await this.#context.store.last(this.subject);
    if ((last?.seq ?? 0) < lastSeq) throw new JournalLostError(this.subject);
    if (!last || last.seq === lastSeq) {
      // After a restore from an old copy another record may stand at the same sequence.
      if (last && recordIdOf(last.bytes) !== lastRecordId) throw new JournalLostError(this.subject);
      return false;
    }
    return await this.#readForward(recordId);
  }

  async #readForward(recordId?: string): Promise<boolean> {
    let found = false;
    for (;;) {
      const from = this.state.lastSeq + 1;
      const record = await this.#context.store.next(this.subject, from);
      if (!record || this.state.fault) return found;
      acceptRecord(this.state, record.seq, record.bytes);
      found ||= recordId !== undefined && this.state.lastRecordId === recordId;
    }
  }
}

/** Undefined for a record that can't be read. */
function recordIdOf(bytes: Uint8Array): string | undefined {
  try {
    return fromBinary(RecordSchema, bytes).recordId;
  } catch {
    return undefined;
  }
}
