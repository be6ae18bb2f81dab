import { EventList, type PendingOperation } from "./_event_list.ts";
import type { RecordedOperation } from "./recorded_operation.ts";

/**
 * Operations without a result, which may come at any time after their call.
 *
 * Equal ones can stand for each other, so they are used in the order of their calls.
 */
export class UnknownOperations<I, O> {
  /** By the place of their call. */
  readonly #operations: readonly PendingOperation<I, O>[];
  /** For each of them the index of the one before it with the same input, or -1. */
  readonly #twins: readonly number[];
  #used = 0n;

  constructor(operations: readonly RecordedOperation<I, O>[]) {
    const sorted = operations.toSorted((a, b) => a.called - b.called);
    this.#operations = new EventList(sorted).operations;
    const last = new Map<string, number>();
    this.#twins = sorted.map(({ input }, index) => {
      const key = JSON.stringify(input);
      const twin = last.get(key) ?? -1;
      last.set(key, index);
      return twin;
    });
  }

  /** Those in use, as a set of bits. */
  get used(): bigint {
    return this.#used;
  }

  /** Those that may come next, called before a place. */
  *callable(before: number): Iterable<PendingOperation<I, O>> {
    for (const [index, operation] of this.#operations.entries()) {
      if (operation.call.place > before) return;
      const twin = this.#twins[index]!;
      if (!this.#has(index) && (twin === -1 || this.#has(twin))) yield operation;
    }
  }

  /** Puts one to use, or takes it back. */
  toggle({ call }: PendingOperation<I, O>): void {
    this.#used ^= 1n << BigInt(call.index);
  }

  #has(index: number): boolean {
    return (this.#used >> BigInt(index) & 1n) === 1n;
  }
}
