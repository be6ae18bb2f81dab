import type { ClientCore } from "../client/core.ts";
import type { KeyNames } from "./_key_names.ts";
import type { Operation } from "./entry.ts";

/** One stored revision, undecoded. */
export interface RawEntry {
  /** The key as it stands in the subject. */
  readonly name: string;
  readonly revision: number;
  readonly time: Date;
  readonly operation: Operation;
  readonly bytes: Uint8Array;
  /** A header's value; undefined when there is none. */
  readonly header: (name: string) => string | undefined;
}

/** Signal and time of one call, checked; one signal for everything inside. */
export interface Bounds {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  /** Whether the breaker has no say: for settling what was sent already. @default false */
  readonly bypassBreaker?: boolean | undefined;
}

/** One write, as the bucket sends it. */
export interface RawWrite {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly operation: "put" | "delete" | "purge";
  /** The revision that must be the last one; 0 for none; undefined for any. */
  readonly expected: number | undefined;
  readonly ttlMs?: number | undefined;
}

/** What a bucket's stream is, as it was when the bucket was opened. */
export interface BucketFacts {
  readonly replicas: number;
  readonly history: number;
  readonly allowDirect: boolean;
  readonly allowMessageTtl: boolean;
  /** When the stream was created: another time means another bucket of the same name. */
  readonly createdMs: number;
}

/**
 * A bucket on the level of messages: what everything else of this folder is built on.
 *
 * All calls go through the client's breaker and wait for its connection as the client was told;
 * errors are translated, a missing stream is `bucket_not_found`.
 */
export interface Bucket {
  readonly name: string;
  readonly stream: string;
  /** What stands before a key's name in its subject, with the dot: `$KV.carts.`. */
  readonly subjectPrefix: string;
  readonly core: ClientCore;
  readonly keys: KeyNames;
  readonly facts: BucketFacts;
  /** The last revision of a key, a removal too. */
  last(name: string, bounds: Bounds): Promise<RawEntry | undefined>;
  /** The same, answered by the stream's leader: for settling what happened. */
  lastAtLeader(name: string, bounds: Bounds): Promise<RawEntry | undefined>;
  /** The last revisions of many keys, by one request for many where the server can. */
  lastOfMany(names: readonly string[], bounds: Bounds): Promise<Map<string, RawEntry>>;
  /**
   * Writes, and returns the revision. Answers that don't come are settled: tried again under the
   * same id, or by reading back, so that nothing is written twice.
   *
   * @throws {RevisionConflictError} when `expected` is not met;
   * @throws {JsflowError} `outcome_unknown` when nobody can tell any more.
   */
  write(write: RawWrite, bounds: Bounds): Promise<number>;
  /** All revisions of a key that the bucket still has, the oldest first. */
  history(name: string, bounds: Bounds): Promise<RawEntry[]>;
}
