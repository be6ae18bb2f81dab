import assert from "node:assert/strict";
import { test } from "node:test";
import { assertLinearizable } from "./assert_linearizable.ts";
import { checkLinearizability } from "./check_linearizability.ts";
import { counterModel } from "./counter_model.ts";
import { lockModel } from "./lock_model.ts";
import type { Model } from "./model.ts";
import type { RecordedOperation } from "./recorded_operation.ts";
import { registerModel } from "./register_model.ts";
import { semaphoreModel } from "./semaphore_model.ts";
import { setModel } from "./set_model.ts";
import { longHistory } from "./testdata/long_history.ts";

/** An operation from one place to another; without an output nobody knows what came of it. */
function op<I, O>(
  [called, returned]: readonly [number, number?],
  input: I,
  output?: O,
): RecordedOperation<I, O> {
  const known = returned !== undefined && output !== undefined;
  return {
    process: `p${called}`,
    key: "k",
    input,
    result: known ? { output } : undefined,
    called,
    returned: known ? returned : Infinity,
  };
}

const write = (value: string) => ({ op: "write" as const, value });
const update = (value: string) => ({ op: "update" as const, value });
const over = (revision: number, value: string) => ({
  op: "cas" as const,
  expected: { revision },
  value,
});
const read = { op: "read" as const };

function accepts<S, I, O>(
  model: Model<S, I, O>,
  operations: readonly RecordedOperation<I, O>[],
): void {
  assertLinearizable(model, operations);
}

function refuses<S, I, O>(
  model: Model<S, I, O>,
  operations: readonly RecordedOperation<I, O>[],
  report: RegExp,
): void {
  const found = checkLinearizability(model, operations);
  assert.equal(found.verdict, "violation");
  if (found.verdict === "violation") assert.match(found.report, report);
}

test("a stale read", () => {
  const before = [op([0, 1], write("a"), { revision: 1 }), op([2, 3], write("b"), { revision: 2 })];
  refuses(registerModel, [...before, op([4, 5], read, { value: "a" })], /p4: read: found "a"/);
  refuses(registerModel, [...before, op([4, 5], read, { value: null })], /found nothing/);
  refuses(registerModel, [...before, op([4, 5], read, { value: "b", revision: 1 })], /revision 1/);
  accepts(registerModel, [...before, op([4, 5], read, { value: "b", revision: 2 })]);
  accepts(registerModel, [...before, op([1, 5], read, { value: "a" })]);
});

test("a read that goes back", () => {
  const writes = [op([0, 1], write("a"), {}), op([2, 9], write("b"), {})];
  const [first, second] = [op([3, 4], read, { value: "b" }), op([5, 6], read, { value: "a" })];
  refuses(registerModel, [...writes, first, second], /read: found "a"/);
  accepts(registerModel, [...writes, { ...first, returned: 5.5 }, second]);
});

test("a lost update", () => {
  refuses(registerModel, [
    op([0, 1], write("a"), { revision: 1 }),
    op([2, 5], update("b"), { value: "a", replaced: 1, revision: 2 }),
    op([3, 6], update("c"), { value: "a", replaced: 1, revision: 3 }),
  ], /update to "c": found "a", replaced revision 1/);
  refuses(counterModel, [
    op([0, 2], { op: "add", amount: 1 }, {}),
    op([1, 3], { op: "add", amount: 1 }, {}),
    op([4, 5], { op: "read" }, { value: 1 }),
  ], /read: 1/);
});

test("two winners of one compare-and-set", () => {
  const [first, second] = [op([2, 5], over(1, "b"), { done: true }), op([3, 6], over(1, "c"))];
  const before = op([0, 1], write("a"), { revision: 1 });
  refuses(
    registerModel,
    [before, first, { ...second, result: { output: { done: true } }, returned: 6 }],
    /set "c" over revision 1: done/,
  );
  accepts(registerModel, [before, first, second]);
});

test("a compare-and-set that is refused without a reason", () => {
  const before = op([0, 1], write("a"), { revision: 1 });
  const refused = op([4, 5], over(1, "b"), { done: false });
  refuses(registerModel, [before, refused], /over revision 1: refused/);
  accepts(registerModel, [before, op([2], write("c")), refused]);
  const created = op([4, 5], { op: "cas" as const, expected: { value: null }, value: "b" }, {
    done: false,
  });
  accepts(registerModel, [before, created]);
  refuses(registerModel, [{ ...before, called: 6, returned: 7 }, created], /over nothing: refused/);
});

