import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import type { Journal } from "./journal.ts";
import { Turns } from "./_turns.ts";

function journal(subject: string): Journal {
  return { subject } as Journal;
}

test("the commands of one invocation take turns, in order, and pass the journal on", async () => {
  const turns = new Turns();
  const seen: string[] = [];
  const first = await turns.take("a", () => journal("first"));
  const waiting = ["second", "third"].map(async (name) => {
    const turn = await turns.take("a", () => journal(name));
    seen.push(`${name} with ${turn.journal.subject}`);
    turn.leave();
  });
  await setImmediate();
  assert.deepEqual(seen, [], "nobody comes in before the first has left");
  first.leave(first.journal);
  await Promise.all(waiting);
  // The second kept its journal to itself, so the third opens one of its own.
  assert.deepEqual(seen, ["second with first", "third with third"]);
});

test("invocations don't wait for each other", async () => {
  const turns = new Turns();
  const one = await turns.take("a", () => journal("a"));
  const other = await turns.take("b", () => journal("b"));
  one.leave();
  other.leave();
});

test("leaving twice lets one in, not two", async () => {
  const turns = new Turns();
  let inside = 0;
  const first = await turns.take("a", () => journal("a"));
  const others = [1, 2].map(async () => {
    const turn = await turns.take("a", () => journal("a"));
    inside++;
    return turn;
  });
  first.leave();
  first.leave();
  const second = await others[0];
  await setImmediate();
  assert.equal(inside, 1);
  second?.leave();
  (await others[1])?.leave();
});
