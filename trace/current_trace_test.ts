import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { context, ROOT_CONTEXT, trace as otel, TraceFlags } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { currentTrace, withoutTrace, withTrace } from "./current_trace.ts";
import { childTrace, createTraceContext, type TraceContext } from "./trace_context.ts";

/** Each behaviour holds without OpenTelemetry's context manager and with it. */
function testBoth(name: string, body: () => Promise<void> | void): void {
  test(name, body);
  test(`${name}, with a context manager`, () => withContextManager(body));
}

async function withContextManager(body: () => Promise<void> | void): Promise<void> {
  assert.ok(context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()));
  try {
    await body();
  } finally {
    context.disable();
  }
}

testBoth("outside of a trace there is none", () => {
  assert.equal(currentTrace(), undefined);
});

testBoth("a context goes along with what is awaited and started", async () => {
  const trace = { ...childTrace(createTraceContext()), sampled: false, state: "a=b" };
  const seen: (TraceContext | undefined)[] = [];
  const result = await withTrace(trace, async () => {
    seen.push(currentTrace());
    const started = after(1).then(() => seen.push(currentTrace()));
    await after(1);
    seen.push(currentTrace());
    await started;
    return "done";
  });
  assert.equal(result, "done");
  assert.deepEqual(seen, [trace, trace, trace]);
  assert.equal(currentTrace(), undefined);
});

testBoth("contexts that run at the same time are not mixed up", async () => {
  const traces = Array.from({ length: 20 }, createTraceContext);
  const seen = await Promise.all(traces.map((trace, i) =>
    withTrace(trace, async () => {
      await after(i % 3);
      return currentTrace();
    })
  ));
  assert.deepEqual(seen, traces);
});

testBoth("the innermost context counts, and ends with its function", () => {
  const [outer, inner] = [createTraceContext(), createTraceContext()];
  withTrace(outer, () => {
    assert.equal(withTrace(inner, () => currentTrace()?.spanId), inner.spanId);
    assert.throws(() =>
      withTrace(inner, () => {
        throw new Error("out");
      }), /out/);
    assert.equal(currentTrace()?.spanId, outer.spanId);
  });
});

testBoth("a loop can be started outside of the trace of its caller", async () => {
  const trace = createTraceContext();
  await withTrace(trace, async () => {
    await withoutTrace(async () => {
      await after(1);
      assert.equal(currentTrace(), undefined);
    });
    assert.equal(currentTrace()?.spanId, trace.spanId);
  });
});

test("OpenTelemetry's active span is the current context", () =>
  withContextManager(() => {
    const [outer, inner] = [createTraceContext(), createTraceContext()];
    const span = otel.wrapSpanContext({ ...inner, traceFlags: TraceFlags.NONE });
    withTrace(outer, () => {
      context.with(otel.setSpan(context.active(), span), () => {
        const { traceId, spanId } = inner;
        const seen = currentTrace();
        assert.deepEqual([seen?.traceId, seen?.spanId, seen?.sampled], [traceId, spanId, false]);
        assert.equal(withTrace(outer, () => currentTrace()?.spanId), outer.spanId);
      });
    });
  }));

test("with a context manager OpenTelemetry has the last word", async () => {
  const [early, late] = [createTraceContext(), createTraceContext()];
  await withTrace(early, () =>
    withContextManager(() => {
      withTrace(late, () => {
        assert.equal(currentTrace()?.spanId, late.spanId);
      });
    }));
  await withContextManager(() => {
    withTrace(early, () => {
      assert.equal(context.with(ROOT_CONTEXT, currentTrace), undefined);
    });
  });
});

test("OpenTelemetry sees the current context", () =>
  withContextManager(() => {
    const trace = { ...createTraceContext(), state: "a=b" };
    withTrace(trace, () => {
      const seen = otel.getActiveSpan()?.spanContext();
      assert.equal(seen?.spanId, trace.spanId);
      assert.equal(seen?.traceFlags, TraceFlags.SAMPLED);
      assert.equal(seen?.traceState?.serialize(), "a=b");
    });
  }));

test("misuse is refused before anything runs", () => {
  const run = () => assert.fail("must not run");
  const bad = { ...createTraceContext(), traceId: "abc" };
  assert.throws(() => withTrace(bad, run), { name: "TypeError", message: /cannot run within/ });
  assert.throws(() => withTrace(undefined as never, run), TypeError);
  assert.throws(
    () => withTrace(createTraceContext(), 5 as never),
    /work must be a function, got 5/,
  );
  assert.throws(() => withoutTrace(undefined as never), TypeError);
});
