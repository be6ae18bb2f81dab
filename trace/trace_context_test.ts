import assert from "node:assert/strict";
import { test } from "node:test";
import { childTrace, createTraceContext } from "./trace_context.ts";

test("a new trace has ids of its own and is sampled", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 1_000; i++) {
    const trace = createTraceContext();
    assert.match(trace.traceId, /^[0-9a-f]{32}$/);
    assert.match(trace.spanId, /^[0-9a-f]{16}$/);
    assert.equal(trace.sampled, true);
    assert.equal(trace.parentSpanId, undefined);
    seen.add(trace.traceId).add(trace.spanId);
  }
  assert.equal(seen.size, 2_000);
});

test("a child stays in its trace, with what was decided for it", () => {
  const parent = { ...createTraceContext(), sampled: false, state: "vendor=1" };
  const child = childTrace(parent);
  assert.notEqual(child.spanId, parent.spanId);
  assert.deepEqual(child, {
    traceId: parent.traceId,
    spanId: child.spanId,
    parentSpanId: parent.spanId,
    sampled: false,
    state: "vendor=1",
  });
  assert.equal(childTrace(child).parentSpanId, child.spanId);
  assert.equal("state" in childTrace(createTraceContext()), false);
});
