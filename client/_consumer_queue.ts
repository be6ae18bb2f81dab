const COMPACT_AT = 1_024;

/** First in, first out, in constant time; whoever fills it sees to its bound. */
export class MessageQueue<M> {
  #items: (M | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: M): void {
    this.#items.push(item);
  }

  shift(): M | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) this.#reset();
    else if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#items.length) this.#compact();
    return item;
  }

  /** Takes everything out. */
  clear(): M[] {
    const rest = this.#items.slice(this.#head) as M[];
    this.#reset();
    return rest;
  }

  *[Symbol.iterator](): Generator<M> {
    for (let index = this.#head; index < this.#items.length; index++) {
      yield this.#items[index] as M;
    }
  }

  #reset(): void {
    this.#items = [];
    this.#head = 0;
  }

  #compact(): void {
    this.#items.splice(0, this.#head);
    this.#head = 0;
  }
}
