import type { MsgRequest } from "@nats-io/jetstream";
import { headers, type MsgHdrs } from "@nats-io/nats-core";
import type { Clock } from "../client/clock.ts";
import type { ClientCore } from "../client/core.ts";
import { timeoutError, untilAborted, withDeadline } from "../client/deadline.ts";
import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { headerBytes } from "../client/message_headers.ts";
import { readPubAck } from "../client/pub_ack.ts";
import { purgeStream } from "../client/streams.ts";
import { translateError } from "../client/translate_error.ts";
import { jsflowLogger } from "../trace/log.ts";
import type { Bounds, BucketFacts, RawEntry } from "./_bucket.ts";
import { bucketError } from "./_bucket_errors.ts";
import { BucketReads } from "./_bucket_reads.ts";
import { encodeMeta, type MetaDraft, nameToken } from "./_blob_meta.ts";
import {
  type Lineage,
  lineageOf,
  NONCE_HEADER,
  NOTHING,
  PRIOR_HEADER,
  priorOf,
} from "./_lineage.ts";
import { type AttemptBounds, type Draft, settledWrite } from "./_settled_write.ts";
import { readDirect, type StoredMessage } from "./_stored_message.ts";
import { RevisionConflictError } from "./errors.ts";

/** Milliseconds between attempts while nobody answers. */
const PAUSES_MS: readonly number[] = [20, 50, 100, 200, 400];
/** Which part of the time a read that any replica may answer has, before the leader is asked. */
const DIRECT_SHARE = 1 / 4;
const NONCE_BYTES = 9;

/** What a bucket of blobs is made of. */
export interface BlobStreamSettings {
  readonly core: ClientCore;
  readonly clock: Clock;
  readonly bucket: string;
  readonly stream: string;
  readonly facts: BucketFacts;
}

/** A message to be written. */
interface BlobMessage {
  /** Its subject without the bucket's prefix. */
  readonly name: string;
  /** The name of the blob. */
  readonly blob: string;
  readonly payload: Uint8Array;
  readonly replaces: Lineage;
  /** Whether it takes the place of those before it on its subject. */
  readonly rollup: boolean;
  /** Adds the trace context. */
  readonly trace?: ((own: MsgHdrs) => void) | undefined;
}

/** A bucket of blobs on the level of messages: descriptions, and the chunks of contents. */
export class BlobStream {
  readonly bucket: string;
  readonly core: ClientCore;
  readonly stream: string;
  readonly facts: BucketFacts;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #reads: BucketReads;
  readonly #cleanings = new Set<Promise<void>>();

  constructor({ core, clock, bucket, stream, facts }: BlobStreamSettings) {
    this.bucket = bucket;
    this.core = core;
    this.stream = stream;
    this.facts = facts;
    this.#prefix = `$O.${bucket}.`;
    this.#clock = clock;
    const subjectPrefix = this.#prefix;
    this.#reads = new BucketReads({ core, clock, name: bucket, stream, subjectPrefix, facts });
  }

  /** The description of a blob that the leader has, of a deleted one too. */
  lastMeta(name: string, bounds: Bounds): Promise<RawEntry | undefined> {
    return this.#reads.lastAtLeader(`M.${nameToken(name)}`, bounds);
  }

