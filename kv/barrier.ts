import type { WaitBounds } from "../client/call_options.ts";
import { JsflowError } from "../client/errors.ts";
import { checkInteger, checkOptions, MAX_TIMER_MS } from "../client/validate.ts";
import {
  arriveAt,
  type BarrierState,
  generationOf,
  readBarrier,
  withdraw,
} from "./_barrier_state.ts";
import { changeState } from "./_change_state.ts";
import { withLimits } from "./_limits.ts";
import { checkLimits, checkName, type Seen, type Space, spaceOf } from "./_space.ts";
import type { Coordination } from "./coordination.ts";
import type { Updater } from "./store.ts";

/** The most parties of a barrier: they stand in one value. */
export const MAX_PARTIES: number = 1_000;

/** How a barrier is used; all who use it must say the same. */
export interface BarrierOptions {
  /** How many must arrive for it to open, 1 to 1000. */
  readonly parties: number;
}

/** Lets nobody on before all are there; then it begins anew. */
export interface Barrier {
  /** Its name. */
  readonly name: string;
  /**
   * Arrives, and waits until as many members as there are parties have; without a `timeoutMs`,
   * until the signal aborts.
   *
   * A member counts once: when it arrives again before the barrier opens, after a crash or from
   * elsewhere, it takes its own place, and both calls go on when it opens. A call that is cancelled
   * withdraws its arrival, as far as the server can be reached; its member stays as long as another
   * of its last 4 calls waits. A process that dies stays counted: cancelling a later call of its
   * member does not change that.
   *
   * @param member who arrives, a text of up to 200 characters.
   * @returns the generation that is over: 0 for the first time that the barrier opened, then 1, …
   * @throws {JsflowError} `timeout`; `config_drift` when others wait for another number of parties;
   * `outcome_unknown` when the answer was lost, and others have passed so often since that nobody
   * can tell; `key_not_found` when the barrier's key was removed; `connection_closed`,
   * `bucket_not_found`.
   * @throws the signal's reason when it aborts.
   */
  arrive(member: string, options?: WaitBounds): Promise<number>;
}

/**
 * Returns a barrier; does no I/O.
 *
 * Generations rise for ever. Members need not be the same in each.
 *
 * @throws {TypeError | RangeError} for a name or options that make no sense.
 *
 * @example
 * ```ts
 * import { barrier, type Coordination } from "@x/jsflow/kv";
 *
 * async function worker(coordination: Coordination, id: string): Promise<void> {
 *   const phase = barrier(coordination, "training", { parties: 4 });
 *   for (let round = 0; round < 10; round++) {
 *     const generation = await phase.arrive(id, { timeoutMs: 60_000 });
 *     console.log("all four are done with", generation);
 *   }
 * }
 * console.log(worker);
 * ```
 */
export function barrier(
  coordination: Coordination,
  name: string,
  options: BarrierOptions,
): Barrier {
  const space = spaceOf(coordination);
  const key = space.keyOf("barrier", name);
  if (options === undefined) throw new TypeError("barrier needs options with parties");
  checkOptions("barrier", options, ["parties"]);
  const parties = checkInteger("barrier: parties", options.parties, { min: 1, max: MAX_PARTIES });
  return {
    name,
    arrive: async (member, options) => {
      checkName("a member of a barrier", member);
      const limits = checkLimits("arrive", options);
      const what = `pass barrier ${JSON.stringify(name)}`;
      const passage = new Passage(space, key, { parties, member });
      return await withLimits(space, { ...limits, what }, (signal) => passage.run(signal));
    },
  };
}

/** One arrival, until the barrier opens. */
class Passage {
  readonly #space: Space;
  readonly #key: string;
  readonly #parties: number;
  readonly #member: string;
  readonly #call: string;
  /** The generation of the attempt at hand. */
  #tried = 0;
  /** The generation of the last attempt that may have been stored. */
  #inDoubt: number | undefined;
  /** The last revision that an attempt was to replace; below all when none was made. */
  #replaced = -1;

  constructor(
    space: Space,
    key: string,
    { parties, member }: { readonly parties: number; readonly member: string },
  ) {
    this.#space = space;
    this.#key = key;
    this.#parties = parties;
    this.#member = member;
    this.#call = space.newId();
  }

  async run(signal: AbortSignal): Promise<number> {
    let isOver = false;
    try {
      const { generation, revision } = await this.#arrive(signal);
      const isOpen = (seen: Seen) => {
        // What is older than the arrival itself says nothing.
        isOver = seen.revision >= revision && this.#present(seen).generation > generation;
        return isOver;
      };
      await this.#space.waitUntilState(this.#key, isOpen, { signal, what: "pass a barrier" });
      return generation;
    } finally {
      if (!isOver) this.#space.inBackground(this.#withdraw());
    }
  }

  /** Returns the generation that it is part of, which may have opened with it. */
  async #arrive(
    signal: AbortSignal,
  ): Promise<{ readonly generation: number; readonly revision: number }> {
    let generation = 0;
    const { revision } = await changeState(this.#space, {
      key: this.#key,
      fn: (value, { keep, revision }) => {
        const state = readBarrier(this.#key, { value, revision }) ?? this.#fresh(revision);
        const joined = this.#joined(state);
        generation = joined ?? state.generation;
        if (joined !== undefined) return keep;
        this.#tried = generation;
        this.#replaced = Math.max(this.#replaced, revision);
        return arriveAt(this.#agreed(state), { member: this.#member, call: this.#call });
      },
      onDoubt: () => {
        this.#inDoubt = this.#tried;
      },
    }, { signal, timeoutMs: MAX_TIMER_MS });
    return { generation, revision };
  }

  /** The generation of which this call is part already. */
  #joined(state: BarrierState): number | undefined {
    const joined = generationOf(state, this.#call);
    if (joined !== undefined || this.#inDoubt === undefined) return joined;
    if (state.generation <= this.#inDoubt + 1) return undefined;
    throw new JsflowError(
      "outcome_unknown",
      `cannot tell whether ${JSON.stringify(this.#member)} passed ${this.#key}: the answer was ` +
        "lost, and others have passed since",
    );
  }

  /** Generations never exceed revisions, so beginning again behind a removal keeps them rising. */
  #fresh(revision: number): BarrierState {
    return { parties: this.#parties, generation: revision, arrived: [], passed: [] };
  }

  #agreed(state: BarrierState): BarrierState {
    const parties = this.#parties;
    if (state.parties === parties) return state;
    if (state.arrived.length === 0) return { ...state, parties };
    throw new JsflowError(
      "config_drift",
      `cannot pass ${this.#key}: those who wait there say ${state.parties} parties, expected ` +
        `${parties}; give all who use it the same number`,
    );
  }

  #present(seen: Seen): BarrierState {
    const state = readBarrier(this.#key, seen);
    if (state !== undefined) return state;
    throw new JsflowError(
      "key_not_found",
      `cannot pass ${this.#key}: its key was removed while somebody waited; arrive again`,
    );
  }

  /** Nobody who is gone is to be waited for. */
  async #withdraw(): Promise<void> {
    const fn: Updater<unknown> = (value, { keep, revision }) => {
      const state = readBarrier(this.#key, { value, revision });
      const withdrawn = state && withdraw(state, this.#call);
      if (withdrawn !== undefined) return withdrawn;
      // The arrival may be on its way still: it fails once the revision that it expects is replaced.
      return revision > this.#replaced ? keep : state ?? this.#fresh(revision);
    };
    const bounds = { signal: undefined, timeoutMs: this.#space.timeoutMs };
    await changeState(this.#space, { key: this.#key, fn }, bounds);
  }
}
