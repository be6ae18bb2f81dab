import { retryDelayMs } from "../client/retry_policy.ts";
import { jsflowLogger } from "../trace/log.ts";
import { inLine } from "./_contention.ts";
import { type Acquired, HeldLease, type LeaseSubject } from "./_held_lease.ts";
import { withLimits } from "./_limits.ts";
import { isPassing } from "./_passing_error.ts";
import type { Seen, Space, StateWaitOptions, WaitLimits } from "./_space.ts";
import { StateWatch } from "./_state_watch.ts";
import { isConflict } from "./errors.ts";
import type { Lease } from "./lease.ts";

/** One who wants to hold something; made for one acquisition. */
export interface Contender {
  readonly key: string;
  readonly subject: LeaseSubject;
  /**
   * Takes it when the state allows that and is still the present one, or finds that an earlier
   * attempt has taken it. Undefined when others hold it.
   *
   * @throws what the store throws; it may be taken all the same.
   */
  attempt(seen: Seen): Promise<Acquired | undefined>;
  /** Milliseconds until the first holder may be replaced; undefined when nobody holds it. */
  remainingMs(seen: Seen): number | undefined;
  /** What it holds by this state; undefined when nothing. */
  ownIn(seen: Seen): Acquired | undefined;
}

/** Pauses between attempts that failed; one that found it held waits for a change. */
const PAUSES = { attempts: Infinity, initialMs: 10, maxMs: 1_000 } as const;
/** Of a lease, how much may have passed when it is handed out. */
const MAX_AGE_SHARE = 1 / 2;
const logger = jsflowLogger("kv");
const NEVER = new AbortController().signal;

/** Waits until it is held; what is taken too late for the caller is given back. */
export async function acquire(
  space: Space,
  contender: Contender,
  limits: WaitLimits,
): Promise<Lease> {
  const { key, subject } = contender;
  const contest = new Contest(space, contender);
  return await contest.within(
    { ...limits, what: `get ${subject.what}` },
    (signal) => inLine(space, { key, signal }, () => contest.run(signal)),
  );
}

/** Takes it if that is possible at once; undefined when others hold it. */
export async function tryAcquire(
  space: Space,
  contender: Contender,
  { signal: outer, timeoutMs = space.timeoutMs }: WaitLimits,
): Promise<Lease | undefined> {
  const contest = new Contest(space, contender);
  const limits = { signal: outer, timeoutMs, what: `try to get ${contender.subject.what}` };
  return await contest.within(limits, (signal) => contest.tryOnce(signal));
}

class Contest {
  readonly #space: Space;
  readonly #contender: Contender;
  #signal: AbortSignal = NEVER;
  /** Attempts in a row that failed. */
  #failures = 0;
  /** Whether an attempt may have taken it without our knowing. */
  #mayHold = false;
  #lease: Lease | undefined;
  /** The newest state that was read, at the leader. */
  #known: Seen | undefined;

  constructor(space: Space, contender: Contender) {
    this.#space = space;
    this.#contender = contender;
  }

  /** Runs the contest; a lease that comes in the very moment in which it is cancelled is let go. */
  async within<L extends Lease | undefined>(
    limits: StateWaitOptions,
    work: (signal: AbortSignal) => Promise<L>,
  ): Promise<L> {
    try {
      return await withLimits(this.#space, limits, work);
    } catch (error) {
      if (this.#lease !== undefined) this.#space.inBackground(this.#lease.release());
      throw error;
    }
  }

  async run(signal: AbortSignal): Promise<Lease> {
    this.#signal = signal;
    return await this.#settled(async () => {
      // Most of the time nobody is in the way, and a watch would be the dearest part.
      return await this.#passing(async () => this.#attempt(await this.#read())) ??
        await this.#watch();
    });
  }

