import assert from "node:assert/strict";
import { test } from "node:test";
import { headers as natsHeaders } from "@nats-io/nats-core";
import fc from "fast-check";
import { childTrace, createTraceContext } from "./trace_context.ts";
import { extractTrace, injectTrace, MAX_TRACESTATE_LENGTH } from "./trace_headers.ts";
import { formatTraceparent } from "./traceparent.ts";

test("a context travels in the headers of a NATS message", () => {
  const trace = { ...childTrace(createTraceContext()), state: "vendor=1,other=2" };
  const headers = natsHeaders();
  injectTrace(headers, trace);
  assert.deepEqual([...headers.keys()], ["traceparent", "tracestate"]);
  const { traceId, spanId, sampled, state } = trace;
  assert.deepEqual(extractTrace(headers), { traceId, spanId, sampled, state });
});

test("the X- headers are written when asked, and read when there is no traceparent", () => {
  const trace = childTrace(createTraceContext());
  const headers = natsHeaders();
  injectTrace(headers, trace, { xHeaders: true });
  assert.equal(headers.get("X-Trace-ID"), trace.traceId);
  assert.equal(headers.get("X-Span-ID"), trace.spanId);
  assert.equal(headers.get("X-Parent-Span-ID"), trace.parentSpanId);
  headers.delete("traceparent");
  assert.deepEqual(extractTrace(headers), trace);
});

test("a traceparent counts more than the X- headers", () => {
  const [one, other] = [createTraceContext(), createTraceContext()];
  const headers = new Map([
    ["traceparent", formatTraceparent(one)],
    ["X-Trace-ID", other.traceId],
    ["X-Span-ID", other.spanId],
  ]);
  assert.equal(extractTrace(headers)?.traceId, one.traceId);
  headers.set("traceparent", "00-broken");
  assert.equal(extractTrace(headers), undefined);
});

test("a trace that is not sampled stays so", () => {
  const headers = new Map<string, string>();
  injectTrace(headers, { ...createTraceContext(), sampled: false });
  assert.equal(extractTrace(headers)?.sampled, false);
});

test("the usual spellings of names are read", () => {
  const trace = createTraceContext();
  const parentSpanId = "b7ad6b7169203331";
  for (
    const names of [
      "traceparent tracestate",
      "Traceparent Tracestate",
      "TraceParent TraceState",
      "TRACEPARENT TRACESTATE",
    ]
  ) {
    const [parent = "", state = ""] = names.split(" ");
    const headers = new Map([[parent, formatTraceparent(trace)], [state, "a=b"]]);
    assert.deepEqual(extractTrace(headers), { ...trace, state: "a=b" }, names);
  }
  for (const id of ["X-Trace-ID", "X-Trace-Id", "x-trace-id", "X-TRACE-ID"]) {
    const headers = new Map([
      [id, trace.traceId],
      [id.replace(/trace/i, like("span", id)), trace.spanId],
      [id.replace(/trace/i, like("parent-span", id)), parentSpanId],
    ]);
    assert.deepEqual(extractTrace(headers), { ...trace, parentSpanId }, id);
  }
});

/** A word with the capitals of a header's name. */
function like(word: string, name: string): string {
  if (name.startsWith("x")) return word;
  if (name.includes("TRACE")) return word.toUpperCase();
  return word.replace(/\b[a-z]/g, (first) => first.toUpperCase());
}

test("half a context in X- headers, or a malformed one, is none", () => {
  const { traceId, spanId } = createTraceContext();
  const sets: Record<string, string>[] = [
    {},
    { "X-Trace-ID": traceId },
    { "X-Span-ID": spanId },
    { "X-Trace-ID": traceId.toUpperCase() + "x", "X-Span-ID": spanId },
    { "X-Trace-ID": traceId, "X-Span-ID": "0".repeat(16) },
    { "X-Trace-ID": traceId, "X-Span-ID": spanId, "X-Parent-Span-ID": "me" },
  ];
  for (const set of sets) assert.equal(extractTrace(new Map(Object.entries(set))), undefined);
});

