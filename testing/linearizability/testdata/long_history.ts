import type { RecordedOperation } from "../recorded_operation.ts";
import type { RegisterInput, RegisterOutput } from "../register_model.ts";

type Operation = RecordedOperation<RegisterInput, RegisterOutput>;

/** What {@link longHistory} makes. */
export interface LongHistoryOptions {
  readonly operations: number;
  readonly processes: number;
  /** One of so many operations loses its result. */
  readonly losesOneOf: number;
  readonly seed: number;
}

/** Operations of several processes on one real register, the same ones for the same seed. */
export function longHistory(options: LongHistoryOptions): Operation[] {
  const random = newRandom(options.seed);
  const register = newRegister();
  const underWay: (Operation & { output?: RegisterOutput })[] = [];
  const history: Operation[] = [];
  for (let place = 0; history.length < options.operations; place++) {
    const process = random(options.processes);
    const current = underWay[process];
    if (current === undefined) {
      const input = newInput(random, `v${place}`, register.revision());
      underWay[process] = {
        process: `p${process}`,
        key: "k",
        input,
        result: undefined,
        called: place,
        returned: Infinity,
      };
    } else if (current.output === undefined) {
      if (random(2 * options.losesOneOf) === 0) history.push(...end(underWay, process));
      else current.output = register.run(current.input);
    } else if (random(2 * options.losesOneOf) === 0) history.push(...end(underWay, process));
    else {
      const result = { output: current.output };
      history.push(...end(underWay, process).map((it) => ({ ...it, result, returned: place })));
    }
  }
  return history;
}

function end(
  underWay: (Operation & { output?: RegisterOutput })[],
  process: number,
): Operation[] {
  const { output: _, ...operation } = underWay[process]!;
  delete underWay[process];
  return [operation];
}

function newInput(random: (below: number) => number, value: string, last: number): RegisterInput {
  const kind = random(5);
  if (kind === 0) return { op: "write", value };
  if (kind === 1) return { op: "update", value };
  if (kind === 2) return { op: "cas", expected: { revision: last - random(2) }, value };
  if (kind === 3) return { op: "cas", expected: { value: null }, value };
  return random(3) === 0 ? { op: "write", value: null } : { op: "read" };
}

function newRegister() {
  let [value, revision]: [string | null, number] = [null, 0];
  const write = (next: unknown) => {
    value = next as string | null;
    return ++revision;
  };
  const run = (input: RegisterInput): RegisterOutput => {
    if (input.op === "read") return { value };
    if (input.op === "write") return { revision: write(input.value) };
    const found = { value, replaced: revision };
    if (input.op === "update") return { ...found, revision: write(input.value) };
    const fits = "value" in input.expected
      ? input.expected.value === value
      : input.expected.revision === revision;
    return fits ? { done: true, revision: write(input.value) } : { done: false };
  };
  return { run, revision: () => revision };
}

/** Integers below a bound, by a linear congruential generator. */
function newRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
