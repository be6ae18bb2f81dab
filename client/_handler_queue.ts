import { Fifo } from "./_fifo.ts";

/** A queue with two bounds: a number of items, and the sum of their sizes. */
export class HandlerQueue<T> {
  readonly #maxItems: number;
  readonly #maxBytes: number;
  readonly #items = new Fifo<{ readonly item: T; readonly bytes: number }>();
  #bytes = 0;

  constructor(maxItems: number, maxBytes: number) {
    this.#maxItems = maxItems;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#items.size;
  }

  /** Takes an item, unless it is one too many. */
  push(item: T, bytes: number): boolean {
    if (this.size >= this.#maxItems || this.#bytes + bytes > this.#maxBytes) return false;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** Removes the oldest item. */
  shift(): T | undefined {
    const first = this.#items.shift();
    if (first === undefined) return undefined;
    this.#bytes -= first.bytes;
    return first.item;
  }
}
