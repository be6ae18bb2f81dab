import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkLinearizability } from "./check_linearizability.ts";
import type { RecordedOperation } from "./recorded_operation.ts";
import {
  type RegisterExpectation,
  type RegisterInput,
  registerModel,
  type RegisterOutput,
  type RegisterState,
  type RegisterValue,
} from "./register_model.ts";

type Step = readonly [RegisterInput, RegisterOutput | undefined];

const write = (value: string): RegisterInput => ({ op: "write", value });
const cas = (expected: RegisterExpectation, value = "z"): RegisterInput => ({
  op: "cas",
  expected,
  value,
});
const read: RegisterInput = { op: "read" };
const no: RegisterOutput = { done: false };

/** One after the other; what has no output may come later, or never. */
function history(steps: readonly Step[]): RecordedOperation<RegisterInput, RegisterOutput>[] {
  return steps.map(([input, output], index) => ({
    process: `p${index}`,
    key: "k",
    input,
    result: output && { output },
    called: 2 * index,
    returned: output ? 2 * index + 1 : Infinity,
  }));
}

function verdictOf(steps: readonly Step[]): string {
  return checkLinearizability(registerModel, history(steps)).verdict;
}

/** The state after steps that the model allows. */
function stateAfter(...steps: Step[]): RegisterState {
  return steps.reduce((state, [input, output]) => {
    const next = registerModel.apply(state, input, output && { output });
    assert.ok(next, JSON.stringify({ state, input, output }));
    return next;
  }, registerModel.initial);
}

test("a refusal tells what a revision is not", () => {
  const before: Step[] = [[write("a"), { revision: 3 }], [write("b"), {}]];
  const refused: Step = [cas({ value: "b", revision: 5 }), no];
  assert.equal(
    verdictOf([...before, refused, [read, { value: "b", revision: 6 }]]),
    "linearizable",
  );
  assert.equal(verdictOf([...before, refused, [read, { value: "b", revision: 5 }]]), "violation");
  assert.equal(verdictOf([...before, refused, [cas({ revision: 5 }), {}]]), "violation");
  assert.equal(verdictOf([...before, refused, refused]), "linearizable");
  const { floor, excluded } = stateAfter(...before, [cas({ revision: 6 }), no], refused);
  assert.deepEqual([floor, excluded], [3, [5, 6]]);
  const last: Step = [cas({ revision: 4 }), no];
  assert.equal(stateAfter(...before, [cas({ revision: 6 }), no], refused, last).floor, 6);
});

test("a refusal over another value, or a revision that is past, tells nothing", () => {
  const before: Step[] = [[write("a"), { revision: 3 }], [write("b"), {}]];
  const state = stateAfter(...before);
  for (const expected of [{ value: "a", revision: 5 }, { revision: 3 }, { value: "a" }]) {
    assert.deepEqual(stateAfter(...before, [cas(expected), no]), state);
  }
});

test("after a write it tells nothing any more", () => {
  const before: Step[] = [[write("a"), { revision: 3 }], [write("b"), {}]];
  const refused: Step = [cas({ revision: 5 }), no];
  assert.deepEqual(stateAfter(...before, refused, [write("c"), {}]).excluded, []);
  assert.equal(verdictOf([...before, refused, [write("c"), { revision: 5 }]]), "linearizable");
  const lost: Step = [write("c"), undefined];
  const later: Step[] = [refused, lost, [read, { revision: 5 }]];
  assert.equal(verdictOf([...before, ...later]), "linearizable");
});

test("what a refusal has read is checked", () => {
  const before: Step[] = [[write("a"), { revision: 3 }], [write("b"), {}]];
  assert.equal(
    verdictOf([...before, [cas({ revision: 3 }), { ...no, value: "b" }]]),
    "linearizable",
  );
  assert.equal(verdictOf([...before, [cas({ revision: 3 }), { ...no, value: "a" }]]), "violation");
  assert.equal(verdictOf([...before, [cas({ revision: 9 }), { ...no, revision: 9 }]]), "violation");
});

test("each write has taken a revision, also when nobody was told which", () => {
  const writes: Step[] = [[write("a"), {}], [write("b"), {}], [write("c"), {}]];
  assert.equal(verdictOf([...writes, [read, { revision: 3 }]]), "linearizable");
  assert.equal(verdictOf([...writes, [read, { revision: 2 }]]), "violation");
  assert.equal(verdictOf([...writes, [write("d"), { revision: 3 }]]), "violation");
  const lost: Step = [write("l"), undefined];
  assert.equal(verdictOf([...writes, lost, [read, { value: "c", revision: 3 }]]), "linearizable");
  assert.equal(stateAfter(...writes, lost).floor, 2, "it may have had no effect");
});

const value = fc.constantFrom<RegisterValue>("a", "b", null);
const known = fc.boolean();

/** What a client does, whether it has effect when its answer is lost, and what it tells. */
const action = fc.record({
  op: fc.constantFrom("read" as const, "write" as const, "update" as const, "cas" as const),
  value,
  expected: fc.record({
    value: fc.option(value, { nil: undefined }),
    behind: fc.option(fc.integer({ min: -2, max: 2 }), { nil: undefined }),
  }),
  step: fc.integer({ min: 1, max: 3 }),
  lost: fc.constantFrom(undefined, undefined, undefined, true, false),
  tells: fc.record({ value: known, revision: known, replaced: known }),
});

type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

/** Does what the actions say with a register of its own, and tells no more than they allow. */
function honest(actions: readonly Action[]): Step[] {
  let [held, revision]: [RegisterValue, number] = [null, 0];
  return actions.map(({ op, value, expected, step, lost, tells }): Step => {
    const [before, replaced] = [held, revision];
    const at = expected.behind === undefined ? undefined : Math.max(0, revision - expected.behind);
    const isMet = (expected.value === undefined || expected.value === held) &&
      (at === undefined || at === revision);
    const done = op !== "read" && lost !== false && (op !== "cas" || isMet);
    if (done) [held, revision] = [value, revision + step];
    const input: RegisterInput = op === "read"
      ? { op }
      : op === "cas"
      ? { op, value, expected: { value: expected.value, revision: at } }
      : { op, value };
    if (lost !== undefined) return [input, undefined];
    return [input, {
      value: op !== "write" && tells.value ? before : undefined,
      revision: tells.revision ? revision : undefined,
      replaced: op === "update" && tells.replaced ? replaced : undefined,
      done: op === "cas" ? done : undefined,
    }];
  });
}

test("whatever an honest register tells, and leaves out, is accepted", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
      assert.equal(verdictOf(honest(actions)), "linearizable");
    }),
    { numRuns: 2_000 },
  );
});
