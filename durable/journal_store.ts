import type { JetStreamManager, MsgRequest, StoredMsg } from "@nats-io/jetstream";
import type { Client } from "../client/client.ts";
import { isJsflowError } from "../client/errors.ts";
import { translateError } from "../client/translate_error.ts";

/**
 * Milliseconds that one append may take before its outcome counts as unknown. Short, since an append
 * that a restart of the server has swallowed is noticed only then; settling it costs one read.
 */
const REQUEST_TIMEOUT_MS = 2_000;

/** What became of an append. Where neither is known, `append` rejects. */
export type AppendResult =
  | { readonly kind: "accepted"; readonly seq: number; readonly duplicate: boolean }
  | { readonly kind: "conflict" };

/** One stored record. */
export interface StoredRecord {
  readonly seq: number;
  readonly subject: string;
  readonly bytes: Uint8Array;
}

/** The journal stream: appends by compare-and-set, reads from the leader. */
export class JournalStore {
  readonly #client: Client;
  readonly #stream: string;

  constructor(client: Client, stream: string) {
    this.#client = client;
    this.#stream = stream;
  }

  /**
   * Appends if the subject's last sequence is still `expectedSeq`.
   *
   * @throws {JsflowError} when it is unknown whether the record was written.
   */
  async append(
    subject: string,
    bytes: Uint8Array,
    expected: { readonly recordId: string; readonly lastSeq: number },
  ): Promise<AppendResult> {
    try {
      const ack = await this.#client.jetstream.publish(subject, bytes, {
        msgID: expected.recordId,
        expect: { lastSubjectSequence: expected.lastSeq },
        timeout: REQUEST_TIMEOUT_MS,
        retries: 1,
      });
      return { kind: "accepted", seq: ack.seq, duplicate: ack.duplicate };
    } catch (error) {
      const translated = translateError(error, `append to journal ${subject}`);
      if (isJsflowError(translated, "sequence_conflict")) return { kind: "conflict" };
      throw translated;
    }
  }

  /** The first record of the subject at or after `seq`. */
  next(subject: string, seq: number): Promise<StoredRecord | undefined> {
    return this.#read(subject, (jsm) =>
      // The client's types know only one of the two fields; the server has both since 2.9.
      jsm.streams.getMessage(this.#stream, { seq, next_by_subj: subject } as MsgRequest));
  }

  /** The last record of the subject. */
  last(subject: string): Promise<StoredRecord | undefined> {
    return this.#read(
      subject,
      (jsm) => jsm.streams.getMessage(this.#stream, { last_by_subj: subject }),
    );
  }

  /** The record at a sequence that is known. */
  at(seq: number): Promise<StoredRecord | undefined> {
    return this.#read(`record ${seq}`, (jsm) => jsm.streams.getMessage(this.#stream, { seq }));
  }

  async #read(
    what: string,
    get: (jsm: JetStreamManager) => Promise<StoredMsg | null>,
  ): Promise<StoredRecord | undefined> {
    try {
      const message = await get(await this.#client.manager());
      return message
        ? { seq: message.seq, subject: message.subject, bytes: message.data }
        : undefined;
    } catch (error) {
      throw translateError(error, `read journal ${what}`);
    }
  }
}
