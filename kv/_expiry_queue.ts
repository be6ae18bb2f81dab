/** Something that expires. */
interface Due {
  readonly at: number;
  readonly key: string;
  readonly revision: number;
}

/** Keys in the order in which they expire: a heap, the first one at index 0. */
export class ExpiryQueue {
  #heap: Due[] = [];

  /** How many there are, those too that were overwritten since. */
  get size(): number {
    return this.#heap.length;
  }

  /** When the first one expires. */
  get nextAt(): number | undefined {
    return this.#heap[0]?.at;
  }

  add(due: Due): void {
    const heap = this.#heap;
    let index = heap.push(due) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.at <= due.at) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = due;
  }

  /** Takes the first one out. */
  shift(): Due | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) this.#sink(last);
    return first;
  }

  /** Keeps those alone that fit. */
  retain(fits: (due: Due) => boolean): void {
    const kept = this.#heap.filter(fits);
    this.#heap = kept.sort((a, b) => a.at - b.at); // which is a heap
  }

  #sink(due: Due): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= due.at) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = due;
  }
}
