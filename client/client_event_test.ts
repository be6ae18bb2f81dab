import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { METRIC_NAMES } from "../trace/metric_names.ts";
import { memoryMetrics } from "../trace/testdata/in_memory_sdk.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { ClientEvent } from "./client_event.ts";
import { coreOf } from "./core.ts";
import { QUICK, untilLost, withConnected } from "./testdata/server_ground.ts";

test("a lost connection and its return, as callback and as iterable", async () => {
  await withConnected({ client: QUICK }, async ({ server, client }) => {
    const told: ClientEvent[] = [];
    const unlisten = client.onEvent((event) => told.push(event));
    client.onEvent(() => {
      throw new Error("a bad listener");
    });
    const events = client.events();
    await server.kill();
    await untilLost(client);
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
  });
});

test("a missing permission is told", async () => {
  const permissions = { publish: { deny: ["secret.>"] } };
  const config = { authorization: { users: [{ user: "a", password: "a", permissions }] } };
  const server = { config, credentials: { user: "a", pass: "a" } };
  await withConnected({ server }, async ({ client }) => {
    const events: ClientEvent[] = [];
    client.onEvent((event) => events.push(event));
    client.connection.publish("secret.x");
    const event = await waitUntil(() => events[0], { what: "the refusal is told" });
    assert.ok(event.type === "error");
    assert.match(event.error.message, /cannot publish to secret\.x: the user's permissions/);
    assert.equal((event.error as { code?: unknown }).code, "permission_denied");
    assert.equal(client.status, "connected");
  });
});

test("a native subscription that is too slow is told", async () => {
  await withConnected({}, async ({ client }) => {
    const events: ClientEvent[] = [];
    client.onEvent((event) => events.push(event));
    client.connection.subscribe("x", { slow: 3 });
    for (let i = 0; i < 5; i++) client.connection.publish("x");
    const event = await waitUntil(() => events[0], { what: "it is told" });
    assert.ok(event.type === "error");
    assert.match(event.error.message, /cannot keep up with x: 4 messages wait/);
  });
});

test("a server that is about to stop says so", {
  skip: process.platform === "win32" && "Windows has no signals",
}, async () => {
  await withConnected({}, async ({ server, client }) => {
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
  });
});

test("reconnects are counted in the metrics, and the breaker's state is a gauge", async () => {
  const memory = memoryMetrics();
  const values = async (name: string) => (await memory.points(name)).map(({ value }) => value);
  const client = {
    ...QUICK,
    breaker: { threshold: 1, initialMs: 60_000 },
    telemetry: { meterProvider: memory.provider },
  };
  try {
    await withConnected({ client }, async ({ server, client }) => {
      assert.deepEqual(await values(METRIC_NAMES.breakerState), [0]);
      await server.kill();
      await waitUntil(() => client.breaker.state === "open", { what: "the breaker is open" });
      assert.deepEqual(await values(METRIC_NAMES.breakerState), [2]);
      await server.restart();
      await client.waitForConnection();
      assert.deepEqual(await values(METRIC_NAMES.reconnects), [1]);
      assert.deepEqual(await values(METRIC_NAMES.breakerState), [0]);
    });
  } finally {
    await memory.close();
  }
});
