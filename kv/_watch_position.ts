import type { StreamDelivery } from "../client/delivery.ts";
import type { BucketFacts } from "./_bucket.ts";
import type { ConsumerStart } from "./_watch_consumer.ts";

/** Where a feed begins: with the last revisions, with all, with what comes next, or after one. */
export type FeedStart = "last" | "all" | "new" | { readonly afterRevision: number };

/** What a delivery is to a feed: its next revision, known already, or proof of another bucket. */
export type Verdict = "initial" | "change" | "known" | "replaced";

/** How far a feed is in its bucket, and where a consumer must begin to go on from there. */
export class FeedPosition {
  readonly #from: FeedStart;
  readonly #facts: Pick<BucketFacts, "history" | "replicas">;
  #isCaughtUp = false;
  /** The bucket's last revision when the feed began. */
  #boundary: number | undefined;
  /** What has to be seen before the state is complete; 0 for nothing. */
  #target = 0;
  #lastSeen: number | undefined;
  /** When that was stored; empty when only its number is known. */
  #lastStoredAt = "";

  constructor(from: FeedStart, facts: Pick<BucketFacts, "history" | "replicas">) {
    this.#from = from;
    this.#facts = facts;
    if (typeof from === "object") this.#lastSeen = from.afterRevision;
  }

  /** Whether all has been delivered that was there when the feed began. */
  get isCaughtUp(): boolean {
    return this.#isCaughtUp;
  }

  /** Up to here nothing is missing; 0 before anything is known. */
  get revision(): number {
    // The consumer may live on a server that is behind the one that told where the bucket ends.
    const isCertain = this.#isCaughtUp && this.#facts.replicas === 1;
    return isCertain ? this.end : this.#lastSeen ?? 0;
  }

  /** Where the bucket can't have ended before. */
  get end(): number {
    return Math.max(this.#boundary ?? 0, this.#lastSeen ?? 0);
  }

  /** Whether it knows where the bucket ended when the feed began. */
  get hasBegun(): boolean {
    return this.#boundary !== undefined;
  }

  /**
   * The feed begins now, when the bucket ends at this revision. `target` is the last one that is
   * meant, where the consumer may live on a server that does not have it yet.
   */
  begin(end: number, target: number): void {
    this.#boundary = Math.max(end, target); // the two may come from different servers
    this.#target = target;
    if (this.#from === "new") this.#lastSeen = end;
  }

  /**
   * Where the next consumer begins: with the last revision that was seen, which is known then, so
   * that it can be compared.
   */
  get start(): ConsumerStart {
    const lastSeen = this.#lastSeen;
    if (lastSeen === undefined) {
      // When there was nothing at the beginning, all that came since is to be reported.
      if (this.#isCaughtUp) return { atRevision: this.revision + 1 };
      return this.#from === "all" ? "all" : "last";
    }
    // The last revisions come in their order; what follows among all of them is more than those.
    if (this.#from === "last" && !this.#isCaughtUp && this.#facts.history > 1) return "last";
    return { atRevision: this.#lastStoredAt === "" ? lastSeen + 1 : lastSeen };
  }

  /** A consumer was made that has so much to deliver. */
  opened(pending: number): void {
    if (pending === 0 || this.#from === "new") this.catchUp();
  }

  /** Nothing waits at the server, which may be behind. */
  catchUp(): void {
    if ((this.#lastSeen ?? 0) >= this.#target || this.#from === "new") this.#isCaughtUp = true;
  }

  /** By now this is the last revision that is meant: one behind it was removed. */
  lowerTarget(target: number): void {
    this.#target = Math.min(this.#target, target);
  }

  /** Judges a delivery of a consumer that began at {@link start}, and moves on. */
  receive({ pending, storedAt, streamSeq }: StreamDelivery): Verdict {
    const lastSeen = this.#lastSeen ?? 0;
    const isKnown = streamSeq <= lastSeen;
    const isComparable = streamSeq === lastSeen && this.#lastStoredAt !== "";
    if (isComparable && storedAt !== this.#lastStoredAt) return "replaced";
    const boundary = this.#boundary ?? 0;
    const verdict = isKnown
      ? "known"
      : !this.#isCaughtUp && streamSeq <= boundary
      ? "initial"
      : "change";
    if (!isKnown) {
      this.#lastSeen = streamSeq;
      this.#lastStoredAt = storedAt;
    }
    // Under constant writes there may always be more to come: then the boundary decides.
    if (streamSeq >= boundary) this.#isCaughtUp = true;
    else if (pending === 0) this.catchUp();
    return verdict;
  }
}
