import { isJsflowError, JsflowError } from "../client/errors.ts";
import { retryDelayMs } from "../client/retry_policy.ts";
import type { Bounds } from "./_bucket.ts";
import type { LeaseKeeper } from "./_held_lease.ts";
import { isPassing, isStartingUp } from "./_passing_error.ts";
import type { Seen, Space } from "./_space.ts";

/** How a state relates to what a holder believes to hold. */
export type Standing = "held" | "freed" | "lost" | "stale";

/** What a holder's part of a state is, and how it changes. */
export interface StateRules<S> {
  /** @throws {JsflowError} `invalid_payload` */
  read(seen: Seen): S;
  /** Reads may be late: a state from before the holder's time is `stale`. */
  standing(state: S): Standing;
  /** The state after a sign of life. */
  beat(state: S): S;
  /** The state once it is given back. */
  free(state: S): S;
  /**
   * Whether giving back stores something of which it must be sure that it is stored. Else it counts
   * as given back when an attempt whose outcome nobody knows may have done it.
   * @default false
   */
  readonly mustBeStored?: boolean | undefined;
}

/** Milliseconds between attempts. */
const PAUSES = { attempts: Infinity, initialMs: 20, maxMs: 500 } as const;

/** Failures in a row after which a bucket that seems to be gone is gone. */
const CONFIRMATIONS = 5;

/** What was read is from before the holder's time: it comes from a leader that is none any more. */
class StaleRead extends JsflowError {
  constructor(key: string) {
    super(
      "jetstream_unavailable",
      `cannot tell who holds ${key}: the server shows it as it was before it was taken; try again, ` +
        "and check the server's health",
    );
  }
}

/** Keeps a holder's part of a key's state, whoever else changes the rest. */
export class StateKeeper<S> implements LeaseKeeper {
  readonly #space: Space;
  readonly #key: string;
  readonly #rules: StateRules<S>;
  /** Whether an attempt to give it back was sent whose outcome nobody knows. */
  #mayBeFree = false;

  constructor(space: Space, key: string, rules: StateRules<S>) {
    this.#space = space;
    this.#key = key;
    this.#rules = rules;
  }

  /** Rejects when the server is away: the next sign of life is to be sent anew. */
  async renew(bounds: Bounds): Promise<boolean> {
    const beat = (state: S) => this.#rules.beat(state);
    return await this.#persist(bounds, isOutrun, (left) => this.#change(beat, left)) === "held";
  }

  /** Goes on trying while the server is away. */
  async giveBack(bounds: Bounds): Promise<boolean> {
    const isWorthIt = (error: unknown, failures: number) =>
      isPassing(error) || (isStartingUp(error) && failures < CONFIRMATIONS);
    const standing = await this.#persist(bounds, isWorthIt, (left) => this.#free(left));
    // An earlier attempt, whose answer was lost, may have done it.
    return standing !== "lost" || (this.#mayBeFree && this.#rules.mustBeStored !== true);
  }

  async #free(bounds: Bounds): Promise<Standing> {
    let isTried = false;
    const free = (state: S) => {
      isTried = true;
      return this.#rules.free(state);
    };
    try {
      return await this.#change(free, bounds);
    } catch (error) {
      const isOpen = bounds.signal?.aborted === true || isJsflowError(error, "outcome_unknown");
      this.#mayBeFree ||= isTried && isOpen;
      throw error;
    }
  }

  /** `held` means that it was held, and is changed now. */
  async #change(change: (state: S) => S, bounds: Bounds): Promise<Standing> {
    let standing: Standing = "stale";
    await this.#space.store.update(this.#key, (value, { keep, revision }) => {
      const state = this.#rules.read({ value, revision });
      standing = this.#rules.standing(state);
      if (standing === "stale") throw new StaleRead(this.#key);
      return standing === "held" ? change(state) : keep;
    }, bounds);
    return standing;
  }

  /** Repeats an attempt for as long as there is time. */
  async #persist<T>(
    { signal, timeoutMs }: Bounds,
    isWorthIt: (error: unknown, failures: number) => boolean,
    attempt: (left: Bounds) => Promise<T>,
  ): Promise<T> {
    const { clock, random } = this.#space;
    const endsAt = clock.monotonic() + timeoutMs;
    for (let failures = 1;; failures++) {
      const leftMs = endsAt - clock.monotonic();
      try {
        return await attempt({ signal, timeoutMs: Math.max(1, leftMs) });
      } catch (error) {
        signal?.throwIfAborted();
        const pauseMs = retryDelayMs(PAUSES, failures, random) ?? 0;
        if (!isWorthIt(error, failures) || endsAt - clock.monotonic() <= pauseMs) throw error;
        await clock.sleep(pauseMs, signal);
      }
    }
  }
}

/** Whether others were faster, or what was read is old. */
function isOutrun(error: unknown): boolean {
  return error instanceof StaleRead || isJsflowError(error, "retries_exhausted");
}
