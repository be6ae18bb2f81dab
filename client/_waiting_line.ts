import { Fifo } from "./_fifo.ts";
import type { Entry } from "./_publisher_entry.ts";

/** Settled messages that may stand in the line. */
const MAX_STALE = 1_024;
/** What a waiting message takes besides its bytes. */
const ENTRY_BYTES = 512;

/** The messages that wait for room, first come, first served, within a bound of bytes. */
export class WaitingLine {
  readonly #maxBytes: number;
  /** Entries that were settled meanwhile are among them for a while. */
  readonly #queue = new Fifo<Entry>();
  #size = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Puts a message at the end, unless there are too many bytes already. */
  push(entry: Entry): boolean {
    const bytes = this.#bytes + entry.publication.bytes + ENTRY_BYTES;
    if (bytes > this.#maxBytes) return false;
    this.#queue.push(entry);
    this.#size++;
    this.#bytes = bytes;
    entry.state = "waiting";
    return true;
  }

  /** The first in line. */
  head(): Entry | undefined {
    while (this.#queue.peek()?.state === "settled") this.#queue.shift();
    return this.#queue.peek();
  }

  /** Takes the first in line away. */
  take(head: Entry): void {
    this.#queue.shift();
    this.#forget(head);
  }

  /** Takes away a message anywhere in the line. Its place is cleared once there are many such. */
  leave(entry: Entry): void {
    this.#forget(entry);
    if (this.#queue.size < 2 * this.#size + MAX_STALE) return;
    this.#queue.keep((other) => other !== entry && other.state !== "settled");
  }

  #forget(entry: Entry): void {
    this.#size--;
    this.#bytes -= entry.publication.bytes + ENTRY_BYTES;
  }
}
