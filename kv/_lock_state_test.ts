import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isJsflowError } from "../client/errors.ts";
import {
  beatLock,
  freeLock,
  holderOf,
  type LockState,
  readLock,
  standingOf,
  takeLock,
} from "./_lock_state.ts";

const claim = (owner: string) => ({ owner, leaseMs: 1_000 });
const EMPTY = readLock({ value: undefined, revision: 0 }, "lock.x");

test("a lock is taken, renewed and given back", () => {
  const taken = takeLock(EMPTY, claim("a"));
  assert.deepEqual(taken, { owner: "a", epoch: 1, leaseMs: 1_000, beat: 0 });
  assert.deepEqual(beatLock(taken), { ...taken, beat: 1 });
  assert.deepEqual(freeLock(taken), { owner: null, epoch: 1, leaseMs: 0, beat: 0 });
  assert.equal(takeLock(freeLock(taken), claim("b")).epoch, 2);
  assert.deepEqual(readLock({ value: beatLock(taken), revision: 2 }, "lock.x"), beatLock(taken));
});

test("those who wait see a holder by its owner and revision, and no holder of a free lock", () => {
  const taken = takeLock(EMPTY, claim("a"));
  assert.deepEqual(holderOf(taken, 7), { holder: "a 1", sign: 7, leaseMs: 1_000 });
  assert.equal(holderOf(freeLock(taken), 8), undefined);
  assert.equal(holderOf(EMPTY, 0), undefined);
});

test("what a state means for a holder", () => {
  const mine = { owner: "a", token: 3 };
  const state = (owner: string | null, epoch: number): LockState => ({ ...EMPTY, owner, epoch });
  assert.equal(standingOf(state("a", 3), mine), "held");
  assert.equal(standingOf(state(null, 3), mine), "freed");
  assert.equal(standingOf(state("b", 3), mine), "lost");
  assert.equal(standingOf(state("b", 4), mine), "lost");
  assert.equal(standingOf(state("a", 4), mine), "lost");
  assert.equal(standingOf(state("b", 2), mine), "stale");
  assert.equal(standingOf(EMPTY, mine), "stale");
});

test("other values are refused", () => {
  const good = takeLock(EMPTY, claim("a"));
  const bad: unknown[] = [null, 1, "x", [], {}, { ...good, owner: 1 }, { ...good, epoch: 1.5 }];
  bad.push({ ...good, epoch: -1 }, { ...good, leaseMs: "1" }, { ...good, beat: undefined });
  for (const value of bad) {
    assert.throws(
      () => readLock({ value, revision: 9 }, "lock.x"),
      (error) => isJsflowError(error, "invalid_payload") && error.message.includes("lock.x"),
    );
  }
});

test("tokens rise through releases, thefts and removals of the key", () => {
  const deed = fc.constantFrom("take", "steal", "beat", "free", "remove", "others");
  fc.assert(fc.property(fc.array(deed, { maxLength: 60 }), (deeds) => {
    let revision = 0;
    let value: LockState | undefined;
    let last = 0;
    for (const [index, what] of deeds.entries()) {
      revision++; // each deed writes; "others" to another key of the bucket
      if (what === "others") continue;
      const state = readLock({ value, revision: revision - 1 }, "lock.x");
      if (what === "remove") value = undefined;
      else if (what === "beat" || what === "free") {
        if (state.owner !== null) value = what === "beat" ? beatLock(state) : freeLock(state);
      } else {
        value = takeLock(state, claim(`o${index}`));
        assert.ok(value.epoch > last, `${value.epoch} after ${last}`);
        last = value.epoch;
      }
    }
  }));
});
