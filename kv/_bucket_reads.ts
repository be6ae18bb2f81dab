import type { MsgRequest } from "@nats-io/jetstream";
import type { Clock } from "../client/clock.ts";
import type { ClientCore } from "../client/core.ts";
import { timeoutError, withDeadline } from "../client/deadline.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { serverCapabilities } from "../client/server_capabilities.ts";
import type { StreamInfo } from "../client/stream_info.ts";
import { tryStreamInfo } from "../client/streams.ts";
import type { Bounds, BucketFacts, RawEntry } from "./_bucket.ts";
import { bucketNotFound } from "./_bucket_errors.ts";
import { type BatchQuery, readDirectBatch } from "./_direct_batch.ts";
import { timeLeft } from "./_time_left.ts";
import { readDirect, type StoredMessage, toRawEntry } from "./_stored_message.ts";

/** Keys that are read at the same time, where each takes a request. */
const MAX_PARALLEL_READS = 64;
/** Keys that one request asks for, where it can. */
const MAX_NAMES = 256;
/** Milliseconds between reads while the bucket has no leader. */
const READ_PAUSES_MS: readonly number[] = [20, 50, 100, 200, 400, 800];
/** Of the whole time, which part the first question may take. */
const FIRST_SHARE = 1 / 4;
/** The fewest milliseconds of a question. */
const MIN_STEP_MS = 250;
const NOT_FOUND = 404;
const EMPTY = new Uint8Array(0);
const utf8 = new TextEncoder();

/** What reads need to know of a bucket. */
export interface ReadGround {
  readonly core: ClientCore;
  readonly clock: Clock;
  readonly name: string;
  readonly stream: string;
  readonly subjectPrefix: string;
  readonly facts: BucketFacts;
}

/** Revisions of a key from one on. */
export interface SinceQuery {
  readonly name: string;
  readonly revision: number;
  /** Whether only the leader is asked. */
  readonly leader: boolean;
}

/** Revisions that one server gave. */
interface Batch {
  readonly entries: RawEntry[];
  /** The last sequence that it knew then; 0 when it gave none. */
  readonly upTo: number;
}

/** The bounds of one question. */
interface Step {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** Reads single revisions of a bucket. */
export class BucketReads {
  readonly #ground: ReadGround;
  /** Whether any server that has the bucket answers, not the leader alone. */
  #isDirect: boolean;
  #isReplicated: boolean;

  constructor(ground: ReadGround) {
    this.#ground = ground;
    this.#isDirect = ground.facts.allowDirect;
    this.#isReplicated = ground.facts.replicas > 1;
  }

  /** Whether several servers have the bucket, as far as was seen last. */
  get isReplicated(): boolean {
    return this.#isReplicated;
  }

  /** The last revision of a key, from any server that has the bucket where that is allowed. */
  last(name: string, bounds: Bounds): Promise<RawEntry | undefined> {
    const subject = this.#ground.subjectPrefix + name;
    return this.#readOne(
      `read ${subject}`,
      bounds,
      (step) =>
        this.#isDirect
          ? this.#direct(`.${subject}`, EMPTY, step)
          : this.#atLeader({ last_by_subj: subject }, step),
    );
  }

  /** The last revision of a key, from the leader. */
  lastAtLeader(name: string, bounds: Bounds): Promise<RawEntry | undefined> {
    const subject = this.#ground.subjectPrefix + name;
    const query = { last_by_subj: subject };
    return this.#readOne(`read ${subject}`, bounds, (left) => this.#atLeader(query, left));
  }

