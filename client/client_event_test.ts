import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { ClientEvent } from "./client_event.ts";
import { connect } from "./connect.ts";
import { coreOf } from "./core.ts";

type NatsServerOptions = NonNullable<Parameters<typeof NatsServer.start>[0]>;

async function withServer(
  options: NatsServerOptions,
  use: (server: NatsServer) => Promise<void>,
): Promise<void> {
  const server = await NatsServer.start(options);
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

test("a lost connection and its return, as callback and as iterable", async () => {
  await withServer({}, async (server) => {
    const client = await connect({ servers: server.url, reconnect: { initialMs: 20, maxMs: 50 } });
    try {
      const told: ClientEvent[] = [];
      const unlisten = client.onEvent((event) => told.push(event));
      client.onEvent(() => {
        throw new Error("a bad listener");
      });
      const events = client.events();
      await server.kill();
      await waitUntil(() => client.status === "reconnecting", { what: "the loss is noticed" });
      await server.restart();
      const read: ClientEvent[] = [];
      for await (const event of events) {
        read.push(event);
        if (event.type === "status" && event.status === "connected") break;
      }
      const statuses = read.filter(({ type }) => type === "status");
      assert.deepEqual(statuses, [
        { type: "status", status: "reconnecting", previous: "connected" },
        { type: "status", status: "connected", previous: "reconnecting" },
      ]);
      assert.deepEqual(told, read);
      unlisten();
      coreOf(client).emit({ type: "error", error: new Error("later") });
      assert.deepEqual(told, read);
    } finally {
      await client.close();
    }
  });
});

test("a missing permission is told", async () => {
  const permissions = { publish: { deny: ["secret.>"] } };
  const config = { authorization: { users: [{ user: "a", password: "a", permissions }] } };
  await withServer({ config, credentials: { user: "a", pass: "a" } }, async (server) => {
    const client = await connect(server.connectOptions);
    try {
      const events: ClientEvent[] = [];
      client.onEvent((event) => events.push(event));
      client.connection.publish("secret.x");
      const event = await waitUntil(() => events[0], { what: "the refusal is told" });
      assert.ok(event.type === "error");
      assert.match(event.error.message, /cannot publish to secret\.x: the user's permissions/);
      assert.equal((event.error as { code?: unknown }).code, "permission_denied");
      assert.equal(client.status, "connected");
    } finally {
      await client.close();
    }
  });
});

test("a native subscription that is too slow is told", async () => {
  await withServer({}, async (server) => {
    const client = await connect({ servers: server.url });
    try {
      const events: ClientEvent[] = [];
      client.onEvent((event) => events.push(event));
      client.connection.subscribe("x", { slow: 3 });
      for (let i = 0; i < 5; i++) client.connection.publish("x");
      const event = await waitUntil(() => events[0], { what: "it is told" });
      assert.ok(event.type === "error");
      assert.match(event.error.message, /cannot keep up with x: 4 messages wait/);
    } finally {
      await client.close();
    }
  });
});

test("a server that is about to stop says so", {
  skip: process.platform === "win32" && "Windows has no signals",
}, async () => {
  await withServer({}, async (server) => {
    const client = await connect({ servers: server.url });
    try {
      const events: ClientEvent[] = [];
      client.onEvent((event) => events.push(event));
      process.kill(server.pid, "SIGUSR2"); // lame duck mode
      const event = await waitUntil(() => events.find(({ type }) => type === "server"), {
        what: "the warning is told",
      });
      assert.deepEqual(event, {
        type: "server",
        what: "lame_duck",
        server: `127.0.0.1:${server.port}`,
      });
    } finally {
      await client.close();
    }
  });
});

test("reconnects are counted in the metrics, and the breaker's state is a gauge", async () => {
  const {
    MeterProvider,
    AggregationTemporality,
    InMemoryMetricExporter,
    PeriodicExportingMetricReader,
  } = await import("@opentelemetry/sdk-metrics");
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const values = async (part: string) => {
    await reader.forceFlush();
    const scopes = exporter.getMetrics().at(-1)?.scopeMetrics ?? [];
    const metrics = scopes.flatMap(({ metrics }) => metrics);
    const found = metrics.filter(({ descriptor }) => descriptor.name.includes(part));
    return found.flatMap(({ dataPoints }) => dataPoints.map(({ value }) => value));
  };
  await withServer({}, async (server) => {
    const client = await connect({
      servers: server.url,
      reconnect: { initialMs: 20, maxMs: 50 },
      breaker: { threshold: 1, initialMs: 60_000 },
      telemetry: { meterProvider },
    });
    try {
      assert.deepEqual(await values("breaker"), [0]);
      await server.kill();
      await waitUntil(() => client.breaker.state === "open", { what: "the breaker is open" });
      assert.deepEqual(await values("breaker"), [2]);
      await server.restart();
      await client.waitForConnection();
      assert.deepEqual(await values("reconnect"), [1]);
      assert.deepEqual(await values("breaker"), [0]);
    } finally {
      await client.close();
      await meterProvider.shutdown();
    }
  });
});
