import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "./clock.ts";

/** Timers may fire a moment early, since they count in whole milliseconds. */
const EARLY_MS = 2;

/** A signal that counts its listeners. */
function countedSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set<unknown>();
  const [add, remove] = [signal.addEventListener, signal.removeEventListener];
  signal.addEventListener = (...args: unknown[]) => {
    listeners.add(args[1]);
    Reflect.apply(add, signal, args);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    listeners.delete(args[1]);
    Reflect.apply(remove, signal, args);
  };
  return { controller, signal, listeners };
}

test("now is the wall clock, monotonic never goes back", () => {
  assert.ok(Math.abs(systemClock.now() - Date.now()) < 1_000);
  const times = Array.from({ length: 100 }, () => systemClock.monotonic());
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
});

test("sleep lasts as long as it should, and leaves no listener behind", async () => {
  const { signal, listeners } = countedSignal();
  const startedAt = systemClock.monotonic();
  await systemClock.sleep(30, signal);
  assert.ok(systemClock.monotonic() - startedAt >= 30 - EARLY_MS);
  assert.equal(listeners.size, 0);
});

test("sleep ends with the signal's reason as soon as it aborts", async () => {
  const { controller, signal } = countedSignal();
  const reason = new Error("enough");
  const sleeping = systemClock.sleep(600_000, signal);
  controller.abort(reason);
  await assert.rejects(sleeping, (error) => error === reason);
});

test("sleep with an aborted signal does not begin", async () => {
  const reason = new Error("enough");
  const sleeping = systemClock.sleep(600_000, AbortSignal.abort(reason));
  await assert.rejects(sleeping, (error) => error === reason);
});
