import type { Contender } from "./_contend.ts";
import { patienceFor } from "./_contention.ts";
import type { Acquired, LeaseKeeper, LeaseSubject } from "./_held_lease.ts";
import { beatLock, holderOf, standingOf, takeLock } from "./_lock_state.ts";
import { finishOnce, type OnceOutcome, type OnceState, readOnce } from "./_once_state.ts";
import type { Seen, Space } from "./_space.ts";
import { type Standing, StateKeeper } from "./_state_keeper.ts";

/** Thrown to one who wants to run what has an outcome already. */
export class SettledBefore extends Error {
  readonly outcome: OnceOutcome;

  constructor(outcome: OnceOutcome) {
    super("it has an outcome already");
    this.outcome = outcome;
  }
}

/** One who wants to run what runs once; a lock whose last release stores the outcome. */
export class OnceContender implements Contender {
  readonly key: string;
  readonly subject: LeaseSubject;
  /** What giving back stores; undefined when it is to be run again. */
  outcome: OnceOutcome | undefined;
  readonly #space: Space;
  readonly #owner: string;
  #givenBack: Promise<boolean> = Promise.resolve(false);

  constructor(space: Space, key: string, subject: LeaseSubject) {
    this.#space = space;
    this.key = key;
    this.subject = subject;
    this.#owner = space.newId();
  }

  /** Whether what was given back last was stored under this claim. */
  get isStored(): Promise<boolean> {
    return this.#givenBack.catch(() => false);
  }

  async attempt(seen: Seen): Promise<Acquired | undefined> {
    const state = readOnce(this.key, seen);
    if (state.outcome !== undefined) throw new SettledBefore(state.outcome);
    const own = this.ownIn(seen);
    if (own !== undefined) return own;
    const remainingMs = this.remainingMs(seen);
    if (remainingMs !== undefined && remainingMs > 0) return undefined;
    const next = takeLock(state, { owner: this.#owner, leaseMs: this.subject.leaseMs });
    const { clock, store, timeoutMs } = this.#space;
    const sentAt = clock.monotonic();
    await store.updateAt(this.key, next, { revision: seen.revision, timeoutMs });
    return this.#acquired(next.epoch, sentAt);
  }

  remainingMs(seen: Seen): number | undefined {
    const now = this.#space.clock.monotonic();
    const holder = holderOf(readOnce(this.key, seen), seen.revision);
    const patience = patienceFor(this.#space, this.key);
    patience.observe(holder === undefined ? [] : [holder], now);
    return holder && patience.remainingMs(holder, now);
  }

  ownIn(seen: Seen): Acquired | undefined {
    const { owner, epoch } = readOnce(this.key, seen);
    // Nobody knows any more when it was sent, so it counts as long ago.
    return owner === this.#owner ? this.#acquired(epoch, -Infinity) : undefined;
  }

  #acquired(token: number, sentAt: number): Acquired {
    const keeper = new StateKeeper<OnceState>(this.#space, this.key, {
      read: (seen) => readOnce(this.key, seen),
      standing: (state) => this.#standing(state, token),
      beat: (state) => ({ ...state, ...beatLock(state) }),
      free: (state) => finishOnce(state, this.outcome),
      mustBeStored: true,
    });
    return { keeper: this.#noting(keeper), token, sentAt };
  }

  #standing(state: OnceState, token: number): Standing {
    const standing = standingOf(state, { owner: this.#owner, token });
    // It was given back before its outcome was known, when the coordination closed.
    const isTooLate = this.outcome !== undefined && state.outcome === undefined;
    return standing === "freed" && isTooLate ? "lost" : standing;
  }

  #noting(keeper: LeaseKeeper): LeaseKeeper {
    return {
      renew: (bounds) => keeper.renew(bounds),
      giveBack: (bounds) => this.#givenBack = keeper.giveBack(bounds),
    };
  }
}
