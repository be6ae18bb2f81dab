import assert from "node:assert/strict";
import { test } from "node:test";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import {
  ParentBasedSampler,
  type ReadableSpan,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-base";
import { createTelemetry } from "./create_telemetry.ts";
import { currentTrace, withTrace } from "./current_trace.ts";
import type { HeaderCarrier, OperationKind, Telemetry } from "./telemetry.ts";
import { type MemoryTracing, memoryTracing } from "./testdata/in_memory_sdk.ts";
import { createTraceContext, type TraceContext } from "./trace_context.ts";
import { extractTrace, injectTrace } from "./trace_headers.ts";

interface Reported extends MemoryTracing {
  readonly telemetry: Telemetry;
  /** The span that ended last. */
  last(): ReadableSpan;
}

function reported(ratio = 1): Reported {
  const root = new TraceIdRatioBasedSampler(ratio);
  const tracing = memoryTracing(new ParentBasedSampler({ root }));
  const telemetry = createTelemetry({ tracerProvider: tracing.provider, metrics: false }, {
    clientName: "shop",
    serverAddress: "127.0.0.1",
    serverPort: 4222,
  });
  const last = () => {
    const span = tracing.spans().at(-1);
    assert.ok(span !== undefined, "no span has ended");
    return span;
  };
  return { ...tracing, telemetry, last };
}

function carrying(trace: TraceContext): HeaderCarrier {
  const headers = new Map<string, string>();
  injectTrace(headers, trace);
  return headers;
}

const kinds: [OperationKind, string, SpanKind][] = [
  ["publish", "send", SpanKind.PRODUCER],
  ["request", "send", SpanKind.CLIENT],
  ["receive", "receive", SpanKind.CLIENT],
  ["process", "process", SpanKind.CONSUMER],
  ["serve", "process", SpanKind.SERVER],
  ["settle", "settle", SpanKind.CLIENT],
];

for (const [kind, type, spanKind] of kinds) {
  test(`${kind} is reported by the conventions`, () => {
    const { telemetry, last } = reported();
    telemetry.begin(kind, { destination: "orders.eu", template: "orders.{region}" }).end();
    const { name, kind: seen, attributes, status } = last();
    assert.equal(name, `${kind} orders.{region}`);
    assert.equal(seen, spanKind);
    assert.equal(status.code, SpanStatusCode.UNSET);
    assert.deepEqual(attributes, {
      "messaging.system": "nats",
      "messaging.operation.name": kind,
      "messaging.operation.type": type,
      "messaging.client.id": "shop",
      "messaging.destination.name": "orders.eu",
      "messaging.destination.template": "orders.{region}",
      "server.address": "127.0.0.1",
      "server.port": 4222,
    });
  });
}

test("what is known of the messages is reported", () => {
  const { telemetry, last } = reported();
  const operation = telemetry.begin("receive", {
    destination: "_INBOX.x7",
    temporary: true,
    bodyBytes: 128,
    consumerGroup: "billing",
    stream: "ORDERS",
    batchCount: 3,
  });
  operation.note({ messageId: "ORDERS:7", batchCount: 4, stream: undefined });
  operation.end();
  operation.note({ batchCount: 5 });
  const { name, attributes } = last();
  assert.equal(name, "receive", "a name made up for one use is no part of a span's name");
  const wanted = {
    "messaging.destination.temporary": true,
    "messaging.message.body.size": 128,
    "messaging.consumer.group.name": "billing",
    "messaging.nats.stream": "ORDERS",
    "messaging.message.id": "ORDERS:7",
    "messaging.batch.message_count": 4,
  };
  for (const [key, value] of Object.entries(wanted)) assert.equal(attributes[key], value, key);
});

test("the span's context is what travels", () => {
  const { telemetry, last } = reported();
  const headers = new Map<string, string>();
  const operation = telemetry.begin("publish", { destination: "orders" });
  operation.inject(headers);
  operation.end();
  const { traceId, spanId } = last().spanContext();
  assert.equal(headers.get("traceparent"), `00-${traceId}-${spanId}-01`);
  assert.equal(operation.trace?.spanId, spanId);
});

test("a handler's span is a child of the sender's, with links to it and to the code around", () => {
  const { telemetry, last } = reported();
  const [sender, around] = [createTraceContext(), createTraceContext()];
  const details = { destination: "orders", parent: carrying({ ...sender, state: "a=b" }) };
  withTrace(around, () => telemetry.begin("process", details)).end();
  const span = last();
  assert.equal(span.spanContext().traceId, sender.traceId);
  assert.equal(span.spanContext().traceState?.serialize(), "a=b");
  assert.equal(span.parentSpanContext?.spanId, sender.spanId);
  assert.equal(span.parentSpanContext?.isRemote, true);
  const linked = span.links.map(({ context }) => context.spanId);
  assert.deepEqual(linked, [sender.spanId, around.spanId]);
});

test("a handler's span without a sender is a root, linked to the code around", () => {
  const around = createTraceContext();
  for (const kind of ["process", "serve"] as const) {
    const { telemetry, last } = reported();
    const details = { destination: "orders", parent: new Map<string, string>() };
    const operation = withTrace(around, () => telemetry.begin(kind, details));
    operation.end();
    assert.equal(last().parentSpanContext, undefined);
    assert.notEqual(last().spanContext().traceId, around.traceId);
    assert.deepEqual(last().links.map(({ context }) => context.spanId), [around.spanId]);
    assert.equal(operation.trace?.traceId, last().spanContext().traceId);
    assert.equal(operation.trace?.parentSpanId, undefined);
    withTrace(around, () => telemetry.begin("publish", details)).end();
    assert.equal(last().parentSpanContext?.spanId, around.spanId);
    assert.deepEqual(last().links, []);
  }
  const bare = createTelemetry({ metrics: false }, { clientName: "shop" }); // no SDK
  const { trace } = withTrace(around, () => bare.begin("process", { destination: "orders" }));
  assert.notEqual(trace?.traceId, around.traceId);
});

test("a batch is linked to each of its messages, up to a bound", () => {
  const { telemetry, last } = reported();
  const senders = Array.from({ length: 3 }, createTraceContext);
  const links = [...senders.map(carrying), new Map([["traceparent", "broken"]]), new Map()];
  const operation = telemetry.begin("receive", { destination: "orders.>", batchCount: 5, links });
  operation.end();
  const ids = last().links.map(({ context }) => context.spanId);
  assert.deepEqual(ids, senders.map(({ spanId }) => spanId));

  const many = telemetry.begin("receive", { destination: "orders.>" });
  let reads = 0;
  const counting = () => {
    const headers = carrying(createTraceContext());
    return {
      get: (name: string) => {
        if (name === "traceparent") reads++;
        return headers.get(name);
      },
      set: () => {},
    };
  };
  many.note({ links: Array.from({ length: 1_000 }, counting) });
  many.end();
  assert.equal(last().links.length, 128);
  assert.equal(reads, 128);
});

test("work runs within the span even without a context manager", async () => {
  const { telemetry, spans } = reported();
  const outer = telemetry.begin("process", { destination: "orders" });
  await outer.run(async () => {
    await Promise.resolve();
    assert.equal(currentTrace()?.spanId, outer.trace?.spanId);
    telemetry.begin("publish", { destination: "done" }).end();
  });
  outer.end();
  const [inner, process] = spans();
  assert.equal(inner?.parentSpanContext?.spanId, process?.spanContext().spanId);
  assert.equal(inner?.spanContext().traceId, process?.spanContext().traceId);
});

test("an error is recorded without its stack, and once", () => {
  const { telemetry, spans, last } = reported();
  const error = Object.assign(new TypeError("no nats://me:secret@host"), { code: "timeout" });
  const operation = telemetry.begin("request", { destination: "orders" });
  operation.end(error);
  operation.end();
  assert.equal(spans().length, 1);
  const { status, attributes, events } = last();
  assert.deepEqual(status, { code: SpanStatusCode.ERROR, message: "no nats://***@host" });
  assert.equal(attributes["error.type"], "timeout");
  assert.deepEqual(events.map(({ name, attributes }) => [name, attributes]), [["exception", {
    "exception.type": "TypeError",
    "exception.message": "no nats://***@host",
  }]]);
});

test("a remote trace that is not sampled stays so, and one that is stays so", () => {
  for (const [ratio, sampled] of [[1, false], [0, true]] as const) {
    const { telemetry, spans } = reported(ratio);
    const sender = { ...createTraceContext(), sampled };
    const operation = telemetry.begin("process", { destination: "a", parent: carrying(sender) });
    const headers = new Map<string, string>();
    operation.run(() => telemetry.begin("publish", { destination: "b" }).inject(headers));
    operation.end();
    assert.equal(operation.trace?.sampled, sampled);
    assert.equal(extractTrace(headers)?.sampled, sampled);
    assert.equal(extractTrace(headers)?.traceId, sender.traceId);
    assert.equal(spans().length, sampled ? 1 : 0);
  }
});

test("what the SDK doesn't sample is propagated with its context", () => {
  const { telemetry, spans } = reported(0);
  const operation = telemetry.begin("publish", { destination: "orders" });
  const headers = new Map<string, string>();
  operation.inject(headers);
  operation.note({ messageId: "1" });
  operation.end(new Error("x"));
  assert.equal(spans().length, 0);
  assert.equal(extractTrace(headers)?.sampled, false);
  assert.equal(extractTrace(headers)?.spanId, operation.trace?.spanId);
});
