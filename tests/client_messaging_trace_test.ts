import assert from "node:assert/strict";
import { test } from "node:test";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { memoryTracing } from "../trace/testdata/in_memory_sdk.ts";
import type { ClientCore } from "../client/core.ts";
import { endpoint } from "../client/endpoint.ts";
import { publish } from "../client/publish.ts";
import { request } from "../client/request.ts";
import { requestMany } from "../client/request_many.ts";
import { serve } from "../client/serve.ts";
import { ServiceError } from "../client/service_error.ts";
import { subject } from "../client/subject.ts";
import { subscribe } from "../client/subscribe.ts";
import { withConnected } from "../client/testdata/server_ground.ts";
import { text } from "../client/text.ts";

const Shout = endpoint("shout.{who}", { request: text(), reply: text() });
const Events = subject("events.{kind}", text());

async function withSpans(
  use: (core: ClientCore, spans: () => ReadableSpan[]) => Promise<void>,
): Promise<void> {
  const { provider: tracerProvider, spans } = memoryTracing();
  try {
    await withConnected(
      { client: { telemetry: { tracerProvider } } },
      ({ core }) => use(core, spans),
    );
  } finally {
    await tracerProvider.shutdown();
  }
}

function one(spans: readonly ReadableSpan[], kind: SpanKind): ReadableSpan {
  const found = spans.filter((span) => span.kind === kind);
  assert.equal(found.length, 1, `${found.length} spans of kind ${kind}`);
  return found[0]!;
}

test("a publish and its handler are two spans of one trace", async () => {
  await withSpans(async (core, spans) => {
    const options = { queue: "workers" };
    const events = await subscribe(core, Events, options, () => {
      throw new Error("no");
    });
    await publish(core, Events.with({ kind: "a" }), "x");
    await events.drain();
    const sent = one(spans(), SpanKind.PRODUCER);
    const handled = one(spans(), SpanKind.CONSUMER);
    assert.equal(handled.spanContext().traceId, sent.spanContext().traceId);
    assert.equal(sent.status.code, SpanStatusCode.UNSET);
    assert.equal(handled.status.code, SpanStatusCode.ERROR);
    assert.equal(handled.attributes["messaging.system"], "nats");
    assert.equal(handled.attributes["messaging.destination.template"], "events.{kind}");
    assert.equal(handled.attributes["messaging.consumer.group.name"], "workers");
  });
});

test("a request and its service are two spans, and both know of an error", async () => {
  await withSpans(async (core, spans) => {
    const service = await serve(core, Shout, (value) => {
      if (value === "bad") throw new ServiceError("invalid", "no");
      return value;
    });
    await request(core, Shout.with({ who: "a" }), "good");
    const before = spans().length;
    assert.equal(before, 2);
    const [asked, served] = [one(spans(), SpanKind.CLIENT), one(spans(), SpanKind.SERVER)];
    assert.equal(served.spanContext().traceId, asked.spanContext().traceId);
    assert.equal(served.parentSpanContext?.spanId, asked.spanContext().spanId);
    assert.deepEqual([asked.status.code, served.status.code], [0, 0]);
    await assert.rejects(request(core, Shout.with({ who: "a" }), "bad"), { code: "remote_error" });
    const failed = spans().slice(before);
    assert.deepEqual(failed.map(({ status }) => status.code), [2, 2]);
    await service.drain();
  });
});

test("every attempt of a request is a span, a loop over replies that is left ends its span", async () => {
  await withSpans(async (core, spans) => {
    const attempt = request(core, Shout.with({ who: "a" }), "x", { retry: { delaysMs: [1, 1] } });
    await assert.rejects(attempt, { code: "no_responders" });
    assert.equal(spans().length, 3);
    assert.ok(spans().every(({ status }) => status.code === SpanStatusCode.ERROR));
    const service = await serve(core, Shout, (value) => value);
    for await (const _ of requestMany(core, Shout.with({ who: "a" }), "x")) break;
    await service.drain();
    const later = spans().slice(3);
    assert.equal(one(later, SpanKind.CLIENT).status.code, SpanStatusCode.UNSET);
    assert.equal(later.length, 2);
  });
});
