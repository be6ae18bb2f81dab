import assert from "node:assert/strict";
import { test } from "node:test";
import { configure, type LogRecord, reset } from "@logtape/logtape";
import { withTrace } from "./current_trace.ts";
import { jsflowLogger } from "./log.ts";
import { createTraceContext } from "./trace_context.ts";

async function recording(body: () => void): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  await configure({
    sinks: { memory: (record) => void records.push(record) },
    loggers: [
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: [] },
      { category: ["jsflow"], lowestLevel: "debug", sinks: ["memory"] },
    ],
  });
  try {
    body();
  } finally {
    await reset();
  }
  return records;
}

test("records have the ids of the trace that they are made in, however late they are read", async () => {
  const trace = createTraceContext();
  const records = await recording(() => {
    const logger = jsflowLogger("client");
    logger.info("before");
    withTrace(trace, () => {
      logger.info("reconnected to {server}", { server: "here" });
      logger.warn`a template`;
      logger.debug("computed", () => ({ n: 1 }));
      logger.with({ part: "breaker" }).error("failed", { n: 2 });
    });
    logger.info("after");
  });
  const ids = { traceId: trace.traceId, spanId: trace.spanId };
  assert.deepEqual(records.map((record) => ({ ...record.properties })), [
    {},
    { ...ids, server: "here" },
    ids,
    { ...ids, n: 1 },
    { ...ids, part: "breaker", n: 2 },
    {},
  ]);
  assert.deepEqual(records[1]?.message, ["reconnected to ", "here", ""]);
});

test("derived loggers follow the trace too", async () => {
  const trace = createTraceContext();
  const records = await recording(() => {
    const child = jsflowLogger("client").with({ part: "breaker" }).getChild("state");
    withTrace(trace, () => child.info("open"));
    child.info("closed");
  });
  assert.deepEqual(records.map(({ category }) => category.join(".")), [
    "jsflow.client.state",
    "jsflow.client.state",
  ]);
  assert.equal(records[0]?.properties["spanId"], trace.spanId);
  assert.deepEqual({ ...records[1]?.properties }, { part: "breaker" });
});

test("without a configuration a logger is silent", () => {
  const logger = jsflowLogger("client");
  assert.deepEqual(logger.category, ["jsflow", "client"]);
  assert.equal(logger.isEnabledFor("fatal"), false);
  logger.fatal("nobody hears this");
});