test("a state that is too long or not printable is left out, not the context", () => {
  const trace = createTraceContext();
  const states = ["a=" + "b".repeat(MAX_TRACESTATE_LENGTH), "a=\u0000", "a=é", "  "];
  for (const state of states) {
    const headers = new Map([["traceparent", formatTraceparent(trace)], ["tracestate", state]]);
    assert.deepEqual(extractTrace(headers), trace);
  }
  const longest = "a=" + "b".repeat(MAX_TRACESTATE_LENGTH - 2);
  const headers = new Map([["traceparent", formatTraceparent(trace)], ["tracestate", longest]]);
  assert.equal(extractTrace(headers)?.state, longest);
});

test("headers copied from another message keep nothing of its trace", () => {
  const headers = natsHeaders();
  injectTrace(headers, { ...childTrace(createTraceContext()), state: "a=b" }, { xHeaders: true });
  const trace = createTraceContext();
  injectTrace(headers, trace, { xHeaders: true });
  assert.deepEqual(extractTrace(headers), trace);
  headers.delete("traceparent");
  assert.deepEqual(extractTrace(headers), trace);
});

test("a trace in another spelling is gone once a context is written", () => {
  const stale: [string, string][] = [
    ["TraceParent", formatTraceparent(createTraceContext())],
    ["TRACESTATE", "a=b"],
    ["X-Trace-Id", createTraceContext().traceId],
    ["x-SPAN-id", createTraceContext().spanId],
    ["X-Parent-Span-ID", createTraceContext().spanId],
  ];
  const kept: [string, string][] = [["x-trace-id", "job 7"], ["Content-Type", "text/plain"]];
  for (const xHeaders of [false, true]) {
    const native = natsHeaders();
    for (const headers of [new Map<string, string>(), native]) {
      for (const [name, value] of [...stale, ...kept]) headers.set(name, value);
      const trace = createTraceContext();
      injectTrace(headers, trace, { xHeaders });
      const names = xHeaders
        ? ["Content-Type", "traceparent", "X-Trace-ID", "X-Span-ID"]
        : ["x-trace-id", "Content-Type", "traceparent"];
      assert.deepEqual([...headers.keys()], names);
      assert.deepEqual(extractTrace(headers), trace);
    }
  }
});

test("headers that can only be read and set lose the usual spellings", () => {
  const values = new Map([
    ["Traceparent", formatTraceparent(createTraceContext())],
    ["X-Trace-Id", createTraceContext().traceId],
    ["X-TRACE-ID", "job 7"],
  ]);
  const trace = createTraceContext();
  injectTrace(
    { get: (name) => values.get(name), set: (name, value) => values.set(name, value) },
    trace,
  );
  assert.deepEqual([...values], [
    ["Traceparent", ""],
    ["X-Trace-Id", ""],
    ["X-TRACE-ID", "job 7"],
    ["traceparent", formatTraceparent(trace)],
  ]);
});

test("no value adds a header of its own", () => {
  const text = fc.string({ unit: fc.constantFrom("\r", "\n", "\r\n", "a", "=", ":", " ", "\0") });
  fc.assert(fc.property(text, text, text, (id, span, state) => {
    const good = createTraceContext();
    const written: string[] = [];
    const headers = {
      get: () => "",
      set: (name: string, value: string) => void written.push(name, value),
    };
    for (
      const trace of [
        { ...good, traceId: good.traceId + id },
        { ...good, spanId: span },
        { ...good, parentSpanId: span },
        { ...good, state },
      ]
    ) {
      try {
        injectTrace(headers, trace, { xHeaders: true });
      } catch (error) {
        assert.ok(error instanceof TypeError);
      }
    }
    assert.doesNotMatch(written.join(""), /[\r\n\0]/);
  }));
});

test("misuse is refused, and nothing is written", () => {
  const headers = new Map<string, string>();
  const trace = createTraceContext();
  const misuses: [() => void, RegExp][] = [
    [() => injectTrace(headers, { ...trace, state: "a\r\nb" }), /its state must be/],
    [() => injectTrace(headers, { ...trace, state: "a".repeat(513) }), /its state must be/],
    [() => injectTrace(headers, { ...trace, spanId: "" }), /cannot inject a trace context/],
    [() => injectTrace(headers, trace, { xheaders: true } as never), /option "xheaders"/],
    [() => injectTrace(headers, trace, { xHeaders: 1 as never }), /xHeaders must be true or false/],
    [() => injectTrace(undefined as never, trace), /must have methods get and set/],
  ];
  for (const [misuse, message] of misuses) assert.throws(misuse, { name: "TypeError", message });
  assert.equal(headers.size, 0);
});
