import type { StreamDelivery } from "./delivery.ts";

/** Beyond so many open messages the server's own count has to do. */
const MAX_TRACKED = 100_000;

/** What the server says about a consumer's position. */
export interface ConsumerPosition {
  readonly num_ack_pending: number;
  readonly ack_floor: { readonly stream_seq: number };
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number };
}

/**
 * Where a consumer would have to begin if it were made again, so that nothing is skipped.
 *
 * Deliveries of a consumer are numbered: as long as this process sees them without a gap, nobody
 * else consumes, and what is settled is known here. After a gap only the server's ack floor counts,
 * as it was last read: all messages up to it are settled, whoever did it. Once the server says that
 * nothing is open, the position is as certain as at the beginning.
 */
export class ConsumerProgress {
  /** Received here and not settled. */
  readonly #open = new Set<number>();
  #isAlone = false;
  #nextDelivery = 0;
  #highest = 0;
  #ackFloor = 0;

  /** Begins anew with what the server says. */
  reset(position: ConsumerPosition): void {
    this.#open.clear();
    this.#ackFloor = position.ack_floor.stream_seq;
    this.#isAlone = position.num_ack_pending === 0;
    this.#nextDelivery = position.delivered.consumer_seq + 1;
    this.#highest = Math.max(position.delivered.stream_seq, this.#ackFloor);
  }

  /** Takes in what the server says now about the same consumer. */
  refresh(position: ConsumerPosition): void {
    this.#ackFloor = Math.max(this.#ackFloor, position.ack_floor.stream_seq);
    // With nothing open, all is settled up to there. What has come while it answered is behind that,
    // and the delivery after it shows a gap.
    if (!this.#isAlone && position.num_ack_pending === 0) this.reset(position);
  }

  /** A message has come; with `isOpen` false it counts as settled. */
  received(delivery: StreamDelivery, isOpen: boolean): void {
    if (!this.#isAlone) return;
    if (delivery.consumerSeq !== this.#nextDelivery || this.#open.size >= MAX_TRACKED) {
      this.#isAlone = false;
      this.#open.clear();
      return;
    }
    this.#nextDelivery++;
    if (delivery.streamSeq > this.#highest) this.#highest = delivery.streamSeq;
    if (isOpen) this.#open.add(delivery.streamSeq);
  }

  /** A message is done for good: acknowledged, terminated or given up. */
  settled(streamSeq: number): void {
    this.#open.delete(streamSeq);
  }

  /** The same for all messages up to this one. */
  settledUpTo(streamSeq: number): void {
    for (const open of this.#open) if (open <= streamSeq) this.#open.delete(open);
  }

  /** The sequence of the first message that may not be settled. */
  get resumeAt(): number {
    if (!this.#isAlone) return this.#ackFloor + 1;
    let first = this.#highest + 1;
    for (const open of this.#open) if (open < first) first = open;
    return first;
  }
}