  /** The last revisions of many keys. */
  async lastOfMany(names: readonly string[], bounds: Bounds): Promise<Map<string, RawEntry>> {
    const left = timeLeft(bounds, this.#ground.clock);
    const waiting = [...new Set(names)];
    const found = new Map<string, RawEntry>();
    const note = (entry: RawEntry) => found.set(entry.name, entry);
    if (waiting.length > 1 && this.#canBatch) {
      for (let at = 0; at < waiting.length; at += MAX_NAMES) {
        const some = waiting.slice(at, at + MAX_NAMES);
        const subjects = some.map((name) => this.#ground.subjectPrefix + name);
        (await this.#batch({ multi_last: subjects }, 1, left())).entries.forEach(note);
      }
      return found;
    }
    const readOneByOne = async () => {
      for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
        const entry = await this.last(name, left());
        if (entry !== undefined) note(entry);
      }
    };
    const readers = Math.min(waiting.length, MAX_PARALLEL_READS);
    try {
      await Promise.all(Array.from({ length: readers }, readOneByOne));
    } finally {
      waiting.length = 0; // when one fails, the others stop
    }
    return found;
  }

  /** The key's revisions from one on, the oldest first. */
  async since(query: SinceQuery, bounds: Bounds): Promise<RawEntry[]> {
    const subject = this.#ground.subjectPrefix + query.name;
    if (!query.leader && this.#canBatch) {
      return (await this.#batch({ next_by_subj: subject }, query.revision, bounds)).entries;
    }
    const left = timeLeft(bounds, this.#ground.clock);
    const entries: RawEntry[] = [];
    for (let seq = query.revision;;) {
      const next = { seq, next_by_subj: subject };
      const entry = await this.#readOne(
        `read ${subject}`,
        left(),
        (within) =>
          this.#isDirect && !query.leader
            ? this.#direct("", utf8.encode(JSON.stringify(next)), within)
            // The native type admits only one of the two; servers take both since 2.9.
            : this.#atLeader(next as unknown as MsgRequest, within),
      );
      if (entry === undefined) return entries;
      entries.push(entry);
      seq = entry.revision + 1;
    }
  }

  /**
   * Describes the bucket.
   *
   * @throws {JsflowError} `bucket_not_found`, or whatever asking fails with.
   */
  async confirm(bounds: Bounds, cause?: unknown): Promise<StreamInfo> {
    const { core, stream, name } = this.#ground;
    const info = await tryStreamInfo(core, stream, { ...bounds });
    if (info === undefined) throw bucketNotFound(name, cause);
    this.#isDirect = info.config.allowDirect; // somebody may have changed it
    this.#isReplicated = info.config.replicas > 1;
    return info;
  }

  /** Whether the bucket is the one that was opened, and has come to the revision since. */
  async hasReached(revision: number, bounds: Bounds): Promise<boolean> {
    const { created, lastSequence } = await this.confirm(bounds);
    return created.getTime() === this.#ground.facts.createdMs && lastSequence >= revision;
  }

  /**
   * Whether a key can't come back to a revision, though there is no later one, as far as is known:
   * it is expired, or was never the key's.
   *
   * Servers that lead no more may answer as well. So one answer must tell both how far the server
   * has come and what it holds.
   */
  async isPast(name: string, revision: number, bounds: Bounds): Promise<boolean> {
    const { stream, subjectPrefix, facts } = this.#ground;
    const left = timeLeft(bounds, this.#ground.clock);
    const subject = subjectPrefix + name;
    const what = `look for ${subject}`;
    const { config, created, state } = await this.#read(
      what,
      left(),
      (step) =>
        inTime(what, step, async () => {
          const manager = await this.#ground.core.manager(step);
          return await manager.streams.info(stream, { subjects_filter: subject });
        }),
    );
    if (config.num_replicas === 1) return true; // there is nobody else who could know more
    const createdMs = new Date(created as unknown as string).getTime();
    if (createdMs !== facts.createdMs) return createdMs > facts.createdMs; // another bucket
    const isEmpty = state.subjects?.[subject] === undefined;
    if (isEmpty) return state.last_seq >= revision;
    if (!this.#canBatch) return false; // there is no such answer: it stays open
    const { entries, upTo } = await this.#batch({ multi_last: [subject] }, 1, left());
    return upTo >= revision && entries.every((entry) => entry.revision < revision);
  }

  get #canBatch(): boolean {
    const { core } = this.#ground;
    const version = core.connection.info?.version;
    return this.#isDirect && version !== undefined &&
      serverCapabilities(version).supports("direct_batch_get");
  }

  async #batch(query: BatchQuery, from: number, bounds: Bounds): Promise<Batch> {
    const { core, stream, name, subjectPrefix } = this.#ground;
    const subject = this.#directSubject;
    const what = `read many keys of bucket ${name}`;
    const found = await this.#read(what, bounds, async (step) => {
      if (!this.#isDirect) return undefined;
      return await inTime(
        what,
        step,
        (signal) => readDirectBatch(core.connection, { subject, query, from }, signal),
      );
    });
    if (found !== undefined) {
      const entries = found.messages.map((message) => toRawEntry(subjectPrefix, message));
      return { entries, upTo: found.upTo };
    }
    throw new JsflowError(
      "config_drift",
      `cannot ${what}: direct reads of stream ${stream} were just switched off; try again`,
    );
  }

  async #readOne(
    what: string,
    bounds: Bounds,
    once: (step: Step) => Promise<StoredMessage | undefined>,
  ): Promise<RawEntry | undefined> {
    const found = await this.#read(what, bounds, once);
    return found && toRawEntry(this.#ground.subjectPrefix, found);
  }

  /**
   * Reads once more while nobody answers, unless that is because the bucket is gone: old servers
   * say nothing then, and an answer may be lost.
   */
  async #read<R>(
    what: string,
    bounds: Bounds,
    once: (step: Step) => Promise<R>,
  ): Promise<R> {
    const { core, clock, name } = this.#ground;
    const timer = timeLeft(bounds, this.#ground.clock);
    for (let attempt = 0;; attempt++) {
      const guarded = { ...timer(), jetstream: true, failOnDisconnect: true };
      const stepMs = stepOf(bounds.timeoutMs, attempt);
      try {
        return await core.guard(what, guarded, (signal) => once({ signal, timeoutMs: stepMs }));
      } catch (error) {
        if (bounds.signal?.aborted) throw error;
        if (isJsflowError(error, "stream_not_found")) throw bucketNotFound(name, error);
        if (!isPassing(error)) throw error;
        await this.#confirmOrPass({ ...timer(), timeoutMs: stepMs }, error);
        const pauseMs = READ_PAUSES_MS[Math.min(attempt, READ_PAUSES_MS.length - 1)] ?? 0;
        if (pauseMs >= timer().timeoutMs) throw inVain(what, bounds.timeoutMs, error);
        await clock.sleep(pauseMs, bounds.signal);
      }
    }
  }

  /** As `confirm`, but an answer that does not come says nothing. */
  async #confirmOrPass(bounds: Bounds, cause: unknown): Promise<void> {
    try {
      await this.confirm(bounds, cause);
    } catch (error) {
      if (bounds.signal?.aborted || !isPassing(error)) throw error;
    }
  }

