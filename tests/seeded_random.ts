import process from "node:process";

/** Random numbers that a failed run can repeat. */
export interface SeededRandom {
  /** Printed by the tests; `JSFLOW_SEED` sets it. */
  readonly seed: number;
  /** From 0 to 1, 1 excluded. */
  next(): number;
}

/** Random numbers from `JSFLOW_SEED`, or from a seed made up for this run, which is printed. */
export function seededRandom(test: string): SeededRandom {
  const seed = Number(process.env["JSFLOW_SEED"]) || Math.floor(Math.random() * 2 ** 32);
  console.log(`${test}: JSFLOW_SEED=${seed}`);
  let state = seed >>> 0;
  // mulberry32
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { seed, next };
}