  async tryOnce(signal: AbortSignal): Promise<Lease | undefined> {
    this.#signal = signal;
    return await this.#settled(async () => {
      for (;;) {
        try {
          return await this.#attempt(await this.#read());
        } catch (error) {
          // A conflict says only that the state is another one by now.
          if (!isConflict(error)) throw error;
          this.#failures++;
          await this.#space.clock.sleep(this.#pauseMs(), this.#signal);
        }
      }
    });
  }

  async #watch(): Promise<Lease> {
    const watch = new StateWatch(this.#space, this.#contender.key);
    try {
      let seen: Seen | undefined = await this.#floor(watch);
      for (;;) {
        const present = seen;
        const lease = present && await this.#passing(() => this.#attempt(present));
        if (lease !== undefined) return lease;
        seen = await this.#next(watch, seen);
      }
    } finally {
      await watch.close();
    }
  }

  /** The present state: a watch may begin with what was before this call, if its replica lags. */
  async #floor(watch: StateWatch): Promise<Seen | undefined> {
    while (this.#known === undefined) {
      await this.#passing(() => this.#read());
      if (this.#known === undefined) await this.#space.clock.sleep(this.#pauseMs(), this.#signal);
    }
    watch.offer(this.#known);
    return watch.seen;
  }

  /** The next state that is worth an attempt. */
  async #next(watch: StateWatch, seen: Seen | undefined): Promise<Seen | undefined> {
    const isRetry = this.#failures > 0;
    const withinMs = isRetry ? this.#pauseMs() : seen && this.#contender.remainingMs(seen);
    const newer = await watch.next(seen, { signal: this.#signal, withinMs });
    if (newer === undefined && isRetry) {
      // The watch may be behind.
      const read = await this.#passing(() => this.#read());
      if (read !== undefined) watch.offer(read);
    }
    return watch.seen;
  }

  async #attempt(seen: Seen): Promise<Lease | undefined> {
    this.#signal.throwIfAborted();
    const acquired = await this.#taken(seen);
    const lease = acquired && await this.#hold(acquired);
    this.#failures = 0;
    return lease;
  }

  async #taken(seen: Seen): Promise<Acquired | undefined> {
    try {
      return await this.#contender.attempt(seen);
    } catch (error) {
      if (!isConflict(error)) this.#mayHold = true;
      throw error;
    }
  }

  /** Makes sure that enough of the lease is left; undefined when it was lost meanwhile. */
  async #hold(acquired: Acquired): Promise<Lease | undefined> {
    const { clock } = this.#space;
    const { subject } = this.#contender;
    this.#mayHold = true;
    let { sentAt } = acquired;
    while (clock.monotonic() - sentAt > subject.leaseMs * MAX_AGE_SHARE) {
      sentAt = clock.monotonic();
      const bounds = { signal: this.#signal, timeoutMs: this.#space.timeoutMs };
      if (!await acquired.keeper.renew(bounds)) return undefined;
    }
    this.#signal.throwIfAborted();
    this.#lease = new HeldLease(this.#space, subject, { ...acquired, sentAt });
    this.#mayHold = false;
    return this.#lease;
  }

  /** Leaves nothing behind when it fails, as far as the server can be reached. */
  async #settled<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (this.#mayHold) await this.#giveBack().catch(() => {});
      throw error;
    }
  }

  async #giveBack(): Promise<void> {
    const own = this.#contender.ownIn(await this.#read());
    await own?.keeper.giveBack({ signal: undefined, timeoutMs: this.#space.timeoutMs });
  }

  async #read(): Promise<Seen> {
    return this.#known = await this.#space.read(this.#contender.key);
  }

  /** Undefined when it failed for a reason that passes. */
  async #passing<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      this.#failures++;
      const { what } = this.#contender.subject;
      logger.debug("An attempt to get {what} failed: {error}", { what, error });
      return undefined;
    }
  }

  #pauseMs(): number {
    return retryDelayMs(PAUSES, this.#failures, this.#space.random) ?? 0;
  }
}
