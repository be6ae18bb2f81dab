import type { Clock } from "../client/clock.ts";

const shared = new WeakMap<object, SteadyClock>();

/** The steady clock above a clock, the same for all who ask: it must not begin anew behind a step. */
export function steadyClockOf(clock: Pick<Clock, "now" | "monotonic">): SteadyClock {
  const known = shared.get(clock) ?? new SteadyClock(clock);
  shared.set(clock, known);
  return known;
}

/**
 * The wall clock, in whole milliseconds, without its steps back: after one it goes on as the
 * monotonic clock does, until the wall clock has caught up.
 */
export class SteadyClock {
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  #now: number;
  #at: number;

  constructor(clock: Pick<Clock, "now" | "monotonic">) {
    this.#clock = clock;
    this.#now = clock.now();
    this.#at = clock.monotonic();
  }

  now(): number {
    const at = this.#clock.monotonic();
    this.#now = Math.max(this.#clock.now(), this.#now + at - this.#at);
    this.#at = at;
    return Math.floor(this.#now);
  }
}
