import type { ClientCore } from "../client/core.ts";
import type { DeadlineOptions } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";

/** Updates of one key that wait in this process at most. */
export const MAX_WAITING_UPDATES = 10_000;

/** What a turn may leave to those that waited while it was found out. */
interface Legacy<H> {
  readonly value: H;
  /** The last one that waited already when the finding out began. */
  readonly ticket: number;
}

/** One's turn at a key. */
export interface Turn<H> {
  /** What the turn before left, if this one waited already when that was found out. */
  readonly inherited: H | undefined;
  /** To be called before something is found out that is left to the next turn. */
  begin(): void;
  /** Leaves what was found out since `begin`, or what was inherited. */
  leave(value: H): void;
}

interface Waiter<H> {
  readonly ticket: number;
  readonly start: (inherited: Legacy<H> | undefined) => void;
}

/** Those that wait for one key, while one is at work. */
class Line<H> {
  readonly waiting: Waiter<H>[] = [];
  tickets = 0;
}

/** Lets what is done to one key go one after the other, in order of arrival. */
export class KeyQueues<H> {
  readonly #lines = new Map<string, Line<H>>();

  /** Keys that somebody works on. */
  get size(): number {
    return this.#lines.size;
  }

  /**
   * Runs `work` when it is its turn; the bounds end with the wait.
   *
   * @throws {JsflowError} `buffer_full` when too many wait.
   * @throws the error of `onTimeout`, or the signal's reason when it aborts before the turn.
   */
  async run<T>(
    key: string,
    bounds: DeadlineOptions,
    work: (turn: Turn<H>) => Promise<T>,
  ): Promise<T> {
    bounds.signal?.throwIfAborted();
    let line = this.#lines.get(key);
    let inherited: Legacy<H> | undefined;
    if (line !== undefined) inherited = await wait(key, line, bounds);
    else this.#lines.set(key, line = new Line());
    let legacy: Legacy<H> | undefined;
    let since = inherited?.ticket ?? 0;
    try {
      return await work({
        inherited: inherited?.value,
        begin: () => {
          since = line.tickets;
        },
        leave: (value) => {
          legacy = { value, ticket: since };
        },
      });
    } finally {
      this.#startNext(key, line, legacy);
    }
  }

  #startNext(key: string, line: Line<H>, legacy: Legacy<H> | undefined): void {
    const next = line.waiting.shift();
    if (next === undefined) this.#lines.delete(key);
    else next.start(legacy && next.ticket <= legacy.ticket ? legacy : undefined);
  }
}

function wait<H>(
  key: string,
  line: Line<H>,
  { signal, timeoutMs, onTimeout }: DeadlineOptions,
): Promise<Legacy<H> | undefined> {
  if (line.waiting.length >= MAX_WAITING_UPDATES) {
    throw new JsflowError(
      "buffer_full",
      `cannot update ${JSON.stringify(key).slice(0, 80)}: ${MAX_WAITING_UPDATES} updates of this ` +
        "key wait already; slow down, or spread them over several keys",
    );
  }
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const leave = (reason: unknown) => {
      settle();
      line.waiting.splice(line.waiting.indexOf(waiter), 1);
      reject(reason);
    };
    const abort = () => leave(signal?.reason);
    const timer = setTimeout(() => leave(onTimeout()), timeoutMs);
    const waiter: Waiter<H> = {
      ticket: ++line.tickets,
      start: (inherited) => {
        settle();
        resolve(inherited);
      },
    };
    line.waiting.push(waiter);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

const queues = new WeakMap<ClientCore, KeyQueues<unknown>>();

/** The queues that all stores of a client share. */
export function queuesOf<H>(core: ClientCore): KeyQueues<H> {
  let shared = queues.get(core);
  if (shared === undefined) queues.set(core, shared = new KeyQueues());
  return shared as KeyQueues<H>;
}
