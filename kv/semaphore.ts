import { checkOnDrift, type OnDrift } from "../client/ensure_stream.ts";
import { JsflowError } from "../client/errors.ts";
import { checkDurationMs, checkInteger, checkOptions } from "../client/validate.ts";
import type { WaitBounds } from "../client/call_options.ts";
import { acquire, type Contender, tryAcquire } from "./_contend.ts";
import { patienceFor } from "./_contention.ts";
import type { Acquired, LeaseSubject } from "./_held_lease.ts";
import { DEFAULT_LEASE_MS, MIN_LEASE_MS } from "./_lease.ts";
import {
  beatPermit,
  freePermit,
  permitOf,
  permitStanding,
  readSemaphore,
  type SemaphoreState,
  sightingsOf,
  takePermit,
  without,
} from "./_semaphore_state.ts";
import { checkLimits, type Seen, type Space, spaceOf } from "./_space.ts";
import { StateKeeper } from "./_state_keeper.ts";
import type { Coordination } from "./coordination.ts";
import type { Lease } from "./lease.ts";

/** The most permits that a semaphore can have: all its holders stand in one value. */
export const MAX_PERMITS: number = 1_000;

/** How a semaphore is used; all who use it should say the same. */
export interface SemaphoreOptions {
  /** How many may hold a permit at a time, 1 to 1000. */
  readonly permits: number;
  /**
   * Milliseconds without a sign of life after which a holder is replaced, at least 100.
   * @default 15000
   */
  readonly leaseMs?: number | undefined;
  /**
   * What happens when others use it with another number of permits: an error, the number is
   * changed for all, or theirs holds. Fewer permits take none away: they come into effect as
   * permits are given back.
   * @default "fail"
   */
  readonly onDrift?: OnDrift | undefined;
}

/** A permit of a semaphore that is held. */
export type Permit = Lease;

/** Lets a bounded number of holders in, across processes. */
export interface Semaphore {
  /** Its name. */
  readonly name: string;
  /**
   * Waits for a permit and takes it; without a `timeoutMs`, until the signal aborts.
   *
   * @throws {JsflowError} `timeout` when none was free in time; `config_drift` when others use
   * another number of permits; `connection_closed`, `bucket_not_found`, `permission_denied`.
   * @throws the signal's reason when it aborts.
   */
  acquire(options?: WaitBounds): Promise<Permit>;
  /**
   * Takes a permit if one is free; `timeoutMs` bounds the call itself, and is the coordination's
   * unless it is given.
   *
   * @returns undefined when none is free.
   * @throws as `acquire` does, and `not_connected` or another code when the server can't be asked.
   */
  tryAcquire(options?: WaitBounds): Promise<Permit | undefined>;
}

/**
 * Returns a semaphore; does no I/O.
 *
 * Callers of one process get permits in the order in which they came; between processes there is no
 * order. A holder that crashed is replaced once it was not heard of for its lease and a tenth of
 * it, by the contender's own clock. Each permit has a token of its own, larger than all before.
 *
 * Holders renew their permits in one value by compare-and-set, each third of their leases: it is
 * meant for tens of holders and leases of seconds, not for hundreds of short ones.
 *
 * @throws {TypeError | RangeError} for a name or options that make no sense.
 *
 * @example
 * ```ts
 * import { type Coordination, semaphore } from "@x/jsflow/kv";
 *
 * async function convert(coordination: Coordination): Promise<void> {
 *   const converters = semaphore(coordination, "converters", { permits: 3 });
 *   const permit = await converters.acquire({ timeoutMs: 60_000 });
 *   try {
 *     console.log("one of three", permit.token);
 *   } finally {
 *     await permit.release();
 *   }
 * }
 * console.log(convert);
 * ```
 */
