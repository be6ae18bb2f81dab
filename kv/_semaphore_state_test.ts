import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isJsflowError } from "../client/errors.ts";
import {
  beatPermit,
  freePermit,
  permitOf,
  permitStanding,
  readSemaphore,
  sightingsOf,
  takePermit,
  without,
} from "./_semaphore_state.ts";

const RULES = { key: "semaphore.x", permits: 2 };
const EMPTY = readSemaphore({ value: undefined, revision: 0 }, RULES);
const claim = (owner: string) => ({ owner, leaseMs: 1_000 });
const take = (state = EMPTY, owner = "a", gone: string[] = []) =>
  takePermit(state, claim(owner), new Set(gone));

test("permits are taken, renewed and given back each by itself", () => {
  const two = take(take(), "b");
  assert.deepEqual(two.holders.map(({ owner, token, beat }) => [owner, token, beat]), [
    ["a", 1, 0],
    ["b", 2, 0],
  ]);
  assert.deepEqual(beatPermit(two, "b").holders.map(({ beat }) => beat), [0, 1]);
  const one = freePermit(beatPermit(two, "b"), "a");
  assert.deepEqual(one.holders, [{ owner: "b", token: 2, leaseMs: 1_000, beat: 1 }]);
  assert.equal(take(one, "c").epoch, 3);
  assert.deepEqual(freePermit(one, "nobody"), one);
  assert.deepEqual(readSemaphore({ value: one, revision: 5 }, { ...RULES, permits: 9 }), one);
});

test("those who are gone make room", () => {
  const next = take(take(take(), "b"), "c", ["a", "unknown"]);
  assert.deepEqual(next.holders.map(({ owner }) => owner), ["b", "c"]);
  assert.deepEqual(without(next, new Set(["b", "c"])).holders, []);
});

test("a renewed holder shows another sign, whoever else writes", () => {
  const two = take(take(), "b");
  const signs = (state = two) => sightingsOf(state).map(({ holder, sign }) => [holder, sign]);
  assert.deepEqual(signs(beatPermit(two, "a")), [["a", 1], ["b", 0]]);
  assert.deepEqual(signs(take(two, "c")).slice(0, 2), signs());
});

test("what a state means for a holder", () => {
  const two = take(take(), "b");
  assert.equal(permitStanding(two, { owner: "b", token: 2 }), "held");
  assert.equal(permitStanding(take(), { owner: "b", token: 2 }), "stale");
  assert.equal(permitStanding(freePermit(two, "b"), { owner: "b", token: 2 }), "lost");
  assert.equal(permitOf(two, "b")?.token, 2);
  assert.equal(permitOf(two, "c"), undefined);
});

test("other values are refused", () => {
  const good = take();
  const [holder] = good.holders;
  const bad: unknown[] = [null, 1, {}, { ...good, permits: "2" }, { ...good, holders: {} }];
  bad.push({ ...good, holders: [null] }, { ...good, holders: [{ ...holder, owner: 1 }] });
  for (const value of bad) {
    assert.throws(
      () => readSemaphore({ value, revision: 9 }, RULES),
      (error) => isJsflowError(error, "invalid_payload"),
    );
  }
});

test("tokens rise, through removals of the key too", () => {
  const deed = fc.constantFrom("take", "free", "remove", "others");
  fc.assert(fc.property(fc.array(deed, { maxLength: 60 }), (deeds) => {
    let value: unknown;
    let last = 0;
    for (const [index, what] of deeds.entries()) {
      if (what === "others") continue; // writes to another key of the bucket
      const state = readSemaphore({ value, revision: index }, RULES);
      if (what === "remove") value = undefined;
      else if (what === "free") value = freePermit(state, state.holders[0]?.owner ?? "");
      else {
        value = take(state, `o${index}`);
        assert.ok((value as typeof state).epoch > last);
        last = (value as typeof state).epoch;
      }
    }
  }));
});
