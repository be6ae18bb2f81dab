import { LRUCache } from "lru-cache";
import type { Clock } from "../client/clock.ts";
import type { ClientCore } from "../client/core.ts";

/** Keys for which a client holds tokens at most; beyond, tokens are lost. */
const MAX_LEASED_KEYS = 10_000;

interface TokenLease {
  readonly tokens: number;
  /** By the monotonic clock. */
  readonly endsAt: number;
}

/** What was added, and for how many milliseconds it lasts. */
interface AddedTokens {
  readonly count: number;
  readonly lastingMs: number;
}

const shared = new WeakMap<ClientCore, TokenLeases>();

/** The tokens of a client, whoever of it takes them: limiters may be made for a single call. */
export function tokenLeasesOf(core: ClientCore, clock: Pick<Clock, "monotonic">): TokenLeases {
  const known = shared.get(core) ?? new TokenLeases(clock);
  shared.set(core, known);
  return known;
}

/** Tokens that were taken ahead, by key. */
export class TokenLeases {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #leases = new LRUCache<string, TokenLease>({ max: MAX_LEASED_KEYS });

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Takes tokens, and returns how many are left; undefined when there are not so many. */
  take(key: string, count: number): number | undefined {
    const lease = this.#lasting(key);
    if (lease === undefined || lease.tokens < count) return undefined;
    this.#set(key, { ...lease, tokens: lease.tokens - count });
    return lease.tokens - count;
  }

  /** Adds tokens, and returns how many there are; what was left before lasts no longer for that. */
  add(key: string, { count, lastingMs }: AddedTokens): number {
    const lease = this.#lasting(key);
    const tokens = (lease?.tokens ?? 0) + count;
    const endsAt = lease?.endsAt ?? this.#clock.monotonic() + lastingMs;
    this.#set(key, { tokens, endsAt });
    return tokens;
  }

  #lasting(key: string): TokenLease | undefined {
    const lease = this.#leases.get(key);
    return lease !== undefined && lease.endsAt > this.#clock.monotonic() ? lease : undefined;
  }

  #set(key: string, lease: TokenLease): void {
    if (lease.tokens === 0) this.#leases.delete(key);
    else this.#leases.set(key, lease);
  }
}