  /**
   * Stores a description in place of the one that was read, undefined for none, and returns the
   * revision.
   *
   * @throws {RevisionConflictError} when somebody else was faster.
   */
  async writeMeta(
    draft: MetaDraft,
    replaces: RawEntry | undefined,
    options: Bounds & { readonly trace?: ((own: MsgHdrs) => void) | undefined },
  ): Promise<number> {
    const written = await this.#write({
      name: `M.${nameToken(draft.name)}`,
      blob: draft.name,
      payload: encodeMeta(draft),
      replaces: replaces === undefined ? NOTHING : lineageOf(replaces),
      rollup: true,
      trace: options.trace,
    }, options);
    return written.revision;
  }

  /** Stores a chunk behind another one; returns what the next one is to be stored behind. */
  writeChunk(
    chunksId: string,
    chunk: {
      readonly blob: string;
      readonly bytes: Uint8Array;
      readonly behind: Lineage | undefined;
    },
    bounds: Bounds,
  ): Promise<Lineage> {
    const { blob, bytes: payload, behind: replaces = NOTHING } = chunk;
    return this.#write({ name: `C.${chunksId}`, blob, payload, replaces, rollup: false }, bounds);
  }

  /** The first chunk from a sequence on, from any server that has the bucket where that is allowed. */
  async nextChunk(
    chunksId: string,
    sequence: number,
    bounds: Bounds,
  ): Promise<StoredMessage | undefined> {
    const query = { seq: sequence, next_by_subj: `${this.#prefix}C.${chunksId}` };
    if (this.facts.allowDirect) {
      const found = await this.#fromAnyone(query, bounds);
      if (found !== undefined) return found;
    }
    return await this.insist(bounds, (left) => this.#fromLeader(query, left));
  }

  /**
   * Removes the chunks of a content that nothing leads to. When the signal aborts nobody waits for
   * that any more, but `close`. Never rejects.
   */
  async discard(chunksId: string, signal: AbortSignal | undefined): Promise<void> {
    const cleaning = this.#purgeChunks(chunksId);
    this.#cleanings.add(cleaning);
    void cleaning.then(() => this.#cleanings.delete(cleaning));
    await (signal ? untilAborted(cleaning, signal).catch(() => {}) : cleaning);
  }

  /** Resolves when everything that goes on by itself is done. Never rejects. */
  async close(): Promise<void> {
    await Promise.all(this.#cleanings);
  }

  async #purgeChunks(chunksId: string): Promise<void> {
    const filter = `${this.#prefix}C.${chunksId}`;
    try {
      await purgeStream(this.core, this.stream, { filter });
    } catch (error) {
      jsflowLogger("kv").warn(
        "chunks of bucket {bucket} remain on {filter}, which nothing leads to: {error}",
        { bucket: this.bucket, filter, error },
      );
    }
  }

  async #write(message: BlobMessage, bounds: Bounds): Promise<Lineage> {
    const { blob, name, replaces } = message;
    const what = `write ${this.#prefix}${name}`;
    const draft: Draft = { nonce: newNonce(), replaces };
    const ground = {
      clock: this.#clock,
      random: Math.random,
      what,
      mayExpire: false,
      isReplicated: this.#reads.isReplicated,
      send: (attempt: Draft, left: AttemptBounds) => this.#send(message, attempt, left),
      last: (left: Bounds) => this.#reads.lastAtLeader(name, left),
      since: (revision: number, left: Bounds) =>
        this.#reads.since({ name, revision, leader: true }, left),
      confirm: (left: Bounds) => this.#reads.confirm(left),
      isPast: (revision: number, left: Bounds) => this.#reads.isPast(name, revision, left),
      floor: () => Promise.resolve(0), // what was read before is the revision that is replaced
      conflict: (expected: number, cause: unknown) =>
        new RevisionConflictError(this.bucket, { key: blob, expected }, { cause }),
    };
    const revision = await settledWrite(ground, draft, bounds);
    return { revision, nonce: draft.nonce, prior: [] };
  }

  #send(message: BlobMessage, draft: Draft, bounds: AttemptBounds): Promise<number> {
    const subject = this.#prefix + message.name;
    const what = `write ${subject}`;
    const own = this.#headersOf(message, draft);
    const { signal, timeoutMs, attemptMs } = bounds;
    const bytes = message.payload.length + headerBytes(own) + subject.length;
    const guarded = { signal, timeoutMs, bytes, jetstream: true, failOnDisconnect: true };
    return this.core.guard(what, guarded, (inner) => {
      bounds.onSent();
      const onTimeout = () => timeoutError(what, attemptMs);
      return withDeadline({ signal: inner, timeoutMs: attemptMs, onTimeout }, async () => {
        try {
          const request = { timeout: attemptMs, headers: own };
          const answer = await this.core.connection.request(subject, message.payload, request);
          return readPubAck(answer, what).sequence;
        } catch (error) {
          throw translateError(error, what);
        }
      });
    });
  }

  #headersOf({ rollup, trace }: BlobMessage, { nonce, replaces }: Draft): MsgHdrs {
    const own = headers();
    own.set(NONCE_HEADER, nonce);
    if (replaces !== undefined) {
      own.set("Nats-Expected-Last-Subject-Sequence", String(replaces.revision));
      own.set(PRIOR_HEADER, priorOf(replaces));
    }
    if (rollup) own.set("Nats-Rollup", "sub");
    trace?.(own);
    return own;
  }

  /**
   * Does what can be repeated again while there is no connection or nobody answers, for as long as
   * the time lasts: what takes many exchanges need not fail as a whole when one of them does.
   */
  async insist<T>(bounds: Bounds, once: (bounds: Bounds) => Promise<T>): Promise<T> {
    const { signal, timeoutMs } = bounds;
    const endsAt = this.#clock.monotonic() + timeoutMs;
    for (let attempt = 0;; attempt++) {
      const leftMs = Math.max(1, endsAt - this.#clock.monotonic());
      try {
        return await once({ signal, timeoutMs: leftMs });
      } catch (error) {
        if (signal?.aborted) throw error;
        const pauseMs = PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)] ?? 0;
        const isLate = pauseMs >= endsAt - this.#clock.monotonic();
        if (isLate || !isPassing(error)) throw error;
        await this.#clock.sleep(pauseMs, signal);
      }
    }
  }

  /** Undefined when nobody has it or nobody answers: a replica may be behind, or the stream gone. */
  async #fromAnyone(query: object, bounds: Bounds): Promise<StoredMessage | undefined> {
    const subject = `${this.core.jetstream.apiPrefix}.DIRECT.GET.${this.stream}`;
    const timeoutMs = bounds.timeoutMs * DIRECT_SHARE;
    try {
      const answer = await this.#exchange(
        { ...bounds, timeoutMs },
        () => this.core.connection.request(subject, JSON.stringify(query), { timeout: timeoutMs }),
      );
      return readDirect(answer);
    } catch (error) {
      if (bounds.signal?.aborted || !isUnanswered(error)) throw error;
      return undefined;
    }
  }

  async #fromLeader(query: object, bounds: Bounds): Promise<StoredMessage | undefined> {
    try {
      return await this.#exchange(bounds, async () => {
        const manager = await this.core.manager(bounds);
        // The client's types know only some of the queries.
        return await manager.streams.getMessage(this.stream, query as MsgRequest) ?? undefined;
      });
    } catch (error) {
      throw bucketError(this.bucket, error);
    }
  }

  #exchange<T>(bounds: Bounds, work: () => Promise<T>): Promise<T> {
    const guarded = { ...bounds, jetstream: true, failOnDisconnect: true };
    return this.core.guard(`read from ${this.stream}`, guarded, work);
  }
}

/** After these nothing was done, or only read. */
const PASSING: readonly JsflowErrorCode[] = [
  "circuit_open",
  "jetstream_unavailable",
  "no_responders",
  "not_connected",
];

/** What a direct request may meet without its bucket being at fault. */
function isUnanswered(error: unknown): boolean {
  return isJsflowError(error, "timeout") || isPassing(error);
}

function isPassing(error: unknown): boolean {
  return isJsflowError(error) && PASSING.includes(error.code);
}

/** An identity for a write, or for the chunks of one content. */
export function newNonce(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}
