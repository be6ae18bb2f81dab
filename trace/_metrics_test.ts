import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { metrics } from "@opentelemetry/api";
import { createTelemetry } from "./create_telemetry.ts";
import { METRIC_NAMES } from "./metric_names.ts";
import type { Telemetry } from "./telemetry.ts";
import { type MemoryMetrics, memoryMetrics } from "./testdata/in_memory_sdk.ts";

const identity = { clientName: "shop", serverAddress: "127.0.0.1", serverPort: 4222 };

async function measured(
  body: (telemetry: Telemetry, collected: MemoryMetrics) => Promise<void>,
): Promise<void> {
  const memory = memoryMetrics();
  const telemetry = createTelemetry({ tracing: false, meterProvider: memory.provider }, identity);
  try {
    await body(telemetry, memory);
  } finally {
    telemetry.close();
    await memory.close();
  }
}

const server = { "server.address": "127.0.0.1", "server.port": 4222 };
const sending = {
  "messaging.system": "nats",
  "messaging.operation.name": "publish",
  "messaging.operation.type": "send",
  ...server,
};

test("what is sent is counted and timed", () =>
  measured(async (telemetry, { points }) => {
    telemetry.begin("publish", { destination: "orders.eu" }).end();
    telemetry.begin("publish", { destination: "orders.us", batchCount: 4 }).end();
    const failed = telemetry.begin("publish", { destination: "orders.us" });
    failed.end(Object.assign(new Error("x"), { code: "timeout" }));
    failed.end();
    const failure = { ...sending, "error.type": "timeout" };
    assert.deepEqual(await points(METRIC_NAMES.sentMessages), [
      { attributes: sending, value: 5 },
      { attributes: failure, value: 1 },
    ]);
    assert.deepEqual(await points(METRIC_NAMES.operationDuration), [
      { attributes: sending, value: 2 },
      { attributes: failure, value: 1 },
    ]);
  }));

test("what is consumed counts once, when it is received or else when it is handled", () =>
  measured(async (telemetry, { points }) => {
    const group = { consumerGroup: "shipping" };
    const batch = telemetry.begin("receive", { destination: "orders.>", batchCount: 0, ...group });
    batch.note({ batchCount: 3, consumerGroup: undefined });
    batch.end();
    telemetry.begin("receive", { destination: "orders.>", batchCount: 0 }).end();
    telemetry.begin("process", { destination: "orders.eu", received: true }).end();
    telemetry.begin("process", { destination: "orders.eu", consumerGroup: "billing" }).end();
    telemetry.begin("serve", { destination: "orders.eu" }).end();
    telemetry.begin("settle", { destination: "orders.eu" }).end();
    const consumed = await points(METRIC_NAMES.consumedMessages);
    assert.deepEqual(
      consumed.map(({ attributes, value }) => [attributes["messaging.operation.name"], value]),
      [["receive", 3], ["process", 1], ["serve", 1]],
    );
    const groups = consumed.map(({ attributes }) => attributes["messaging.consumer.group.name"]);
    assert.deepEqual(groups, ["shipping", "billing", undefined]);
    assert.equal((await points(METRIC_NAMES.sentMessages)).length, 0);
    const names = (
      found: { attributes: Readonly<Record<string, unknown>> }[],
    ) => [...new Set(found.map(({ attributes }) => attributes["messaging.operation.name"]))];
    assert.deepEqual(names(await points(METRIC_NAMES.processDuration)), ["process", "serve"]);
    assert.deepEqual(names(await points(METRIC_NAMES.operationDuration)), ["receive", "settle"]);
  }));

test("durations are in seconds", () =>
  measured(async (telemetry, { collect }) => {
    const beganAt = performance.now();
    const operation = telemetry.begin("request", { destination: "quote" });
    const runsSince = performance.now();
    while (performance.now() - runsSince < 3);
    operation.end();
    const seconds = (performance.now() - beganAt) / 1_000;
    const point = (await collect()).get(METRIC_NAMES.operationDuration)?.dataPoints[0];
    const { sum = 0 } = point?.value as { sum?: number };
    assert.ok(sum > 0.002 && sum <= seconds, `${sum} of ${seconds} s`);
  }));

