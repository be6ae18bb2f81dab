import fc from "fast-check";
import type { RecordedOperation } from "../recorded_operation.ts";
import type { TestObject } from "./sequential_objects.ts";

type Operation = RecordedOperation<unknown, unknown>;

/** One step of a simulation: what one process does next. */
interface Action {
  readonly process: number;
  readonly input: unknown;
  /** Whether it loses sight of the operation that is under way, instead of going on with it. */
  readonly loses: boolean;
}

interface UnderWay {
  operation: Operation;
  /** Set once it has taken effect. */
  output?: { readonly output: unknown };
}

/** Histories of a real object, used by three processes at once. */
export function simulatedHistories(
  object: TestObject,
  maxActions: number,
): fc.Arbitrary<Operation[]> {
  const action = fc.record({
    process: fc.integer({ min: 0, max: 2 }),
    input: object.inputs,
    loses: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  });
  return fc.array(action, { maxLength: maxActions }).map((actions) => simulate(object, actions));
}

function simulate(object: TestObject, actions: readonly Action[]): Operation[] {
  const real = object.create();
  const underWay = new Map<number, UnderWay>();
  const history: Operation[] = [];
  for (const [place, { process, input, loses }] of actions.entries()) {
    const current = underWay.get(process);
    if (current === undefined) {
      const operation = newOperation(`p${process}`, input, place);
      underWay.set(process, { operation });
    } else if (loses) {
      history.push(current.operation);
      underWay.delete(process);
    } else if (current.output === undefined) {
      current.output = { output: real.run(current.operation.input as never) };
    } else {
      history.push({ ...current.operation, result: current.output, returned: place });
      underWay.delete(process);
    }
  }
  return [...history, ...[...underWay.values()].map(({ operation }) => operation)];
}

function newOperation(process: string, input: unknown, called: number): Operation {
  return { process, key: "k", input, result: undefined, called, returned: Infinity };
}

/** Histories whose outputs are made up. No two operations return at the same place. */
export function madeUpHistories(object: TestObject, maxLength: number): fc.Arbitrary<Operation[]> {
  const operation = fc.record({
    input: object.inputs,
    output: fc.option(object.outputs, { freq: 5 }),
    called: fc.integer({ min: 0, max: 12 }),
    lasts: fc.integer({ min: 1, max: 6 }),
  });
  return fc.array(operation, { maxLength }).map((operations) =>
    operations.map(({ input, output, called, lasts }, index) => ({
      ...newOperation(`p${index}`, input, called),
      ...(output === null ? {} : { result: { output }, returned: called + lasts + index / 16 }),
    }))
  );
}

/** Histories of a real object, of which one output is another's or made up. */
export function tamperedHistories(
  object: TestObject,
  maxActions: number,
): fc.Arbitrary<Operation[]> {
  return fc.tuple(simulatedHistories(object, maxActions), fc.nat(), object.outputs).map(
    ([history, at, output]) => {
      const index = history.length === 0 ? 0 : at % history.length;
      return history.map((operation, i) =>
        i === index && operation.result ? { ...operation, result: { output } } : operation
      );
    },
  );
}
