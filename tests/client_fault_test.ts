import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import type { ClientEvent } from "../client/client_event.ts";
import { connect } from "../client/connect.ts";
import type { ConnectOptions } from "../client/connect_options.ts";
import { NotConnectedError } from "../client/connection_errors.ts";
import { coreOf } from "../client/core.ts";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { NatsServer } from "../testing/nats_server.ts";
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

async function withServer(use: (server: NatsServer) => Promise<void>): Promise<void> {
  const server = await NatsServer.start();
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

async function withClient(
  options: ConnectOptions,
  use: (client: Client, events: ClientEvent[]) => Promise<void>,
): Promise<void> {
  const client = await connect({ ...QUICK, ...options });
  try {
    const events: ClientEvent[] = [];
    client.onEvent((event) => events.push(event));
    await use(client, events);
  } finally {
    await client.close({ graceMs: 0 });
  }
}

async function withProxy(use: (proxy: FaultProxy, server: NatsServer) => Promise<void>) {
  await withServer(async (server) => {
    const proxy = await FaultProxy.start({ target: { port: server.port } });
    try {
      await use(proxy, server);
    } finally {
      await proxy.close();
    }
  });
}

/** A request that nobody will ever answer, given up with the connection. */
async function askInVain(client: Client): Promise<void> {
  const core = coreOf(client);
  const options = { timeoutMs: 60_000, failOnDisconnect: true };
  const asked = core.guard("ask", options, () => new Promise<never>(() => {}));
  await assert.rejects(asked, NotConnectedError);
}

async function lost(client: Client): Promise<void> {
  await waitUntil(() => client.status === "reconnecting", { what: "the loss is noticed" });
}

async function works(client: Client): Promise<void> {
  await client.waitForConnection({ timeoutMs: 10_000 });
  const health = await client.health({ timeoutMs: 5_000 });
  assert.ok(health.ok, JSON.stringify(health));
  assert.equal(client.breaker.state, "closed");
}

test("a server that is killed and started again", async () => {
  await withServer(async (server) => {
    await withClient({ servers: server.url }, async (client, events) => {
      for (let round = 1; round <= ROUNDS; round++) {
        const asked = askInVain(client);
        await server.kill();
        await asked;
        await lost(client);
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
  await withServer(async (server) => {
    await withClient({ servers: server.url }, async (client, events) => {
      for (let round = 1; round <= ROUNDS; round++) {
        events.length = 0;
        server.pause();
        try {
          await askInVain(client);
          await lost(client);
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
  await withProxy(async (proxy) => {
    await withClient({ servers: proxy.url }, async (client) => {
      for (let round = 1; round <= ROUNDS; round++) {
        proxy.halfOpen();
        await askInVain(client);
        await lost(client);
        const { failures } = client.breaker;
        await waitUntil(() => client.breaker.failures > failures, {
          what: "an attempt has failed",
        });
        proxy.heal();
        await works(client);
      }
    });
  });
});

test("a connection that swallows what the server says only is noticed as well", async () => {
  await withProxy(async (proxy) => {
    await withClient({ servers: proxy.url }, async (client) => {
      proxy.drop({ direction: "toClient" });
      await lost(client);
      proxy.heal();
      await works(client);
    });
  });
});

test("a connection that is reset again and again comes back each time", async () => {
  await withProxy(async (proxy) => {
    await withClient({ servers: proxy.url }, async (client) => {
      for (let round = 1; round <= ROUNDS; round++) {
        const asked = askInVain(client);
        proxy.cut();
        await asked;
        await lost(client);
        proxy.heal();
        await works(client);
      }
      assert.equal((await client.health()).reconnects, ROUNDS);
    });
  });
});

test("operations that wait go out in order after a crash, each of them once", async () => {
  await withServer(async (server) => {
    await withClient({ servers: server.url, offline: {} }, async (client) => {
      const core = coreOf(client);
      const receiver = await connect({ servers: server.url, ...QUICK });
      try {
        const received: number[] = [];
        receiver.connection.subscribe("n", {
          callback: (_, msg) => void received.push(msg.json()),
        });
        for (let round = 1; round <= ROUNDS; round++) {
          received.length = 0;
          await server.kill();
          await Promise.all([lost(client), lost(receiver)]);
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
      } finally {
        await receiver.close();
      }
    });
  });
});
