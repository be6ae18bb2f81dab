import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { Health } from "./health.ts";
import { QUICK, untilLost, withClient, withConnected } from "./testdata/server_ground.ts";

function outline({ ok, status, jetstream }: Health): unknown[] {
  return [ok, status, jetstream];
}

test("a healthy server", async () => {
  await withConnected({ client: QUICK }, async ({ client, server }) => {
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
  await withConnected({ server: { jetstream: false }, client: QUICK }, async ({ client }) => {
    assert.deepEqual(outline(await client.health()), [true, "connected", "disabled"]);
  });
  const config = {
    accounts: {
      WITH: { jetstream: "enabled", users: [{ user: "a", password: "a" }] },
      WITHOUT: { users: [{ user: "b", password: "b" }] },
    },
  };
  await withConnected(
    { server: { config, credentials: { user: "a", pass: "a" } }, client: QUICK },
    async ({ server }) => {
      await withClient({ servers: server.url, user: "b", pass: "b" }, async (other) => {
        assert.deepEqual(outline(await other.health()), [true, "connected", "disabled"]);
      });
    },
  );
});

test("JetStream without a leader is unreachable", async () => {
  const cluster = { name: "lonely", listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:1"] };
  await withConnected(
    { server: { name: "alone", config: { cluster } }, client: QUICK },
    async ({ client }) => {
      const health = await client.health({ timeoutMs: 500 });
      assert.deepEqual(outline(health), [false, "connected", "unreachable"]);
      assert.notEqual(health.rttMs, undefined);
    },
  );
});

test("a user that may not ask JetStream is not told that it is ill", async () => {
  const permissions = { publish: { deny: ["$JS.API.>"] } };
  const config = { authorization: { users: [{ user: "a", password: "a", permissions }] } };
  const credentials = { user: "a", pass: "a" };
  await withConnected(
    { server: { config, credentials, jetstream: false }, client: QUICK },
    async ({ client }) => {
      assert.equal((await client.health()).ok, true);
    },
  );
});

test("a server that does not answer, one that is gone, one that is back: no error", async () => {
  await withConnected({ client: QUICK }, async ({ client, server }) => {
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
    await untilLost(client);
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
  const breaker = { threshold: 1, initialMs: 60_000 };
  await withConnected({ client: { ...QUICK, breaker } }, async ({ client, server }) => {
    await server.kill();
    await waitUntil(() => client.breaker.state === "open", { what: "the breaker is open" });
    assert.equal((await client.health()).breaker.state, "open");
  });
});

test("the periodic check tells of changes, and of nothing else", async () => {
  const client = { ...QUICK, health: { intervalMs: 20 }, requestTimeoutMs: 200 };
  await withConnected({ client }, async ({ client, server }) => {
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
  });
});
