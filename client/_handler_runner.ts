import { isThenable } from "./_is_thenable.ts";
import { HandlerCall } from "./_handler_call.ts";
import { HandlerQueue } from "./_handler_queue.ts";
import type { NatsMessage } from "./native.ts";

/** Why a message is not handled: there is no room for it, or nothing is handled any more. */
export type DropReason = "full" | "stopped";

/** How handlers are run. */
export interface HandlerRunnerOptions {
  /** Most handlers at work at a time. */
  readonly concurrency: number;
  /** Most messages that wait for a handler. */
  readonly maxWaiting: number;
  /** Most bytes of messages that wait for a handler. */
  readonly maxWaitingBytes: number;
  /** The deadline of each handler, in milliseconds. */
  readonly timeoutMs: number;
  /** Handles one message. Whatever it throws fails the call. */
  readonly handle: (message: NatsMessage, call: HandlerCall) => unknown;
  /** Told of each message that is not handled. Must not throw. */
  readonly dropped: (message: NatsMessage, why: DropReason) => void;
}

/** What has become of the messages so far. */
export interface HandlerCounts {
  received: number;
  handled: number;
  failed: number;
  dropped: number;
}

/**
 * Calls a handler for each message, in the order of arrival, so many at a time.
 *
 * A handler whose deadline has passed keeps its place until it ends: the bound holds for what really
 * runs.
 */
export class HandlerRunner {
  readonly counts: HandlerCounts = { received: 0, handled: 0, failed: 0, dropped: 0 };
  readonly #options: HandlerRunnerOptions;
  readonly #waiting: HandlerQueue<NatsMessage>;
  readonly #calls = new Set<HandlerCall>();
  #pumping = false;
  #idle: { readonly promise: Promise<void>; resolve(): void } | undefined;

  constructor(options: HandlerRunnerOptions) {
    this.#options = options;
    this.#waiting = new HandlerQueue(options.maxWaiting, options.maxWaitingBytes);
  }

  /** Messages that wait for a handler. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Handlers at work, those whose deadline has passed included. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Takes a message. */
  push(message: NatsMessage): void {
    this.counts.received++;
    const { concurrency } = this.#options;
    // Sync handlers may be called from within a call of theirs: then order needs the queue.
    if (!this.#pumping && this.waiting === 0 && this.inFlight < concurrency) {
      this.#start(message);
      this.#pump();
    } else if (!this.#waiting.push(message, message.data.length)) {
      this.#drop(message, "full");
    }
  }

  /** Resolves when nothing waits and nobody works. */
  idle(): Promise<void> {
    if (this.inFlight === 0 && this.waiting === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }

  /** Fails every call, which aborts its signal. */
  abort(reason: unknown): void {
    for (const call of [...this.#calls]) call.fail(reason);
  }

  /** Drops the messages that wait. */
  discard(): void {
    for (;;) {
      const message = this.#waiting.shift();
      if (message === undefined) break;
      this.#drop(message, "stopped");
    }
    this.#settle();
  }

  /** A loop, since handlers that return at once would otherwise recurse as deep as the queue. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.inFlight < this.#options.concurrency) {
        const message = this.#waiting.shift();
        if (message === undefined) break;
        this.#start(message);
      }
    } finally {
      this.#pumping = false;
      this.#settle();
    }
  }

  #start(message: NatsMessage): void {
    const { timeoutMs, handle } = this.#options;
    const call = new HandlerCall(timeoutMs, ({ ok }) => this.counts[ok ? "handled" : "failed"]++);
    this.#calls.add(call);
    try {
      const result = handle(message, call);
      if (!isThenable(result)) return this.#end(call);
      call.arm();
      result.then(
        () => this.#finish(call),
        (error: unknown) => {
          call.fail(error);
          this.#finish(call);
        },
      );
    } catch (error) {
      call.fail(error);
      this.#end(call);
    }
  }

  #finish(call: HandlerCall): void {
    this.#end(call);
    this.#pump();
  }

  #end(call: HandlerCall): void {
    call.end();
    this.#calls.delete(call);
  }

  #drop(message: NatsMessage, why: DropReason): void {
    this.counts.dropped++;
    this.#options.dropped(message, why);
  }

  #settle(): void {
    if (this.#idle === undefined || this.inFlight > 0 || this.waiting > 0) return;
    this.#idle.resolve();
    this.#idle = undefined;
  }
}
