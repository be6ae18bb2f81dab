import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { currentTrace, withTrace } from "./current_trace.ts";
import { detached } from "./detached.ts";
import { createTraceContext } from "./trace_context.ts";

const never = () => new Promise<never>(() => {});

test("detached work keeps the trace and is not cancelled with what is around it", async () => {
  const trace = createTraceContext();
  const outer = new AbortController();
  const handler = async (signal: AbortSignal) => {
    await after(60_000, undefined, { signal }).catch(() => {});
    return await detached({ timeoutMs: 60_000 }, async (own) => {
      await after(1, undefined, { signal: own });
      return [currentTrace()?.spanId, own.aborted, signal.aborted];
    });
  };
  const handled = withTrace(trace, () => handler(outer.signal));
  outer.abort(new Error("out of time"));
  assert.deepEqual(await handled, [trace.spanId, false, true]);
});

test("work that ignores its signal is left at the deadline", async () => {
  let seen: AbortSignal | undefined;
  const working = detached({ timeoutMs: 5 }, (signal) => {
    seen = signal;
    return never();
  });
  await assert.rejects(working, { name: "TimeoutError", message: /no result within 5 ms/ });
  assert.equal(seen?.aborted, true);
});

test("its own signal ends it with the reason, and prevents it", async () => {
  const reason = { why: "shutdown" };
  const controller = new AbortController();
  const working = detached({ timeoutMs: 60_000, signal: controller.signal }, never);
  controller.abort(reason);
  await assert.rejects(working, (error) => (error as unknown) === reason);
  const { signal } = controller;
  await assert.rejects(
    detached({ timeoutMs: 60_000, signal }, () => assert.fail("must not run")),
    (error) => (error as unknown) === reason,
  );
});

test("the error of the work comes through, thrown or rejected", async () => {
  const failure = new Error("broken");
  await assert.rejects(
    detached({ timeoutMs: 60_000 }, () => {
      throw failure;
    }),
    failure,
  );
  await assert.rejects(detached({ timeoutMs: 60_000 }, () => Promise.reject(failure)), failure);
});

test("no listener stays on the signal", async () => {
  const { signal } = new AbortController();
  await detached({ timeoutMs: 60_000, signal }, () => 1);
  await detached({ timeoutMs: 1, signal }, never).catch(() => {});
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("no timer stays behind", async () => {
  const clear = globalThis.clearTimeout;
  let cleared = 0;
  globalThis.clearTimeout = ((timer: number) => {
    cleared++;
    clear(timer);
  }) as typeof clearTimeout;
  try {
    await detached({ timeoutMs: 60_000 }, () => 1);
    await detached({ timeoutMs: 60_000 }, () => Promise.reject(new Error("x"))).catch(() => {});
  } finally {
    globalThis.clearTimeout = clear;
  }
  assert.equal(cleared, 2);
});

test("misuse is refused before the work runs", async () => {
  const run = () => assert.fail("must not run");
  for (const timeoutMs of [0, -1, NaN, Infinity, 2 ** 31]) {
    await assert.rejects(detached({ timeoutMs }, run), RangeError);
  }
  const misuses: unknown[] = [undefined, {}, { timeoutMs: "5" }, { timeoutMs: 5, signal: {} }, {
    timeoutMs: 5,
    timeout: 5,
  }];
  for (const options of misuses) await assert.rejects(detached(options as never, run), TypeError);
  await assert.rejects(detached({ timeoutMs: 5 }, "work" as never), TypeError);
});
