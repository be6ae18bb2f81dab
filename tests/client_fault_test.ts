import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import type { ClientEvent } from "../client/client_event.ts";
import type { ConnectOptions } from "../client/connect_options.ts";
import { NotConnectedError } from "../client/connection_errors.ts";
import { coreOf } from "../client/core.ts";
import { untilLost, withClient, withProxy, withServer } from "../client/testdata/server_ground.ts";
import type { FaultProxy } from "../testing/fault_proxy.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";

const ROUNDS = faultCount({ ci: 2, soak: 50 });
/** A dead peer is noticed within 300 ms, and an attempt to reconnect takes 300 ms at most. */
const QUICK: ConnectOptions = {
  pingIntervalMs: 100,
  maxPingsOut: 2,
  timeoutMs: 300,
  reconnect: { initialMs: 20, maxMs: 100 },
};

/** Runs a test with a client that notices quickly, and the events of it. */
async function withQuick(
  options: ConnectOptions,
  use: (client: Client, events: ClientEvent[]) => Promise<void>,
): Promise<void> {
  await withClient({ ...QUICK, ...options }, async (client) => {
    const events: ClientEvent[] = [];
    client.onEvent((event) => events.push(event));
    await use(client, events);
  }, { graceMs: 0 });
}

/** The same with a proxy between the client and its server. */
async function withQuickBehindProxy(
  use: (client: Client, proxy: FaultProxy) => Promise<void>,
): Promise<void> {
  await withServer({}, async ({ port }) => {
    await withProxy({ target: { port } }, async (proxy) => {
      await withQuick({ servers: proxy.url }, (client) => use(client, proxy));
    });
  });
}

/** A request that nobody will ever answer, given up with the connection. */
async function askInVain(client: Client): Promise<void> {
  const core = coreOf(client);
  const options = { timeoutMs: 60_000, failOnDisconnect: true };
  const asked = core.guard("ask", options, () => new Promise<never>(() => {}));
  await assert.rejects(asked, NotConnectedError);
}

async function works(client: Client): Promise<void> {
  await client.waitForConnection({ timeoutMs: 10_000 });
  const health = await client.health({ timeoutMs: 5_000 });
  assert.ok(health.ok, JSON.stringify(health));
  assert.equal(client.breaker.state, "closed");
}

test("a server that is killed and started again", async () => {
  await withServer({}, async (server) => {
    await withQuick({ servers: server.url }, async (client, events) => {
      for (let round = 1; round <= ROUNDS; round++) {
        const asked = askInVain(client);
        await server.kill();
        await asked;
        await untilLost(client);
        await assert.rejects(client.manager(), NotConnectedError);
        await server.restart();
        await works(client);
        assert.equal((await client.health()).reconnects, round);
      }
      const statuses = events.filter(({ type }) => type === "status");
      assert.equal(statuses.length, 2 * ROUNDS);
    });
  });
});

test("a server that is frozen is noticed by pings, and taken back when it goes on", async () => {
  await withServer({}, async (server) => {
    await withQuick({ servers: server.url }, async (client, events) => {
      for (let round = 1; round <= ROUNDS; round++) {
        events.length = 0;
        server.pause();
        try {
          await askInVain(client);
          await untilLost(client);
          const stale = events.find(({ type }) => type === "server");
          assert.ok(stale?.type === "server" && stale.what === "stale");
          assert.equal((await client.health()).ok, false);
        } finally {
          server.continue();
        }
        await works(client);
      }
    });
  });
});

test("a connection that swallows everything is noticed, and reopened when the way is free", async () => {
  await withQuickBehindProxy(async (client, proxy) => {
    for (let round = 1; round <= ROUNDS; round++) {
      proxy.halfOpen();
      await askInVain(client);
      await untilLost(client);
      const { failures } = client.breaker;
      await waitUntil(() => client.breaker.failures > failures, {
        what: "an attempt has failed",
      });
      proxy.heal();
      await works(client);
    }
  });
});

test("a connection that swallows what the server says only is noticed as well", async () => {
  await withQuickBehindProxy(async (client, proxy) => {
    proxy.drop({ direction: "toClient" });
    await untilLost(client);
    proxy.heal();
    await works(client);
  });
});

test("a connection that is reset again and again comes back each time", async () => {
  await withQuickBehindProxy(async (client, proxy) => {
    for (let round = 1; round <= ROUNDS; round++) {
      const asked = askInVain(client);
      proxy.cut();
      await asked;
      await untilLost(client);
      proxy.heal();
      await works(client);
    }
    assert.equal((await client.health()).reconnects, ROUNDS);
  });
});

test("operations that wait go out in order after a crash, each of them once", async () => {
  await withServer({}, async (server) => {
    await withQuick({ servers: server.url, offline: {} }, async (client) => {
      const core = coreOf(client);
      await withClient({ servers: server.url, ...QUICK }, async (receiver) => {
        const received: number[] = [];
        receiver.connection.subscribe("n", {
          callback: (_, msg) => void received.push(msg.json()),
        });
        for (let round = 1; round <= ROUNDS; round++) {
          received.length = 0;
          await server.kill();
          await Promise.all([untilLost(client), untilLost(receiver)]);
          const sent = Array.from({ length: 500 }, async (_, i) => {
            await core.ready("publish", { timeoutMs: 20_000, bytes: 8 });
            core.connection.publish("n", JSON.stringify(i));
          });
          await server.restart();
          // Whoever is not there yet when a message comes misses it: that is how NATS works.
          await receiver.waitForConnection({ timeoutMs: 10_000 });
          await Promise.all(sent);
          await client.connection.flush();
          await waitUntil(() => received.length === 0 || received.at(-1) === 499, {
            what: "the last one is in",
          });
          for (const [index, n] of received.entries()) assert.equal(n, received[0]! + index);
        }
      });
    });
  });
});
