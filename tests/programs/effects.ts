import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** One call of a step's function, as the world outside saw it. */
export interface Effect {
  readonly step: number;
  readonly key: string;
  readonly pid: number;
}

/** Adds a line to the file that stands for the world outside. */
export function addEffect(file: string, effect: Effect): void {
  appendFileSync(file, `${JSON.stringify(effect)}\n`);
}

/** All effects so far. */
export function readEffects(file: string): Effect[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
}
