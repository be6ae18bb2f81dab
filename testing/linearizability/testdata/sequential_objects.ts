import fc from "fast-check";
import { counterModel } from "../counter_model.ts";
import { lockModel } from "../lock_model.ts";
import type { Model } from "../model.ts";
import { type RegisterInput, registerModel, type RegisterOutput } from "../register_model.ts";
import { semaphoreModel } from "../semaphore_model.ts";
import { setModel } from "../set_model.ts";

/** An object whose operations come one after the other, written without its model. */
export interface SequentialObject {
  /** Does one operation and returns its output. */
  run(input: never): unknown;
}

/** A model, an object that it must accept, and what can be done with it. */
export interface TestObject {
  readonly name: string;
  readonly model: Model<unknown, unknown, unknown>;
  readonly create: () => SequentialObject;
  readonly inputs: fc.Arbitrary<unknown>;
  readonly outputs: fc.Arbitrary<unknown>;
}

const value = fc.constantFrom("a", "b", null);
const revision = fc.integer({ min: 0, max: 4 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

function createRegister(): SequentialObject {
  let held: { value: unknown; revision: number } = { value: null, revision: 0 };
  const write = (value: unknown) => {
    held = { value, revision: held.revision + 1 };
    return held.revision;
  };
  const run = (input: RegisterInput): RegisterOutput => {
    const { value, revision } = held as { value: string | null; revision: number };
    if (input.op === "read") return { value, revision };
    if (input.op === "write") return { revision: write(input.value) };
    if (input.op === "update") return { value, replaced: revision, revision: write(input.value) };
    const fits = "value" in input.expected
      ? input.expected.value === value
      : input.expected.revision === revision;
    return fits ? { done: true, revision: write(input.value) } : { done: false };
  };
  return { run };
}

function createCounter(): SequentialObject {
  let total = 0;
  return {
    run: (input: { op: string; amount: number }) => {
      if (input.op === "add") total += input.amount;
      return { value: total };
    },
  };
}

function createSet(): SequentialObject {
  const members = new Set<string>();
  return {
    run: ({ op, member }: { op: string; member: string }) => {
      const present = members.has(member);
      if (op === "add") members.add(member);
      if (op === "remove") members.delete(member);
      return { present };
    },
  };
}

function createSemaphore(): SequentialObject {
  const holders = new Set<string>();
  return {
    run: ({ op, holder }: { op: string; holder: string }) => {
      if (op === "release") return { done: holders.delete(holder) };
      const done = holders.size < 2 && !holders.has(holder);
      if (done) holders.add(holder);
      return { done };
    },
  };
}

function createLock(): SequentialObject {
  let [issued, held, used] = [0, 0, 0];
  return {
    run: ({ op, token = 0 }: { op: string; token?: number }) => {
      if (op === "acquire") {
        if (held !== 0) return { token: null };
        held = ++issued;
        return { token: issued };
      }
      if (op === "release") {
        const done = held === token && held !== 0;
        if (done) held = 0;
        return { done };
      }
      const done = token >= used && token <= issued;
      if (done) used = token;
      return { done };
    },
  };
}

const cas = fc.record({
  op: fc.constant("cas"),
  expected: fc.oneof(fc.record({ value }), fc.record({ revision })),
  value,
});
const token = fc.integer({ min: 1, max: 3 });
const lockInputs = fc.oneof(
  fc.constant({ op: "acquire" }),
  fc.record({ op: fc.constantFrom("release", "use"), token }),
);
const lockOutputs = fc.oneof(
  fc.record({ token: fc.option(token) }),
  fc.record({ done: fc.boolean() }),
);

/** One for each model. */
export const testObjects: readonly TestObject[] = [
  object("register", registerModel, createRegister, {
    inputs: fc.oneof(
      fc.constant({ op: "read" }),
      fc.record({ op: fc.constantFrom("write", "update"), value }),
      cas,
    ),
    outputs: fc.record({
      value: maybe(value),
      revision: maybe(revision),
      replaced: maybe(revision),
      done: maybe(fc.boolean()),
    }),
  }),
  object("counter", counterModel, createCounter, {
    inputs: fc.oneof(
      fc.constant({ op: "read" }),
      fc.record({ op: fc.constant("add"), amount: fc.integer({ min: -1, max: 2 }) }),
    ),
    outputs: fc.record({ value: maybe(fc.integer({ min: -1, max: 4 })) }),
  }),
  object("set", setModel, createSet, {
    inputs: fc.record({
      op: fc.constantFrom("add", "remove", "contains"),
      member: fc.constantFrom("a", "b"),
    }),
    outputs: fc.record({ present: maybe(fc.boolean()) }),
  }),
  object("semaphore", semaphoreModel(2), createSemaphore, {
    inputs: fc.record({
      op: fc.constantFrom("acquire", "release"),
      holder: fc.constantFrom("a", "b", "c"),
    }),
    outputs: fc.record({ done: fc.boolean() }),
  }),
  object("lock", lockModel(), createLock, { inputs: lockInputs, outputs: lockOutputs }),
  object("exclusive lock", lockModel({ exclusive: true }), createLock, {
    inputs: lockInputs,
    outputs: lockOutputs,
  }),
];

function object<S, I, O>(
  name: string,
  model: Model<S, I, O>,
  create: () => SequentialObject,
  { inputs, outputs }: Pick<TestObject, "inputs" | "outputs">,
): TestObject {
  return { name, model: model as Model<unknown, unknown, unknown>, create, inputs, outputs };
}
