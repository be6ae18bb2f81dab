/** A queue whose head is taken in constant time. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  /** How many items are in it. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Puts an item at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** The item that is next. */
  peek(): T | undefined {
    return this.#items[this.#head];
  }

  /** Takes the item that is next away. */
  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (this.size > 0) this.#items[this.#head++] = undefined; // holds no memory from here on
    // Moving the rest now and then costs less than moving it each time.
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes everything out. */
  clear(): T[] {
    const rest = this.#items.slice(this.#head) as T[];
    this.#items = [];
    this.#head = 0;
    return rest;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let index = this.#head; index < this.#items.length; index++) {
      yield this.#items[index] as T;
    }
  }

  /** Takes away all items that a condition does not hold for. */
  keep(condition: (item: T) => boolean): void {
    const items = this.#items.slice(this.#head) as T[];
    this.#items = items.filter(condition);
    this.#head = 0;
  }
}
