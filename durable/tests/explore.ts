import type { ModelState, ProtocolModel } from "./protocol_model.ts";

/** What an exploration found. */
export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** What is wrong, and how it comes about; undefined when nothing is. */
  readonly finding: { readonly what: string; readonly trace: readonly string[] } | undefined;
}

/**
 * Visits every state that can be reached, breadth first, so that a trace is as short as can be.
 *
 * After that it looks for states from which nothing leads to rest unless something goes wrong
 * again: an invocation that is stuck for good.
 */
export function explore(model: ProtocolModel, maxStates: number): Exploration {
  const numbers = new Map<string, number>();
  const queue: (ModelState | undefined)[] = [];
  const origins: { readonly from: number; readonly label: string }[] = [];
  const rests: number[] = [];
  const backward: number[][] = [];
  let transitions = 0;

  const visit = (state: ModelState, from: number, label: string): number => {
    const key = model.keyOf(state);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const number = numbers.size;
    numbers.set(key, number);
    queue.push(state);
    origins.push({ from, label });
    backward.push([]);
    return number;
  };
  const report = (what: string, at: number): Exploration => {
    const finding = { what, trace: traceTo(at, origins) };
    return { states: numbers.size, transitions, finding };
  };

  visit(model.initial, -1, "");
  for (let at = 0; at < queue.length; at++) {
    const state = queue[at] as ModelState;
    queue[at] = undefined;
    const wrong = model.violation(state);
    if (wrong) return report(wrong, at);
    if (model.isRest(state)) rests.push(at);
    for (const { label, next, fault } of model.moves(state)) {
      transitions++;
      const number = visit(next, at, label);
      if (!fault) backward[number]?.push(at);
    }
    if (numbers.size > maxStates) {
      throw new Error(`more than ${maxStates} states: lower the bounds`);
    }
  }
  const stuck = findStuck(rests, backward);
  if (stuck !== undefined) return report("nothing leads to an end any more", stuck);
  return { states: numbers.size, transitions, finding: undefined };
}

/** The first state from which no way without a new fault leads to rest. */
function findStuck(rests: readonly number[], backward: readonly number[][]): number | undefined {
  const live = new Uint8Array(backward.length);
  const open = [...rests];
  for (const number of open) live[number] = 1;
  for (let number = open.pop(); number !== undefined; number = open.pop()) {
    for (const before of backward[number] ?? []) {
      if (live[before]) continue;
      live[before] = 1;
      open.push(before);
    }
  }
  const stuck = live.indexOf(0);
  return stuck < 0 ? undefined : stuck;
}

function traceTo(
  at: number,
  origins: readonly { readonly from: number; readonly label: string }[],
): string[] {
  const trace: string[] = [];
  for (let number = at; number > 0;) {
    const origin = origins[number];
    if (!origin) break;
    trace.unshift(origin.label);
    number = origin.from;
  }
  return trace;
}
