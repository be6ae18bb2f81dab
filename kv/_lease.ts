/** Milliseconds of a lease unless something else is asked for. */
export const DEFAULT_LEASE_MS: number = 15_000;
/** Milliseconds of the shortest lease: below, timers and networks are not punctual enough. */
export const MIN_LEASE_MS: number = 100;

/** The part of a lease by which a holder gives up earlier, and a contender waits longer. */
const MARGIN = 0.1;

/** A span of one monotonic clock in which a holder can be sure. */
export interface Tenure {
  /** When the last confirmed sign of life was *sent*, by the holder's monotonic clock. */
  readonly sentAt: number;
  readonly leaseMs: number;
}

/** Milliseconds for which a holder can still be sure; 0 or less when it can't. */
export function sureForMs({ sentAt, leaseMs }: Tenure, now: number): number {
  return sentAt + leaseMs * (1 - MARGIN) - now;
}

/** Milliseconds between two signs of life. */
export function beatEveryMs(leaseMs: number): number {
  return leaseMs / 3;
}

/** A holder, as a contender sees it. */
export interface Sighting {
  /** What names the holder: nobody else ever has the same. */
  readonly holder: string;
  /** What changes with each sign of life. */
  readonly sign: number;
  /** How long its lease is, in milliseconds. */
  readonly leaseMs: number;
}

/**
 * How long each holder has given no sign of life, by the contender's own monotonic clock.
 *
 * Clocks of two machines are never compared: what counts is for how long this contender has known
 * the same sign. A sign that was seen twice has not changed in between, however long nobody looked.
 */
export class Patience {
  readonly #known = new Map<string, { readonly sign: number; readonly since: number }>();

  /** Takes in who holds now; those who don't are forgotten. */
  observe(sightings: readonly Sighting[], now: number): void {
    const before = new Map(this.#known);
    this.#known.clear();
    for (const { holder, sign } of sightings) {
      const known = before.get(holder);
      this.#known.set(holder, known?.sign === sign ? known : { sign, since: now });
    }
  }

  /** Milliseconds until this holder may be replaced; 0 or less when it may. */
  remainingMs({ holder, sign, leaseMs }: Sighting, now: number): number {
    const known = this.#known.get(holder);
    const since = known?.sign === sign ? known.since : now;
    return since + leaseMs * (1 + MARGIN) - now;
  }
}