export function semaphore(
  coordination: Coordination,
  name: string,
  options: SemaphoreOptions,
): Semaphore {
  const space = spaceOf(coordination);
  const key = space.keyOf("semaphore", name);
  checkOptions("semaphore", options, ["permits", "leaseMs", "onDrift"]);
  const { permits, leaseMs = DEFAULT_LEASE_MS } = options;
  checkInteger("permits", permits, { min: 1, max: MAX_PERMITS });
  checkDurationMs("leaseMs", leaseMs, { min: MIN_LEASE_MS });
  const rules: Rules = { key, permits, onDrift: checkOnDrift("semaphore", options.onDrift) };
  const what = `a permit of semaphore ${JSON.stringify(name)}`;
  const subject = { name, what, leaseMs, isOwned: false };
  const contender = () => new PermitContender(space, subject, rules);
  return {
    name,
    acquire: async (options) => await acquire(space, contender(), checkLimits("acquire", options)),
    tryAcquire: async (options) =>
      await tryAcquire(space, contender(), checkLimits("tryAcquire", options)),
  };
}

interface Rules {
  readonly key: string;
  readonly permits: number;
  readonly onDrift: OnDrift;
}

class PermitContender implements Contender {
  readonly key: string;
  readonly subject: LeaseSubject;
  readonly #space: Space;
  readonly #rules: Rules;
  readonly #owner: string;

  constructor(space: Space, subject: LeaseSubject, rules: Rules) {
    this.key = rules.key;
    this.subject = subject;
    this.#space = space;
    this.#rules = rules;
    this.#owner = space.newId();
  }

  async attempt(seen: Seen): Promise<Acquired | undefined> {
    const own = this.ownIn(seen);
    if (own !== undefined) return own;
    const state = readSemaphore(seen, this.#rules);
    const gone = this.#overdue(state);
    const { permits, isDrift } = this.#permits(state);
    if (state.holders.length - gone.size >= permits) {
      // Those who come with the old number must not fill up what is to become free.
      if (isDrift || gone.size > 0) await this.#write(without({ ...state, permits }, gone), seen);
      return undefined;
    }
    const claim = { owner: this.#owner, leaseMs: this.subject.leaseMs };
    const next = takePermit({ ...state, permits }, claim, gone);
    const sentAt = this.#space.clock.monotonic();
    await this.#write(next, seen);
    return this.#acquired(next.epoch, sentAt);
  }

  remainingMs(seen: Seen): number | undefined {
    const { patience, now, sightings } = this.#observe(readSemaphore(seen, this.#rules));
    if (sightings.length === 0) return undefined;
    return Math.min(...sightings.map((sighting) => patience.remainingMs(sighting, now)));
  }

  ownIn(seen: Seen): Acquired | undefined {
    const own = permitOf(readSemaphore(seen, this.#rules), this.#owner);
    // Nobody knows any more when it was sent, so it counts as long ago.
    return own && this.#acquired(own.token, -Infinity);
  }

  /** Holders that may be replaced. */
  #overdue(state: SemaphoreState): ReadonlySet<string> {
    const { patience, now, sightings } = this.#observe(state);
    const overdue = sightings.filter((sighting) => patience.remainingMs(sighting, now) <= 0);
    return new Set(overdue.map(({ holder }) => holder));
  }

  #observe(state: SemaphoreState) {
    const now = this.#space.clock.monotonic();
    const patience = patienceFor(this.#space, this.key);
    const sightings = sightingsOf(state);
    patience.observe(sightings, now);
    return { patience, now, sightings };
  }

  /** The number of permits that holds, and whether it must be stored. */
  #permits(state: SemaphoreState): { readonly permits: number; readonly isDrift: boolean } {
    const { permits, onDrift } = this.#rules;
    if (state.permits === permits || onDrift === "ignore") {
      return { permits: state.permits, isDrift: false };
    }
    if (onDrift === "update") return { permits, isDrift: true };
    throw new JsflowError(
      "config_drift",
      `cannot get ${this.subject.what}: it has ${state.permits} permits, expected ${permits}; ` +
        'give all who use it the same number, or say onDrift: "update"',
    );
  }

  async #write(next: SemaphoreState, { revision }: Seen): Promise<void> {
    const { store, timeoutMs } = this.#space;
    await store.updateAt(this.key, next, { revision, timeoutMs });
  }

  #acquired(token: number, sentAt: number): Acquired {
    const owner = this.#owner;
    const keeper = new StateKeeper<SemaphoreState>(this.#space, this.key, {
      read: (seen) => readSemaphore(seen, this.#rules),
      standing: (state) => permitStanding(state, { owner, token }),
      beat: (state) => beatPermit(state, owner),
      free: (state) => freePermit(state, owner),
    });
    return { keeper, token, sentAt };
  }
}
