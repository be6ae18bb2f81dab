import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  ancestorsBehind,
  fateOf,
  type Lineage,
  lineageOf,
  MAX_PRIOR,
  NONCE_HEADER,
  NOTHING,
  PRIOR_HEADER,
  priorOf,
  unknownLineage,
} from "./_lineage.ts";

const nonceOf = (n: number) => `nonce${String(n).padStart(7, "0")}`;

/** What a stream keeps of a revision. */
function stored(revision: number, headers: Readonly<Record<string, string>>): Lineage {
  return lineageOf({ revision, header: (name) => headers[name] });
}

function written(revision: number, nonce: string, replaced: Lineage | undefined): Lineage {
  const prior = replaced === undefined ? {} : { [PRIOR_HEADER]: priorOf(replaced) };
  return stored(revision, { [NONCE_HEADER]: nonce, ...prior });
}

test("what a writer knows of its ancestors travels in a header", () => {
  const first = written(3, nonceOf(3), NOTHING);
  const second = written(5, nonceOf(5), first);
  assert.deepEqual(second.prior, [
    { revision: 3, nonce: nonceOf(3) },
    { revision: 0, nonce: null },
  ]);
  const foreign = stored(8, { [NONCE_HEADER]: "somebody else's id" });
  assert.equal(foreign.nonce, null);
  assert.deepEqual(written(9, nonceOf(9), foreign).prior, [{ revision: 8, nonce: null }]);
  assert.deepEqual(written(9, nonceOf(9), unknownLineage(8)).prior, [
    { revision: 8, nonce: undefined },
  ]);
});

test("a header holds a bounded number of ancestors", () => {
  let last: Lineage = NOTHING;
  for (let revision = 1; revision <= 100; revision++) {
    last = written(revision, nonceOf(revision), last);
  }
  assert.equal(last.prior.length, MAX_PRIOR);
  assert.equal(last.prior[0]?.revision, 99);
  assert.ok(priorOf(last).length < 512);
});

test("a header that makes no sense says nothing", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    for (const { revision } of stored(9, { [PRIOR_HEADER]: text }).prior) {
      assert.ok(Number.isSafeInteger(revision) && revision >= 0);
    }
  }));
  assert.deepEqual(stored(9, { [PRIOR_HEADER]: "8=short 7-" }).prior, []);
  assert.deepEqual(stored(9, { [PRIOR_HEADER]: "8- 7=x" }).prior, [{ revision: 8, nonce: null }]);
});

/**
 * A key's life: writers replace the last revision, knowing it or not, or write blindly. The write
 * that is asked about expected some revision, and is one of those that follow it, or none.
 */
const life = fc.record({
  writers: fc.array(
    fc.constantFrom("knows", "knows", "knows", "ignorant", "blind", "foreign"),
    { minLength: 1, maxLength: 30 },
  ),
  expectedAt: fc.nat(29),
  isApplied: fc.boolean(),
  history: fc.integer({ min: 1, max: 12 }),
});

test("a verdict is never wrong", () => {
  let decided = 0;
  fc.assert(
    fc.property(life, ({ writers, expectedAt, isApplied, history }) => {
      const at = expectedAt % writers.length;
      const own = { nonce: nonceOf(999), expected: at };
      const revisions: Lineage[] = [];
      let last: Lineage = NOTHING;
      for (const [index, writer] of writers.entries()) {
        const revision = index + 1;
        const isOwn = isApplied && index === at;
        const replaced = writer === "ignorant" && last.revision > 0
          ? unknownLineage(last.revision)
          : last;
        const isBlind = writer === "blind" && !isOwn;
        last = writer === "foreign" && !isOwn ? stored(revision, {}) : written(
          revision,
          isOwn ? own.nonce : nonceOf(revision),
          isBlind ? undefined : replaced,
        );
        revisions.push(last);
      }
      const kept = revisions.slice(-history).filter(({ revision }) => revision >= at);
      const fate = fateOf(own, kept);
      if (fate.kind === "applied") assert.deepEqual([isApplied, fate.revision], [true, at + 1]);
      if (fate.kind === "refused") assert.equal(isApplied, false);
      if (fate.kind !== "hidden") decided++;
    }),
    { numRuns: 5_000 },
  );
  assert.ok(decided > 2_000, `${decided} verdicts`);
});

test("what is known decides", () => {
  const own = { nonce: nonceOf(1), expected: 4 };
  const base = written(4, nonceOf(4), NOTHING);
  const other = written(6, nonceOf(6), base);
  assert.deepEqual(fateOf(own, [other]), { kind: "refused" });
  const mine = written(6, own.nonce, base);
  assert.deepEqual(fateOf(own, [written(9, nonceOf(9), mine)]), { kind: "applied", revision: 6 });
  assert.deepEqual(fateOf(own, [stored(9, {})]), { kind: "hidden" });
  assert.deepEqual(fateOf(own, [written(9, nonceOf(9), unknownLineage(6))]), { kind: "hidden" });
  assert.deepEqual(fateOf(own, [base, stored(9, {})]), { kind: "refused" });
  assert.deepEqual(fateOf(own, []), { kind: "hidden" });
});

test("a writer that replaces its own revisions for ever remembers a bounded number", () => {
  let lineage: Lineage = NOTHING;
  for (let revision = 1; revision <= 100; revision++) {
    lineage = { revision, nonce: nonceOf(revision), prior: ancestorsBehind(lineage) };
  }
  assert.deepEqual(
    lineage.prior,
    Array.from({ length: MAX_PRIOR }, (_, n) => ({ revision: 99 - n, nonce: nonceOf(99 - n) })),
  );
});
