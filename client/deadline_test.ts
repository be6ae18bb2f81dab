import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { timeoutError, untilAborted, withDeadline } from "./deadline.ts";

const never = () => new Promise<never>(() => {});
const onTimeout = () => timeoutError("wait", 5);

test("the result of the work comes through, and so does its error", async () => {
  assert.equal(await withDeadline({ timeoutMs: 1_000, onTimeout }, () => Promise.resolve(7)), 7);
  const failure = new Error("broken");
  await assert.rejects(
    withDeadline({ timeoutMs: 1_000, onTimeout }, () => Promise.reject(failure)),
    failure,
  );
});

test("work that ignores its signal is left at the deadline", async () => {
  let seen: AbortSignal | undefined;
  await assert.rejects(
    withDeadline({ timeoutMs: 5, onTimeout }, (signal) => {
      seen = signal;
      return never();
    }),
    { code: "timeout", message: /cannot wait: no answer within 5 ms/ },
  );
  assert.equal(seen?.aborted, true);
});

test("the caller's reason comes through as it is", async () => {
  const reason = { why: "not needed" };
  const controller = new AbortController();
  const waiting = withDeadline({ signal: controller.signal, timeoutMs: 60_000, onTimeout }, never);
  controller.abort(reason);
  await assert.rejects(waiting, (error) => (error as unknown) === reason);
});

test("an aborted signal prevents the work", async () => {
  let ran = false;
  const signal = AbortSignal.abort("early");
  const waiting = withDeadline({ signal, timeoutMs: 1_000, onTimeout }, () => {
    ran = true;
    return never();
  });
  await assert.rejects(waiting, (error) => (error as unknown) === "early");
  assert.equal(ran, false);
});

test("whoever holds the controller may end the work as well", async () => {
  const controller = new AbortController();
  let given: AbortSignal | undefined;
  const waiting = withDeadline({ timeoutMs: 60_000, onTimeout, controller }, (signal) => {
    given = signal;
    return never();
  });
  controller.abort("lost");
  await assert.rejects(waiting, (error) => (error as unknown) === "lost");
  assert.equal(given, controller.signal);
});

test("no listener stays on the signal", async () => {
  const { signal } = new AbortController();
  await withDeadline({ signal, timeoutMs: 1_000, onTimeout }, () => Promise.resolve(1));
  await withDeadline({ signal, timeoutMs: 1, onTimeout }, never).catch(() => {});
  await untilAborted(Promise.resolve(1), signal);
  await untilAborted(Promise.reject(new Error("x")), signal).catch(() => {});
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a shared promise that fails later is no unhandled rejection", async () => {
  let fail = (_: Error): void => {};
  const shared = new Promise<never>((_, reject) => (fail = reject));
  await assert.rejects(untilAborted(shared, AbortSignal.abort(new Error("gone"))), /gone/);
  fail(new Error("late"));
  await new Promise((resolve) => setImmediate(resolve));
});