  get #directSubject(): string {
    const { core, stream } = this.#ground;
    return `${core.jetstream.apiPrefix}.DIRECT.GET.${stream}`;
  }

  async #direct(
    suffix: string,
    payload: Uint8Array,
    { timeoutMs }: Step,
  ): Promise<StoredMessage | undefined> {
    const { connection } = this.#ground.core;
    const subject = this.#directSubject + suffix;
    const answer = await connection.request(subject, payload, { timeout: timeoutMs });
    const found = readDirect(answer);
    if (found !== undefined || answer.headers?.code === NOT_FOUND) return found;
    const { code = "no status", description = "" } = answer.headers ?? {};
    throw new JsflowError("nats", `cannot ask ${subject}: ${code} ${description}`);
  }

  async #atLeader(query: MsgRequest, step: Step): Promise<StoredMessage | undefined> {
    const { core, stream } = this.#ground;
    return await inTime(`ask the leader of ${stream}`, step, async () => {
      const manager = await core.manager(step);
      return await manager.streams.getMessage(stream, query) ?? undefined;
    });
  }
}

/** For what has no time limit of its own. */
function inTime<R>(
  what: string,
  { signal, timeoutMs }: Step,
  work: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const onTimeout = () => timeoutError(what, timeoutMs);
  return withDeadline({ signal, timeoutMs, onTimeout }, work);
}

function isPassing(error: unknown): boolean {
  return isJsflowError(error, "no_responders") || isJsflowError(error, "timeout") ||
    isJsflowError(error, "jetstream_unavailable");
}

/** Milliseconds that one question waits, at first a part of the whole time. */
function stepOf(timeoutMs: number, attempt: number): number {
  return Math.ceil(Math.max(MIN_STEP_MS, timeoutMs * FIRST_SHARE * 2 ** attempt));
}

function inVain(what: string, timeoutMs: number, cause: unknown): JsflowError {
  if (isJsflowError(cause, "timeout")) return timeoutError(what, timeoutMs);
  return new JsflowError(
    "jetstream_unavailable",
    `cannot ${what}: the bucket has no leader now; try again, and check the server's health`,
    { cause },
  );
}
