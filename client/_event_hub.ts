import { callSafely } from "./_handler_callback.ts";
import type { ClientEvent, ClientEvents } from "./client_event.ts";

/** How many events wait for a slow reader before the oldest are dropped. */
export const MAX_WAITING_EVENTS = 1_000;

/** Passes a client's events on, to functions and to readers. */
export class EventHub {
  readonly #listeners = new Set<(event: ClientEvent) => void>();
  readonly #readers = new Set<EventReader>();
  #ended = false;

  /** How many functions and readers get events. */
  get size(): number {
    return this.#listeners.size + this.#readers.size;
  }

  /** Calls every listener, at once; one that throws harms nobody. */
  emit(event: ClientEvent): void {
    for (const reader of this.#readers) reader.push(event);
    for (const listener of [...this.#listeners]) { // those that one adds are for the next event
      if (!this.#listeners.has(listener)) continue;
      callSafely(() => listener(event), "onEvent");
    }
  }

  /** Adds a listener; returns the function that removes it. */
  listen(listener: (event: ClientEvent) => void): () => void {
    if (this.#ended) return () => {};
    const own = (event: ClientEvent) => listener(event); // the same function may listen twice
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Events from now on, until the hub ends, the reader stops or the signal aborts. */
  read(signal: AbortSignal | undefined): ClientEvents {
    const reader = new EventReader(signal, () => this.#readers.delete(reader));
    if (this.#ended) reader.end();
    else if (!reader.isOver) this.#readers.add(reader);
    return reader;
  }

  /** Removes all listeners, and ends readers once they have read what waits. */
  end(): void {
    this.#ended = true;
    this.#listeners.clear();
    for (const reader of this.#readers) reader.end();
  }
}

type Next = IteratorResult<ClientEvent, undefined>;

const DONE: Next = { done: true, value: undefined };

/** One reader of events: its own queue, which never grows past its bound. */
class EventReader implements ClientEvents, AsyncIterator<ClientEvent, undefined> {
  readonly #signal: AbortSignal | undefined;
  readonly #release: () => void;
  #waiting: ClientEvent[] = [];
  #pending: { resolve: (next: Next) => void; reject: (reason: unknown) => void }[] = [];
  #dropped = 0;
  #over = false;

  constructor(signal: AbortSignal | undefined, release: () => void) {
    this.#signal = signal;
    this.#release = release;
    if (signal?.aborted) this.#over = true;
    else signal?.addEventListener("abort", this.#abort, { once: true });
  }

  get dropped(): number {
    return this.#dropped;
  }

  get isOver(): boolean {
    return this.#over;
  }

  push(event: ClientEvent): void {
    const pending = this.#pending.shift();
    if (pending !== undefined) return pending.resolve({ done: false, value: event });
    this.#waiting.push(event);
    if (this.#waiting.length <= MAX_WAITING_EVENTS) return;
    this.#waiting.shift();
    this.#dropped++;
  }

  end(): void {
    this.#over = true;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#release();
    for (const { resolve } of this.#pending.splice(0)) resolve(DONE);
  }

  next(): Promise<Next> {
    if (this.#signal?.aborted) return Promise.reject(this.#signal.reason);
    const value = this.#waiting.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#over) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => this.#pending.push({ resolve, reject }));
  }

  return(): Promise<Next> {
    this.#waiting = [];
    this.end();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): AsyncIterator<ClientEvent, undefined> {
    return this;
  }

  readonly #abort = (): void => {
    const pending = this.#pending.splice(0);
    this.#waiting = [];
    this.end();
    for (const { reject } of pending) reject(this.#signal?.reason);
  };
}