test("a write without an answer that is applied twice", () => {
  const lost = op([0], write("a"));
  const reads = [op([1, 2], read, { value: "a" }), op([5, 6], read, { value: "a" })];
  const between = op([3, 4], write("b"), {});
  refuses(registerModel, [lost, between, ...reads], /read: found "a"/);
  accepts(registerModel, [lost, { ...between, called: 0.5, returned: 0.75 }, ...reads]);
  refuses(counterModel, [
    op([0], { op: "add", amount: 2 }),
    op([1, 2], { op: "read" }, { value: 4 }),
  ], /read: 4/);
});

test("a write that was answered and is gone", () => {
  refuses(registerModel, [
    op([0, 1], over(0, "a"), { done: true, revision: 1 }),
    op([2, 3], over(0, "b"), { done: true, revision: 2 }),
  ], /set "b" over revision 0/);
});

test("revisions that do not rise", () => {
  refuses(registerModel, [
    op([0, 1], write("a"), { revision: 7 }),
    op([2, 3], write("b"), { revision: 7 }),
  ], /write "b": revision 7/);
});

test("an operation without a result takes effect late, or never, but not before its call", () => {
  const lost = op([2], write("a"));
  accepts(registerModel, [lost, op([100, 101], read, { value: "a" })]);
  accepts(registerModel, [lost, op([100, 101], read, { value: null })]);
  refuses(registerModel, [lost, op([0, 1], read, { value: "a" })], /found "a"/);
});

test("a token that is not raised", () => {
  const acquire = { op: "acquire" as const };
  const first = op([0, 1], acquire, { token: 1 });
  refuses(lockModel(), [first, op([2, 3], acquire, { token: 1 })], /acquire: token 1/);
  refuses(lockModel(), [
    op([0, 1], acquire, { token: 2 }),
    op([2, 3], acquire, { token: 1 }),
  ], /acquire: token 1/);
  accepts(lockModel(), [first, op([2, 3], acquire, { token: 5 })]);
});

test("a holder who was replaced and is let in", () => {
  const acquire = { op: "acquire" as const };
  const use = (token: number) => ({ op: "use" as const, token });
  const before = [
    op([0, 1], acquire, { token: 1 }),
    op([2, 3], acquire, { token: 2 }),
    op([4, 5], use(2), { done: true }),
  ];
  refuses(lockModel(), [...before, op([6, 7], use(1), { done: true })], /use with token 1: done/);
  accepts(lockModel(), [...before, op([6, 7], use(1), { done: false })]);
  refuses(
    lockModel(),
    [...before, op([6, 7], { op: "release", token: 1 }, { done: true })],
    /release with token 1: done/,
  );
  refuses(lockModel({ exclusive: true }), before, /acquire: token 2/);
});

test("a token that nobody was given, and is let in", () => {
  const acquire = { op: "acquire" as const };
  const use = (token: number) => ({ op: "use" as const, token });
  const first = op([0, 1], acquire, { token: 2 });
  refuses(lockModel(), [first, op([2, 3], use(3), { done: true })], /use with token 3: done/);
  refuses(lockModel(), [first, op([2, 3], use(1), { done: true })], /use with token 1: done/);
  accepts(lockModel(), [first, op([2, 3], use(3), { done: false })]);
  refuses(lockModel(), [first, op([2, 3], use(2), { done: false })], /use with token 2: refused/);
  const unknown = op([0], acquire);
  accepts(lockModel(), [unknown, op([2, 3], use(3), { done: true })]);
  accepts(lockModel(), [
    unknown,
    op([2, 3], acquire, { token: 2 }),
    op([4, 5], use(1), { done: true }),
    op([6, 7], use(2), { done: true }),
  ]);
});

test("a permit too many", () => {
  const acquire = (holder: string, at: number, done: boolean) =>
    op([at, at + 1], { op: "acquire" as const, holder }, { done });
  const both = [acquire("a", 0, true), acquire("b", 2, true)];
  refuses(semaphoreModel(2), [...both, acquire("c", 4, true)], /acquire for c: done/);
  accepts(semaphoreModel(2), [...both, acquire("c", 4, false)]);
  const expired = op([1], { op: "release" as const, holder: "a" });
  accepts(semaphoreModel(2), [...both, expired, acquire("c", 4, true)]);
});

test("a member that was added and is not there", () => {
  refuses(setModel, [
    op([0, 1], { op: "add", member: "a" }, {}),
    op([2, 3], { op: "contains", member: "a" }, { present: false }),
  ], /contains "a": it was not there/);
});

test("keys are objects of their own, and the one in violation is named", () => {
  const a = op([0, 1], write("a"), {});
  const b = { ...op([2, 3], read, { value: null }), key: "other" };
  accepts(registerModel, [a, b]);
  refuses(registerModel, [a, b, { ...a, called: 4, result: { output: { revision: -1 } } }], /"k"/);
});

