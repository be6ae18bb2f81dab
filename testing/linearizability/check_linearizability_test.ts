import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkLinearizability } from "./check_linearizability.ts";
import type { Model } from "./model.ts";
import type { RecordedOperation } from "./recorded_operation.ts";
import { isLinearizableByForce } from "./testdata/brute_force.ts";
import {
  madeUpHistories,
  simulatedHistories,
  tamperedHistories,
} from "./testdata/random_history.ts";
import { testObjects } from "./testdata/sequential_objects.ts";

type Operations = readonly RecordedOperation<unknown, unknown>[];
type AnyModel = Model<unknown, unknown, unknown>;

function accepts(model: AnyModel, history: Operations): boolean {
  const { verdict } = checkLinearizability(model, history);
  assert.notEqual(verdict, "unknown");
  return verdict === "linearizable";
}

function agrees(model: AnyModel, history: Operations): boolean {
  return accepts(model, history) === isLinearizableByForce(model, history);
}

for (const object of testObjects) {
  const { name, model } = object;

  test(`${name}: what a real one did is accepted`, () => {
    const histories = simulatedHistories(object, 200);
    fc.assert(fc.property(histories, (history) => accepts(model, history)), { numRuns: 200 });
  });

  test(`${name}: the verdict is that of brute force when outputs are made up`, () => {
    const histories = madeUpHistories(object, 6);
    fc.assert(fc.property(histories, (history) => agrees(model, history)), { numRuns: 1_000 });
  });

  test(`${name}: the verdict is that of brute force when one output is changed`, () => {
    const histories = tamperedHistories(object, 24);
    fc.assert(fc.property(histories, (history) => agrees(model, history)), { numRuns: 500 });
  });

  test(`${name}: what is reported fails, and without its last result it does not`, () => {
    const histories = fc.oneof(tamperedHistories(object, 30), madeUpHistories(object, 8));
    let violations = 0;
    fc.assert(
      fc.property(histories, (history) => {
        const found = checkLinearizability(model, history);
        if (found.verdict !== "violation") return;
        violations++;
        assert.equal(accepts(model, found.operations), false);
        const last = found.operations.filter(({ result }) => result)
          .reduce((a, b) => (a.returned > b.returned ? a : b));
        const before = found.operations.map((operation) =>
          operation === last ? { ...last, result: undefined, returned: Infinity } : operation
        );
        assert.ok(accepts(model, before), found.report);
      }),
      { numRuns: 600 },
    );
    assert.ok(violations > 20, `only ${violations} histories failed`);
  });
}