test("subjects are attributes by their template, lest each be a series of its own", () =>
  measured(async (telemetry, { points }) => {
    const template = "orders.{region}";
    for (let i = 0; i < 3; i++) {
      telemetry.begin("publish", { destination: `orders.${i}`, template }).end();
      telemetry.begin("publish", { destination: `jobs.${i}` }).end();
    }
    telemetry.begin("publish", { destination: "done", template: "done" }).end();
    const sent = await points(METRIC_NAMES.sentMessages);
    assert.deepEqual(
      sent.map(({ attributes, value }) => [
        attributes["messaging.destination.template"],
        attributes["messaging.destination.name"],
        value,
      ]),
      [[template, undefined, 3], [undefined, undefined, 3], ["done", "done", 1]],
    );
  }));

test("what is counted has the client and further attributes", () =>
  measured(async (telemetry, { points }) => {
    const client = { "messaging.system": "nats", "messaging.client.id": "shop" };
    telemetry.count("reconnects");
    telemetry.count("redeliveries", 3, { "messaging.consumer.group.name": "billing" });
    telemetry.count("handlerErrors", 2);
    telemetry.count("fetchErrors");
    assert.deepEqual(await points(METRIC_NAMES.reconnects), [{ attributes: client, value: 1 }]);
    assert.deepEqual(await points(METRIC_NAMES.redeliveries), [
      { attributes: { ...client, "messaging.consumer.group.name": "billing" }, value: 3 },
    ]);
    assert.equal((await points(METRIC_NAMES.handlerErrors))[0]?.value, 2);
    assert.equal((await points(METRIC_NAMES.fetchErrors))[0]?.value, 1);
  }));

test("a gauge is the sum of its readers until each has ended", () =>
  measured(async (telemetry, { points }) => {
    const values = async () => (await points(METRIC_NAMES.inFlight)).map(({ value }) => value);
    const read = () => 2;
    const endFirst = telemetry.gauge("inFlight", read);
    const endSecond = telemetry.gauge("inFlight", read);
    telemetry.gauge("inFlight", () => NaN);
    const endBroken = telemetry.gauge("inFlight", () => {
      throw new Error("closed");
    });
    assert.deepEqual(await values(), [4]);
    endFirst();
    endFirst();
    endBroken();
    assert.deepEqual(await values(), [2]);
    endSecond();
    telemetry.gauge("breakerState", () => 1);
    assert.equal((await points(METRIC_NAMES.breakerState))[0]?.value, 1);
  }));

test("a gauge that has ended is not read again, and may be opened again", () =>
  measured(async (telemetry, { points }) => {
    let reads = 0;
    const end = telemetry.gauge("knownStreams", () => ++reads);
    await points(METRIC_NAMES.knownStreams);
    end();
    await points(METRIC_NAMES.knownStreams);
    assert.equal(reads, 1);
    const endSecond = telemetry.gauge("knownStreams", () => 7);
    end();
    assert.equal((await points(METRIC_NAMES.knownStreams))[0]?.value, 7);
    endSecond();
  }));

test("a series that has ended is collected as 0, since SDKs go on with its last value", () =>
  measured(async (telemetry, { points }) => {
    const values = async () =>
      (await points(METRIC_NAMES.activeSubscriptions)).map(({ value }) => value);
    const endFirst = telemetry.gauge("activeSubscriptions", () => 1);
    const endSecond = telemetry.gauge("activeSubscriptions", () => 1);
    assert.deepEqual(await values(), [2]);
    endFirst();
    endSecond();
    assert.deepEqual(await values(), [0]);
    telemetry.gauge("activeSubscriptions", () => 3);
    assert.deepEqual(await values(), [3]);
    telemetry.close();
    assert.deepEqual(await values(), [0]);
    assert.deepEqual(await values(), [0]);
  }));

test("messages are in flight from the begin of their handling to its end", () =>
  measured(async (telemetry, { points }) => {
    const values = async () => {
      const found = await points(METRIC_NAMES.inFlight);
      return Object.fromEntries(
        found.map(({ attributes, value }) => [attributes["messaging.operation.name"], value]),
      );
    };
    const details = { destination: "orders.eu", template: "orders.{region}" };
    telemetry.gauge("inFlight", () => 7);
    telemetry.begin("publish", details); // publishers have a gauge of their own
    const first = telemetry.begin("process", { ...details, consumerGroup: "billing" });
    const second = telemetry.begin("process", { ...details, consumerGroup: "billing" });
    const served = telemetry.begin("serve", details);
    assert.deepEqual(await values(), { publish: 7, process: 2, serve: 1 });
    first.end(new Error("x"));
    first.end();
    assert.throws(() => served.run(() => assert.fail("thrown")));
    served.end();
    assert.deepEqual(await values(), { publish: 7, process: 1, serve: 0 });
    assert.deepEqual((await points(METRIC_NAMES.inFlight))[1]?.attributes, {
      "messaging.system": "nats",
      "messaging.client.id": "shop",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.template": "orders.{region}",
      "messaging.consumer.group.name": "billing",
    });
    second.end();
    assert.deepEqual(await values(), { publish: 7, process: 0, serve: 0 });
  }));

