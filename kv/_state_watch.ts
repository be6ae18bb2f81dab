import type { Clock } from "../client/clock.ts";
import { JsflowError } from "../client/errors.ts";
import { MAX_TIMER_MS } from "../client/validate.ts";
import type { Change } from "./entry.ts";
import type { Seen } from "./_space.ts";
import type { Store } from "./store.ts";
import type { WatchHandle } from "./watch.ts";

/** How {@link StateWatch.next} waits. */
interface NextOptions {
  readonly signal: AbortSignal;
  /**
   * Milliseconds after which it gives up and returns undefined; it may do so earlier when they are
   * more than a timer holds.
   * @default no bound
   */
  readonly withinMs?: number | undefined;
}

interface Waiter {
  readonly resolve: (seen: Seen | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

/** Follows the state of one key. Begins to watch when it is made, before anything is read. */
export class StateWatch {
  readonly #clock: Clock;
  readonly #handle: WatchHandle;
  readonly #waiters = new Set<Waiter>();
  #seen: Seen | undefined;
  #ended: { readonly reason: unknown } | undefined;

  constructor(space: { readonly store: Store<unknown>; readonly clock: Clock }, key: string) {
    this.#clock = space.clock;
    this.#handle = space.store.watch({ key }, (change) => this.offer(seenIn(change)));
    // Of a key that never held anything there is no change to hear of, only that this was all.
    this.#handle.ready.then(() => this.offer({ value: undefined, revision: 0 }), () => {});
    this.#handle.closed.then(
      () => this.#end(closedError(key)),
      (reason: unknown) => this.#end(reason),
    );
  }

  /** The newest state that was seen; undefined before the first one is known. */
  get seen(): Seen | undefined {
    return this.#seen;
  }

  /** Takes over a state that was read elsewhere, unless a newer one is known. */
  offer(seen: Seen): void {
    if (this.#seen !== undefined && seen.revision <= this.#seen.revision) return;
    this.#seen = seen;
    for (const { resolve } of this.#waiters) resolve(seen);
  }

  /**
   * Returns the newest state as soon as it is newer than `after`; undefined when that takes longer
   * than allowed.
   *
   * @throws the signal's reason, or what ended the watch.
   */
  async next(after: Seen | undefined, options: NextOptions): Promise<Seen | undefined> {
    options.signal.throwIfAborted();
    if (this.#ended !== undefined) throw this.#ended.reason;
    if (this.#seen !== undefined && this.#seen !== after) return this.#seen;
    return await this.#wait(options);
  }

  /** Ends the watch. */
  close(): Promise<void> {
    return this.#handle.close();
  }

  async #wait({ signal, withinMs }: NextOptions): Promise<Seen | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Seen | undefined>();
    const waiter: Waiter = { resolve, reject };
    const timer = new AbortController();
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.#waiters.add(waiter);
    if (withinMs !== undefined) {
      const pauseMs = Math.min(withinMs, MAX_TIMER_MS);
      this.#clock.sleep(pauseMs, timer.signal).then(() => resolve(undefined), () => {});
    }
    try {
      return await promise;
    } finally {
      timer.abort();
      this.#waiters.delete(waiter);
      signal.removeEventListener("abort", abort);
    }
  }

  #end(reason: unknown): void {
    this.#ended ??= { reason };
    for (const { reject } of this.#waiters) reject(this.#ended.reason);
  }
}

function seenIn(change: Change<unknown>): Seen {
  return { value: change.value, revision: change.revision };
}

function closedError(key: string): JsflowError {
  return new JsflowError("connection_closed", `cannot follow ${key}: the coordination was closed`);
}
