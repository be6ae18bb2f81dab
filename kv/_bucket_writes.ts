import { headers, type MsgHdrs } from "@nats-io/nats-core";
import { LRUCache } from "lru-cache";
import { readPubAck } from "../client/pub_ack.ts";
import { translateError } from "../client/translate_error.ts";
import type { Operation as Traced } from "../trace/telemetry.ts";
import type { Bounds, RawEntry, RawWrite } from "./_bucket.ts";
import type { BucketReads, ReadGround } from "./_bucket_reads.ts";
import type { KeyNames } from "./_key_names.ts";
import {
  ancestorsBehind,
  type Lineage,
  lineageOf,
  NONCE_HEADER,
  nonceOf,
  NOTHING,
  PRIOR_HEADER,
  priorOf,
  unknownLineage,
} from "./_lineage.ts";
import {
  type AttemptBounds,
  type Draft,
  settledWrite,
  type WriteGround,
} from "./_settled_write.ts";
import { RevisionConflictError } from "./errors.ts";

/** Keys whose last known revision is remembered, for the writers after it. */
const MAX_LINEAGES = 4_096;
/** The most that a trace context adds to a message. */
const MAX_TRACE_BYTES = 2_048;
/** More than the headers of a write take, a trace context aside. */
const MAX_OWN_HEADER_BYTES = 2_048;
const NONCE_BYTES = 9;

/** What writes need besides. */
export interface BucketWriteParts extends ReadGround {
  readonly keys: KeyNames;
  readonly random: () => number;
  readonly reads: BucketReads;
}

/** Writes revisions of a bucket, each settled. */
export class BucketWrites {
  readonly #parts: BucketWriteParts;
  /** The highest revision that the bucket is known to have come to. */
  #seen = 0;
  readonly #lineages = new LRUCache<string, Lineage>({ max: MAX_LINEAGES });

  constructor(parts: BucketWriteParts) {
    this.#parts = parts;
  }

  /** Notes what was read, for writes over it. */
  note(entry: RawEntry): void {
    this.#seen = Math.max(this.#seen, entry.revision);
    const known = this.#lineages.peek(entry.name);
    if (known !== undefined && known.revision > entry.revision) return;
    // A bucket that was made again counts its revisions anew.
    if (known?.revision === entry.revision && known.nonce === nonceOf(entry)) return;
    this.#lineages.set(entry.name, lineageOf(entry));
  }

  /** As `Bucket.write` says. */
  async write(write: RawWrite, bounds: Bounds): Promise<number> {
    const { name, expected } = write;
    const { core, subjectPrefix } = this.#parts;
    const replaces = expected === undefined ? undefined : this.#lineageAt(name, expected);
    const draft: Draft = { nonce: newNonce(), replaces };
    const traced = core.telemetry.begin("publish", {
      destination: subjectPrefix + name,
      template: `${subjectPrefix}{key}`,
      messageId: draft.nonce,
      bodyBytes: write.bytes.length,
    });
    try {
      const revision = await settledWrite(this.#groundOf(write, traced), draft, bounds);
      traced.end();
      this.#seen = Math.max(this.#seen, revision);
      const prior = replaces === undefined ? [] : ancestorsBehind(replaces);
      this.#lineages.set(name, { revision, nonce: draft.nonce, prior });
      return revision;
    } catch (error) {
      traced.end(error);
      throw error;
    }
  }

  #groundOf(write: RawWrite, traced: Traced): WriteGround {
    const { clock, random, reads, name: bucket, keys, subjectPrefix } = this.#parts;
    const { name } = write;
    const seen = this.#seen;
    return {
      clock,
      random,
      what: `write ${subjectPrefix}${name}`,
      mayExpire: write.ttlMs !== undefined,
      isReplicated: reads.isReplicated,
      send: (draft, bounds) => this.#send(this.#headersOf(write, draft, traced), write, bounds),
      last: (bounds) => reads.lastAtLeader(name, bounds),
      since: (revision, bounds) => reads.since({ name, revision, leader: true }, bounds),
      confirm: (bounds) => reads.confirm(bounds),
      isPast: (revision, bounds) => reads.isPast(name, revision, bounds),
      floor: async (bounds) => await reads.hasReached(seen, bounds) ? seen : 0,
      conflict: (expected, cause) =>
        new RevisionConflictError(bucket, { key: keys.decode(name) ?? name, expected }, { cause }),
    };
  }

  #send(own: MsgHdrs, write: RawWrite, bounds: AttemptBounds): Promise<number> {
    const { core, subjectPrefix } = this.#parts;
    const subject = subjectPrefix + write.name;
    const what = `write ${subject}`;
    const { signal, timeoutMs, attemptMs, bypassBreaker } = bounds;
    const bytes = write.bytes.length + MAX_OWN_HEADER_BYTES;
    const guarded = {
      signal,
      timeoutMs,
      bytes,
      bypassBreaker,
      jetstream: true,
      failOnDisconnect: true,
    };
    return core.guard(what, guarded, async () => {
      bounds.onSent();
      try {
        const request = { timeout: attemptMs, headers: own };
        const answer = await core.connection.request(subject, write.bytes, request);
        return readPubAck(answer, what).sequence;
      } catch (error) {
        throw translateError(error, what);
      }
    });
  }

  #headersOf(write: RawWrite, draft: Draft, traced: Traced): MsgHdrs {
    const own = headers();
    own.set(NONCE_HEADER, draft.nonce);
    if (draft.replaces !== undefined) {
      own.set("Nats-Expected-Last-Subject-Sequence", String(draft.replaces.revision));
      own.set(PRIOR_HEADER, priorOf(draft.replaces));
    }
    if (write.operation !== "put") {
      own.set("KV-Operation", write.operation === "delete" ? "DEL" : "PURGE");
    }
    if (write.operation === "purge") own.set("Nats-Rollup", "sub");
    if (write.ttlMs !== undefined) own.set("Nats-TTL", `${Math.ceil(write.ttlMs / 1_000)}s`);
    const { telemetry, maxPayloadBytes } = this.#parts.core;
    const hasRoom = write.bytes.length + MAX_OWN_HEADER_BYTES + MAX_TRACE_BYTES <= maxPayloadBytes;
    if (telemetry.tracing && hasRoom) traced.inject(own);
    return own;
  }

  #lineageAt(name: string, revision: number): Lineage {
    if (revision === 0) return NOTHING;
    const known = this.#lineages.get(name);
    return known?.revision === revision ? known : unknownLineage(revision);
  }
}

/** Random bytes are drawn for many nonces at a time, since each draw is a system call. */
const pool = new Uint8Array(NONCE_BYTES * 256);
let drawn = pool.length;

function newNonce(): string {
  if (drawn === pool.length) {
    crypto.getRandomValues(pool);
    drawn = 0;
  }
  const bytes = pool.subarray(drawn, drawn += NONCE_BYTES);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}
