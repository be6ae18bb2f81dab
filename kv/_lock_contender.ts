import { checkDurationMs } from "../client/validate.ts";
import type { Contender } from "./_contend.ts";
import { patienceFor } from "./_contention.ts";
import type { Acquired, LeaseSubject } from "./_held_lease.ts";
import { DEFAULT_LEASE_MS, MIN_LEASE_MS } from "./_lease.ts";
import {
  beatLock,
  freeLock,
  holderOf,
  type LockState,
  readLock,
  standingOf,
  takeLock,
} from "./_lock_state.ts";
import type { Seen, Space } from "./_space.ts";
import { StateKeeper } from "./_state_keeper.ts";

/** What is contended for, one holder at a time. */
export interface LockWanted {
  /** Kinds have names of their own. */
  readonly kind: "leader" | "lock";
  readonly name: string;
  /** Milliseconds. @default 15000 */
  readonly leaseMs: number | undefined;
}

/** One who wants a lock or to lead; checks name and lease. */
export function createLockContender(space: Space, wanted: LockWanted): Contender {
  const { kind, name, leaseMs = DEFAULT_LEASE_MS } = wanted;
  const key = space.keyOf(kind, name);
  checkDurationMs("leaseMs", leaseMs, { min: MIN_LEASE_MS });
  const what = `${kind === "lock" ? "lock" : "leadership of"} ${JSON.stringify(name)}`;
  return new LockContender(space, key, { name, what, leaseMs, isOwned: kind === "leader" });
}

class LockContender implements Contender {
  readonly key: string;
  readonly subject: LeaseSubject;
  readonly #space: Space;
  readonly #owner: string;

  constructor(space: Space, key: string, subject: LeaseSubject) {
    this.#space = space;
    this.key = key;
    this.subject = subject;
    this.#owner = space.newId();
  }

  async attempt(seen: Seen): Promise<Acquired | undefined> {
    const own = this.ownIn(seen);
    if (own !== undefined) return own;
    const remainingMs = this.remainingMs(seen);
    if (remainingMs !== undefined && remainingMs > 0) return undefined;
    const claim = { owner: this.#owner, leaseMs: this.subject.leaseMs };
    const next = takeLock(readLock(seen, this.key), claim);
    const { clock, store, timeoutMs } = this.#space;
    const sentAt = clock.monotonic();
    await store.updateAt(this.key, next, { revision: seen.revision, timeoutMs });
    return this.#acquired(next.epoch, sentAt);
  }

  remainingMs(seen: Seen): number | undefined {
    const now = this.#space.clock.monotonic();
    const holder = holderOf(readLock(seen, this.key), seen.revision);
    const patience = patienceFor(this.#space, this.key);
    patience.observe(holder === undefined ? [] : [holder], now);
    return holder && patience.remainingMs(holder, now);
  }

  ownIn(seen: Seen): Acquired | undefined {
    const { owner, epoch } = readLock(seen, this.key);
    // Nobody knows any more when it was sent, so it counts as long ago.
    return owner === this.#owner ? this.#acquired(epoch, -Infinity) : undefined;
  }

  #acquired(token: number, sentAt: number): Acquired {
    const { key } = this;
    const keeper = new StateKeeper<LockState>(this.#space, key, {
      read: (seen) => readLock(seen, key),
      standing: (state) => standingOf(state, { owner: this.#owner, token }),
      beat: beatLock,
      free: freeLock,
    });
    return { keeper, token, sentAt };
  }
}
