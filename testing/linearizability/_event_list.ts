import type { RecordedOperation } from "./recorded_operation.ts";

/** A call or a return that a search has not passed yet. */
export interface PendingEvent<I, O> {
  readonly operation: RecordedOperation<I, O>;
  /** Index of the operation in the list that was made of it. */
  readonly index: number;
  readonly isCall: boolean;
  readonly place: number;
  previous: PendingEvent<I, O> | undefined;
  next: PendingEvent<I, O> | undefined;
}

/** An operation in an {@link EventList}. */
export interface PendingOperation<I, O> {
  readonly operation: RecordedOperation<I, O>;
  readonly call: PendingEvent<I, O>;
  /** Undefined when there is no result. */
  readonly end: PendingEvent<I, O> | undefined;
}

/**
 * Calls and returns in order, as a linked list: an operation is taken out, and put back in the
 * reverse order, in constant time.
 */
export class EventList<I, O> {
  readonly operations: readonly PendingOperation<I, O>[];
  #first: PendingEvent<I, O> | undefined;

  constructor(operations: readonly RecordedOperation<I, O>[]) {
    this.operations = operations.map(pending);
    const events = this.operations.flatMap(({ call, end }) => end ? [call, end] : [call]);
    // At the same place a call comes first: then the two operations overlap.
    events.sort((a, b) => a.place - b.place || Number(b.isCall) - Number(a.isCall));
    for (const [index, event] of events.entries()) {
      event.previous = events[index - 1];
      event.next = events[index + 1];
    }
    this.#first = events[0];
  }

  get first(): PendingEvent<I, O> | undefined {
    return this.#first;
  }

  takeOut({ call, end }: PendingOperation<I, O>): void {
    this.#unlink(call);
    if (end) this.#unlink(end);
  }

  putBack({ call, end }: PendingOperation<I, O>): void {
    if (end) this.#relink(end);
    this.#relink(call);
  }

  #unlink({ previous, next }: PendingEvent<I, O>): void {
    if (previous) previous.next = next;
    else this.#first = next;
    if (next) next.previous = previous;
  }

  #relink(event: PendingEvent<I, O>): void {
    const { previous, next } = event;
    if (previous) previous.next = event;
    else this.#first = event;
    if (next) next.previous = event;
  }
}

function pending<I, O>(
  operation: RecordedOperation<I, O>,
  index: number,
): PendingOperation<I, O> {
  const event = (isCall: boolean, place: number): PendingEvent<I, O> => ({
    operation,
    index,
    isCall,
    place,
    previous: undefined,
    next: undefined,
  });
  const hasEnd = operation.result !== undefined;
  return {
    operation,
    call: event(true, operation.called),
    end: hasEnd ? event(false, operation.returned) : undefined,
  };
}
