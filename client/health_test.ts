import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";
import type { ConnectOptions } from "./connect_options.ts";
import type { Health } from "./health.ts";

type NatsServerOptions = NonNullable<Parameters<typeof NatsServer.start>[0]>;

async function withClient(
  serverOptions: NatsServerOptions,
  use: (client: Client, server: NatsServer) => Promise<void>,
  options: ConnectOptions = {},
): Promise<void> {
  const server = await NatsServer.start(serverOptions);
  try {
    const reconnect = { initialMs: 20, maxMs: 50 };
    const client = await connect({ ...server.connectOptions, reconnect, ...options });
    try {
      await use(client, server);
    } finally {
      await client.close();
    }
  } finally {
    await server.close();
  }
}

function outline({ ok, status, jetstream }: Health): unknown[] {
  return [ok, status, jetstream];
}

test("a healthy server", async () => {
  await withClient({}, async (client, server) => {
    const health = await client.health();
    assert.deepEqual(outline(health), [true, "connected", "ok"]);
    assert.ok(health.rttMs !== undefined && health.rttMs >= 0);
    assert.equal(health.serverVersion, server.version);
    assert.equal(health.failures, 0);
    assert.equal(health.reconnects, 0);
    assert.equal(health.lastFailure, undefined);
    assert.equal(health.breaker.state, "closed");
  });
});

test("JetStream switched off is no illness", async () => {
  await withClient({ jetstream: false }, async (client) => {
    assert.deepEqual(outline(await client.health()), [true, "connected", "disabled"]);
  });
  const config = {
    accounts: {
      WITH: { jetstream: "enabled", users: [{ user: "a", password: "a" }] },
      WITHOUT: { users: [{ user: "b", password: "b" }] },
    },
  };
  await withClient({ config, credentials: { user: "a", pass: "a" } }, async (_, server) => {
    const other = await connect({ servers: server.url, user: "b", pass: "b" });
    try {
      assert.deepEqual(outline(await other.health()), [true, "connected", "disabled"]);
    } finally {
      await other.close();
    }
  });
});

test("JetStream without a leader is unreachable", async () => {
  const cluster = { name: "lonely", listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:1"] };
  await withClient({ name: "alone", config: { cluster } }, async (client) => {
    const health = await client.health({ timeoutMs: 500 });
    assert.deepEqual(outline(health), [false, "connected", "unreachable"]);
    assert.notEqual(health.rttMs, undefined);
  });
});

test("a user that may not ask JetStream is not told that it is ill", async () => {
  const permissions = { publish: { deny: ["$JS.API.>"] } };
  const config = { authorization: { users: [{ user: "a", password: "a", permissions }] } };
  const credentials = { user: "a", pass: "a" };
  await withClient({ config, credentials, jetstream: false }, async (client) => {
    assert.equal((await client.health()).ok, true);
  });
});

test("a server that does not answer, one that is gone, one that is back: no error", async () => {
  await withClient({}, async (client, server) => {
    server.pause();
    try {
      const health = await client.health({ timeoutMs: 100 });
      assert.deepEqual(outline(health), [false, "connected", "unreachable"]);
      assert.equal(health.rttMs, undefined);
      const controller = new AbortController();
      const aborted = client.health({ signal: controller.signal });
      controller.abort(new Error("not needed"));
      await assert.rejects(aborted, /not needed/);
      assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    } finally {
      server.continue();
    }
    await server.kill();
    await waitUntil(() => client.status === "reconnecting", { what: "the loss is noticed" });
    const health = await client.health();
    assert.deepEqual(outline(health), [false, "reconnecting", "unreachable"]);
    assert.ok(health.failures >= 1);
    assert.match(health.lastFailure?.error.message ?? "", /cannot/);
    await server.restart();
    await client.waitForConnection();
    const back = await client.health();
    assert.deepEqual(outline(back), [true, "connected", "ok"]);
    assert.equal(back.reconnects, 1);
    assert.ok(back.lastFailure!.at <= new Date());
    await client.close();
    assert.deepEqual(outline(await client.health()), [false, "closed", "unreachable"]);
  });
});

test("health is asked whatever the breaker says", async () => {
  await withClient({}, async (client, server) => {
    await server.kill();
    await waitUntil(() => client.breaker.state === "open", { what: "the breaker is open" });
    assert.equal((await client.health()).breaker.state, "open");
  }, { breaker: { threshold: 1, initialMs: 60_000 } });
});

test("the periodic check tells of changes, and of nothing else", async () => {
  await withClient({}, async (client, server) => {
    const found: Health[] = [];
    client.onEvent((event) => event.type === "health" && found.push(event.health));
    const checked = () => client.connection.stats().outMsgs;
    await waitUntil(() => checked() >= 3, { what: "some checks were made" });
    assert.ok(found.length <= 1);
    await server.kill();
    await waitUntil(() => found.some(({ ok }) => !ok), { what: "the loss is told" });
    await server.restart();
    await client.waitForConnection();
    await waitUntil(() => found.at(-1)?.ok, { what: "the return is told" });
    const texts = found.map((health) => JSON.stringify([outline(health), health.breaker.state]));
    for (const [index, text] of texts.entries()) assert.notEqual(text, texts[index + 1]);
    server.pause();
    try {
      await waitUntil(() => found.at(-1)?.rttMs === undefined, { what: "the freeze is told" });
      assert.equal(found.at(-1)?.status, "connected");
    } finally {
      server.continue();
    }
  }, { health: { intervalMs: 20 }, requestTimeoutMs: 200 });
});
