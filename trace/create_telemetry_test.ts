import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { context, ProxyTracerProvider, trace as otel } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { createTelemetry } from "./create_telemetry.ts";
import { currentTrace, withTrace } from "./current_trace.ts";
import { silentTelemetry } from "./silent_telemetry.ts";
import type { HeaderCarrier, Operation } from "./telemetry.ts";
import type { TelemetryOptions } from "./telemetry_options.ts";
import { memoryTracing } from "./testdata/in_memory_sdk.ts";
import { createTraceContext } from "./trace_context.ts";
import { extractTrace, injectTrace } from "./trace_headers.ts";

const identity = { clientName: "shop" };

function injected(operation: Operation): Map<string, string> {
  const headers = new Map<string, string>();
  operation.inject(headers);
  return headers;
}

function carrying(trace = createTraceContext()): HeaderCarrier {
  const headers = new Map<string, string>();
  injectTrace(headers, trace);
  return headers;
}

test("without an SDK a context is made and travels", () => {
  const telemetry = createTelemetry(undefined, identity);
  assert.equal(telemetry.tracing, true);
  const operation = telemetry.begin("publish", { destination: "orders" });
  const headers = injected(operation);
  operation.end();
  assert.deepEqual([...headers.keys()], ["traceparent"]);
  const { trace } = operation;
  assert.deepEqual(extractTrace(headers), trace);
  assert.equal(trace?.sampled, true);
});

test("without an SDK the current trace goes on", () => {
  const telemetry = createTelemetry({}, identity);
  const outer = { ...createTraceContext(), sampled: false, state: "a=b" };
  withTrace(outer, () => {
    const { trace } = telemetry.begin("request", { destination: "orders" });
    const { traceId, state, sampled } = outer;
    const spanId = trace?.spanId;
    assert.notEqual(spanId, outer.spanId);
    assert.deepEqual(trace, { traceId, spanId, parentSpanId: outer.spanId, sampled, state });
  });
});

test("without an SDK the trace of a message goes on in its handler", async () => {
  const telemetry = createTelemetry({ xHeaders: true }, identity);
  const sender = createTraceContext();
  const details = { destination: "orders", parent: carrying(sender) };
  const operation = withTrace(createTraceContext(), () => telemetry.begin("process", details));
  const headers = await operation.run(async () => {
    await after(1);
    assert.deepEqual(currentTrace(), operation.trace);
    return injected(telemetry.begin("publish", { destination: "done" }));
  });
  operation.end();
  assert.equal(operation.trace?.traceId, sender.traceId);
  assert.equal(operation.trace.parentSpanId, sender.spanId);
  assert.equal(extractTrace(headers)?.traceId, sender.traceId);
  assert.equal(headers.get("X-Trace-ID"), sender.traceId);
  assert.equal(headers.get("X-Parent-Span-ID"), operation.trace.spanId);
  assert.equal(currentTrace(), undefined);
});

test("a provider without an SDK behind it is none", () => {
  const tracer = new ProxyTracerProvider().getTracer("none");
  const telemetry = createTelemetry({ tracerProvider: { getTracer: () => tracer } }, identity);
  const outer = createTraceContext();
  const first = withTrace(outer, () => telemetry.begin("publish", { destination: "orders" }));
  assert.equal(first.trace?.traceId, outer.traceId);
  assert.equal(first.trace.parentSpanId, outer.spanId);
  assert.notEqual(first.trace.spanId, outer.spanId);
  assert.equal(telemetry.begin("publish", { destination: "orders" }).trace?.sampled, true);
});

test("without an SDK the messages of a batch are not looked at", () => {
  const telemetry = createTelemetry({}, identity);
  const get = () => assert.fail("must not be read");
  const links = [{ get, set: () => {} }];
  const operation = telemetry.begin("receive", { destination: "orders", links });
  operation.note({ links });
  operation.end();
});

test("a message with a malformed context begins a trace of its own", () => {
  const telemetry = createTelemetry({}, identity);
  const parent = new Map([["traceparent", "00-x"]]);
  const { trace } = telemetry.begin("serve", { destination: "orders", parent });
  assert.equal(trace?.parentSpanId, undefined);
  assert.match(trace?.traceId ?? "", /^[0-9a-f]{32}$/);
});

test("with nothing to report it does nothing", () => {
  assert.equal(createTelemetry({ tracing: false, metrics: false }, identity), silentTelemetry);
  // Nobody collects metrics here either.
  const telemetry = createTelemetry({ tracing: false }, identity);
  assert.equal(telemetry, silentTelemetry);
  const operation = telemetry.begin("publish", { destination: "orders" });
  assert.equal(injected(operation).size, 0);
  assert.equal(operation.run(() => 7), 7);
  operation.note({ messageId: "7" });
  operation.end(new Error("x"));
  telemetry.count("reconnects");
  telemetry.gauge("inFlight", () => assert.fail("must not be read"))();
  telemetry.close();
});

test("a registered SDK makes the spans, even one that is registered later", () => {
  const telemetry = createTelemetry({}, identity);
  telemetry.begin("publish", { destination: "unseen" }).end();
  const { provider, spans } = memoryTracing();
  assert.ok(otel.setGlobalTracerProvider(provider));
  try {
    telemetry.begin("publish", { destination: "seen" }).end();
    assert.deepEqual(spans().map(({ name }) => name), ["publish seen"]);
  } finally {
    otel.disable();
  }
});

test("OpenTelemetry's active span is the parent, and spans of others are children", async () => {
  const { provider, spans } = memoryTracing();
  assert.ok(context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()));
  try {
    const telemetry = createTelemetry({ tracerProvider: provider }, identity);
    const others = provider.getTracer("app");
    await others.startActiveSpan("outer", async (outer) => {
      const operation = telemetry.begin("request", { destination: "orders" });
      await operation.run(async () => {
        await after(1);
        others.startSpan("inner").end();
      });
      operation.end();
      outer.end();
    });
    const [inner, request, outer] = spans();
    assert.equal(request?.parentSpanContext?.spanId, outer?.spanContext().spanId);
    assert.equal(inner?.parentSpanContext?.spanId, request?.spanContext().spanId);
  } finally {
    context.disable();
  }
});

test("misuse is refused by name", () => {
  const misuses: [unknown, RegExp][] = [
    [{ traces: true }, /telemetry does not know the option "traces"; it takes tracing,/],
    [{ tracing: "yes" }, /tracing must be true or false, got a string/],
    [{ metrics: 1 }, /metrics must be true or false, got 1/],
    [{ xHeaders: null }, /xHeaders must be true or false, got null/],
    [{ tracerProvider: {} }, /tracerProvider must be an object with a method getTracer/],
    [{ meterProvider: () => {} }, /meterProvider must be an object with a method getMeter/],
    [[], /telemetry options must be an object, got an array/],
  ];
  for (const [options, message] of misuses) {
    assert.throws(() => createTelemetry(options as TelemetryOptions, identity), {
      name: "TypeError",
      message,
    });
  }
  const undefinedOptions = { tracing: undefined, metrics: undefined, tracerProvider: undefined };
  assert.equal(createTelemetry(undefinedOptions, identity).tracing, true);
});
