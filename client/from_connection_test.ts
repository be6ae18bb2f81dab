import assert from "node:assert/strict";
import { test } from "node:test";
import { connect as connectNative, type NodeConnectionOptions } from "@nats-io/transport-node";
import { METRIC_NAMES } from "../trace/metric_names.ts";
import { memoryMetrics } from "../trace/testdata/in_memory_sdk.ts";
import type { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { fromConnection } from "./from_connection.ts";
import type { NatsConnection } from "./native.ts";
import { statusListenersOf, untilLost, withServer } from "./testdata/server_ground.ts";

async function withConnection(
  use: (connection: NatsConnection, server: NatsServer) => Promise<void>,
  options: NodeConnectionOptions = {},
): Promise<void> {
  await withServer({}, async (server) => {
    const connection = await connectNative({ servers: server.url, ...options });
    try {
      await use(connection, server);
    } finally {
      await connection.close();
    }
  });
}

test("a borrowed connection outlives its clients and keeps nothing of them", async () => {
  await withConnection(async (connection) => {
    const one = await fromConnection(connection);
    const other = await fromConnection(connection);
    assert.equal(one.connection, connection);
    await one.manager();
    assert.equal(statusListenersOf(connection), 2);
    await one.close();
    assert.equal(one.status, "closed");
    assert.equal(other.status, "connected");
    assert.ok(!connection.isClosed() && !connection.isDraining());
    await assert.rejects(one.manager(), { code: "connection_closed" });
    await other.manager();
    await other.close();
    assert.equal(statusListenersOf(connection), 0);
    await connection.flush();
  });
});

test("the status follows a borrowed connection", async () => {
  await withConnection(async (connection, server) => {
    const client = await fromConnection(connection);
    await server.kill();
    await untilLost(client);
    await server.restart();
    await waitUntil(() => client.status === "connected", { what: "it is back" });
    await connection.close();
    assert.equal(client.status, "closed");
    await client.close();
  });
});

test("a connection that is closed or closing is refused", async () => {
  await withConnection(async (connection) => {
    const draining = connection.drain();
    await assert.rejects(fromConnection(connection), { code: "connection_closed" });
    await draining;
    await assert.rejects(fromConnection(connection), { code: "connection_closed" });
  });
});

test("what is no connection is refused", async () => {
  for (const value of [undefined, null, 5, {}, "nats://a", { isClosed: () => false }]) {
    await assert.rejects(fromConnection(value as unknown as NatsConnection), TypeError);
  }
});

test("a connection that is down is refused while it waits to be reopened", async () => {
  await withConnection(async (connection, server) => {
    const { protocol } = connection as unknown as { protocol: { connected: boolean } };
    await server.kill();
    await waitUntil(() => !protocol.connected, { what: "the loss is noticed" });
    assert.notEqual(connection.info, undefined);
    await assert.rejects(fromConnection(connection), { code: "not_connected" });
    assert.equal(statusListenersOf(connection), 0);
  }, { reconnectTimeWait: 60_000 });
});

test("a server that is too old is refused, and nothing of the client stays behind", async () => {
  await withConnection(async (connection) => {
    const old = new Proxy(connection, {
      get(target, key) {
        if (key === "info") return { ...target.info, version: "2.8.4" };
        const value: unknown = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const memory = memoryMetrics();
    try {
      const telemetry = { meterProvider: memory.provider };
      await assert.rejects(fromConnection(old, { telemetry }), { code: "server_too_old" });
      assert.deepEqual(await memory.points(METRIC_NAMES.breakerState), []);
      assert.equal(statusListenersOf(connection), 0);
      assert.ok(!connection.isClosed());
    } finally {
      await memory.close();
    }
  });
});
