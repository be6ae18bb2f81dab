import assert from "node:assert/strict";
import { test } from "node:test";
import { SpanStatusCode } from "@opentelemetry/api";
import { createTelemetry } from "../trace/create_telemetry.ts";
import { memoryTracing } from "../trace/testdata/in_memory_sdk.ts";
import { endFailed } from "./_end_failed.ts";

test("an operation that was aborted without a reason has failed all the same", () => {
  const tracing = memoryTracing();
  const options = { tracerProvider: tracing.provider, metrics: false };
  const telemetry = createTelemetry(options, { clientName: "test" });
  const errors = [new Error("no"), "no", null, undefined];
  for (const error of errors) {
    endFailed(telemetry.begin("request", { destination: "a" }), error);
  }
  const codes = tracing.spans().map(({ status }) => status.code);
  assert.deepEqual(codes, errors.map(() => SpanStatusCode.ERROR));
});