test("the report shows the shortest beginning that fails and what is involved", () => {
  const history = longHistory({ operations: 300, processes: 3, losesOneOf: 50, seed: 3 });
  const reads = history.filter(({ input, result }) => input.op === "read" && result);
  const stale = reads[20]!;
  const tampered = history.map((operation) =>
    operation === stale ? { ...stale, result: { output: { value: "never written" } } } : operation
  );
  const found = checkLinearizability(registerModel, tampered);
  assert.ok(found.verdict === "violation");
  assert.equal(found.key, "k");
  assert.match(found.report, /^not linearizable: key "k" as a register, .*\n {2}p\d: read: found/);
  assert.match(found.report, /Without this result, all of them can be explained\./);
  assert.match(found.report, /the register could be\n {2}.* at (a )?revision/);
  assert.match(found.report, /One order that leads there ends with:\n {2}p/);
  assert.ok(found.report.split("\n").length < 50, found.report);
  assert.equal(Math.max(...found.operations.map(({ called }) => called)) < stale.returned, true);
});

test("ten thousand operations on one key are accepted", () => {
  const operations = longHistory({ operations: 10_000, processes: 8, losesOneOf: 200, seed: 1 });
  const startMs = performance.now();
  const steps = assertLinearizable(registerModel, operations, { maxSteps: 20_000 });
  console.log(`accepted after ${steps} steps, ${Math.round(performance.now() - startMs)} ms`);
});

test("a stale read at the end of ten thousand operations is found", () => {
  const operations = longHistory({ operations: 10_000, processes: 8, losesOneOf: 2_000, seed: 1 });
  const last = operations.findLast(({ input, result }) => input.op === "read" && result)!;
  const first = operations.find(({ input }) => input.op === "write" && input.value !== null)!;
  assert.ok(first.input.op === "write");
  const output = { value: first.input.value };
  const tampered = operations.map((it) => it === last ? { ...it, result: { output } } : it);
  const startMs = performance.now();
  const found = checkLinearizability(registerModel, tampered, { maxSteps: 200_000 });
  console.log(`found after ${found.steps} steps, ${Math.round(performance.now() - startMs)} ms`);
  assert.ok(found.verdict === "violation");
  assert.ok(found.report.includes(`${last.process}: read: found "${output.value}"`), found.report);
});

test("a search that takes too long says so", () => {
  const adds = Array.from(
    { length: 30 },
    (_, i) => op([i], { op: "add" as const, amount: 2 ** i }),
  );
  const impossible = op([100, 101], { op: "read" as const }, { value: 2 ** 40 });
  const bySteps = checkLinearizability(counterModel, [...adds, impossible], { maxSteps: 1_000 });
  assert.deepEqual(bySteps, { verdict: "unknown", keys: ["k"], steps: 1_000 });
  const byTime = checkLinearizability(counterModel, [...adds, impossible], { timeoutMs: 1 });
  assert.equal(byTime.verdict, "unknown");
  assert.throws(
    () => assertLinearizable(counterModel, [...adds, impossible], { maxSteps: 10 }),
    /cannot tell whether "k" are linearizable: 10 steps were not enough/,
  );
  // A violation elsewhere is one all the same.
  const stale = { ...op([0, 1], { op: "read" as const }, { value: 1 }), key: "other" };
  const found = checkLinearizability(counterModel, [...adds, impossible, stale], {
    maxSteps: 1_000,
  });
  assert.ok(found.verdict === "violation" && found.key === "other");
});

test("equal operations without a result are not told apart", () => {
  const adds = Array.from({ length: 200 }, (_, i) => op([i], { op: "add" as const, amount: 1 }));
  const impossible = op([300, 301], { op: "read" as const }, { value: 201 });
  refuses(counterModel, [...adds, impossible], /read: 201/);
});

test("another way to a state that was tried in vain may leave what is needed", () => {
  const adds = [1, 2, 3].map((amount) => op([amount], { op: "add" as const, amount }));
  const reads = [3, 4].map((value) => op([10 * value, 10 * value + 1], read, { value }));
  accepts(counterModel, [...adds, ...reads]);
  refuses(counterModel, [...adds, ...reads, op([50, 51], read, { value: 7 })], /read: 7/);
});

test("bounds that make no sense are refused", () => {
  for (const options of [{ maxSteps: 0 }, { maxSteps: NaN }, { timeoutMs: -1 }, { steps: 1 }]) {
    assert.throws(() => checkLinearizability(counterModel, [], options), /TypeError|RangeError/);
  }
  assert.deepEqual(checkLinearizability(counterModel, []), { verdict: "linearizable", steps: 0 });
});
