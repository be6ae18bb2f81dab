/** A queue with two bounds: a number of items, and the sum of their sizes. */
export class HandlerQueue<T> {
  readonly #maxItems: number;
  readonly #maxBytes: number;
  #items: ({ readonly item: T; readonly bytes: number } | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  constructor(maxItems: number, maxBytes: number) {
    this.#maxItems = maxItems;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#items.length - this.#head;
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
    const first = this.#items[this.#head];
    if (first === undefined) return undefined;
    this.#items[this.#head++] = undefined;
    this.#bytes -= first.bytes;
    if (this.#head * 2 > this.#items.length) {
      // Half of it is spent: copying now costs each item one move at most.
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return first.item;
  }
}