test("a handler that outlives its operation is in flight until it ends", () =>
  measured(async (telemetry, { points }) => {
    const value = async () => (await points(METRIC_NAMES.inFlight))[0]?.value;
    for (const settle of ["resolve", "reject"] as const) {
      const work = Promise.withResolvers<void>();
      const operation = telemetry.begin("process", { destination: "orders.eu" });
      const result = operation.run(() => work.promise);
      operation.end(new Error("deadline"));
      assert.equal(await value(), 1);
      work[settle]();
      await result.catch(() => {});
      assert.equal(await value(), 0);
      await operation.run(() => Promise.resolve()); // too late to count
      operation.end();
      assert.equal(await value(), 0, "never below 0");
    }
  }));

test("more kinds of message than there may be series are in flight all the same", () =>
  measured(async (telemetry, { points }) => {
    const operations = Array.from({ length: 1_100 }, (_, index) => {
      return telemetry.begin("process", { destination: "a", template: `orders.${index}` });
    });
    const sum = (found: { readonly value: unknown }[]) =>
      found.reduce((total, { value }) => total + (value as number), 0);
    const found = await points(METRIC_NAMES.inFlight);
    assert.equal(sum(found), 1_100);
    assert.equal(found.length, 1_025);
    for (const operation of operations) operation.end();
    assert.equal(sum(await points(METRIC_NAMES.inFlight)), 0);
  }));

test("close ends all gauges for good", () =>
  measured(async (telemetry, { points }) => {
    let reads = 0;
    telemetry.gauge("activeConsumers", () => ++reads);
    telemetry.close();
    telemetry.close();
    telemetry.gauge("activeConsumers", () => ++reads)();
    telemetry.gauge("activeSubscriptions", () => ++reads);
    await points(METRIC_NAMES.activeConsumers);
    assert.equal(reads, 0);
  }));

test("the registered provider is used when none is given", async () => {
  const memory = memoryMetrics();
  assert.ok(metrics.setGlobalMeterProvider(memory.provider));
  try {
    createTelemetry({ tracing: false }, identity).begin("publish", { destination: "a" }).end();
    assert.equal((await memory.points(METRIC_NAMES.sentMessages))[0]?.value, 1);
  } finally {
    metrics.disable();
    await memory.close();
  }
});

test("metrics are not recorded when they are off", async () => {
  const memory = memoryMetrics();
  try {
    const options = { metrics: false, meterProvider: memory.provider };
    const telemetry = createTelemetry(options, identity);
    telemetry.begin("publish", { destination: "a" }).end();
    telemetry.count("reconnects");
    telemetry.gauge("inFlight", () => 1);
    assert.equal((await memory.collect()).size, 0);
  } finally {
    await memory.close();
  }
});

test("all metrics are as the table says", () =>
  measured(async (telemetry, { collect }) => {
    for (const kind of ["publish", "process"] as const) {
      telemetry.begin(kind, { destination: "a" }).end();
    }
    for (const name of ["fetchErrors", "handlerErrors", "reconnects", "redeliveries"] as const) {
      telemetry.count(name);
    }
    telemetry.gauge("activeConsumers", () => 1);
    telemetry.gauge("activeSubscriptions", () => 1);
    telemetry.gauge("breakerState", () => 1);
    telemetry.gauge("inFlight", () => 1);
    telemetry.gauge("knownStreams", () => 1);
    const kinds = ["histogram", "exponential histogram", "gauge", "counter"];
    const seen = [...(await collect()).values()].map(({ descriptor, dataPointType }) =>
      `${descriptor.name} ${kinds[dataPointType]} ${descriptor.unit}`
    );
    const source = await readFile(new URL("./metric_names.ts", import.meta.url), "utf8");
    const rows = source.matchAll(/^ \* \| `([\w.]+)` \| (\w+) \| `(.+?)` \|/gm);
    const documented = [...rows].map(([, name, kind, unit]) => `${name} ${kind} ${unit}`);
    assert.deepEqual(seen.sort(), documented.sort());
    assert.equal(documented.length, Object.keys(METRIC_NAMES).length);
  }));
