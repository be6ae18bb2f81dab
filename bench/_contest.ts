import process from "node:process";
import { median, range } from "./_statistics.ts";

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const SCALE = Number(process.env.BENCH_SCALE ?? 1);

/** Does a number of operations, and resolves when the server has answered all of them. */
export type Run = (count: number) => Promise<void>;

/** Several ways to do the same; the first is what the others are measured against. */
export interface Contest {
  readonly what: string;
  /** Operations in each round. */
  readonly count: number;
  readonly runs: Readonly<Record<string, Run>>;
}

/** Runs the ways of a contest in turn, round after round, and prints rates and ratios. */
export async function contest({ what, count, runs }: Contest): Promise<void> {
  const scaled = Math.max(1, Math.round(count * SCALE));
  const names = Object.keys(runs);
  const rates = new Map<string, number[]>(names.map((name) => [name, []]));
  for (const run of Object.values(runs)) await run(Math.ceil(scaled / 10)); // warm-up
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) rates.get(name)!.push(await perSecond(runs[name]!, scaled));
  }
  console.log(`${what}: median of ${ROUNDS} rounds of ${scaled}`);
  const base = median(rates.get(names[0]!)!);
  for (const name of names) console.log(line(name, rates.get(name)!, base));
}

/** Does something again and again, so many at a time. */
export async function atATime(
  concurrent: number,
  count: number,
  once: () => Promise<void>,
): Promise<void> {
  let left = count;
  await Promise.all(Array.from({ length: concurrent }, async () => {
    while (left-- > 0) await once();
  }));
}

async function perSecond(run: Run, count: number): Promise<number> {
  const begin = performance.now();
  await run(count);
  return count / ((performance.now() - begin) / 1000);
}

function line(name: string, rates: readonly number[], base: number): string {
  const ratio = Math.floor(median(rates) / base * 1000) / 1000;
  const { least, most } = range(rates);
  const spread = `${whole(least)}-${whole(most)}`;
  const rate = `${whole(median(rates))}/s`.padStart(12);
  return `  ${name.padEnd(8)} ${rate} (${spread})  ${ratio.toFixed(3)}`;
}

function whole(rate: number): string {
  return Math.round(rate).toLocaleString("en");
}
