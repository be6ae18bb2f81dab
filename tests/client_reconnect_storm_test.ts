import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { AckPolicy } from "@nats-io/jetstream";
import type { Client } from "../client/client.ts";
import { connect } from "../client/connect.ts";
import { connectionsOf, statusListenersOf } from "../client/testdata/server_ground.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";

const CLIENTS = faultCount({ ci: 20, soak: 200 });
const RESTARTS = faultCount({ ci: 3, soak: 20 });
const WAIT = { timeoutMs: 60_000 };

/** What keeps this process alive, by kind; undefined where the runtime does not tell. */
function activeResources(): Readonly<Record<string, number>> | undefined {
  const tell = (process as Partial<typeof process>).getActiveResourcesInfo;
  if (typeof tell !== "function" || process.versions["bun"] !== undefined) return undefined;
  const counts: Record<string, number> = {};
  for (const kind of tell.call(process)) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

async function consumers(client: Client): Promise<number> {
  const manager = await client.manager();
  return (await manager.streams.info("STORM")).state.consumer_count;
}

async function start(server: NatsServer, index: number): Promise<Client> {
  const client = await connect({
    servers: server.url,
    name: `storm ${index}`,
    reconnect: { initialMs: 50, maxMs: 500 },
    health: { intervalMs: 500 },
    timeoutMs: 20_000,
  });
  client.connection.subscribe(`storm.core.${index}`, { callback: () => {} });
  const manager = await client.manager(WAIT);
  await manager.consumers.add("STORM", {
    durable_name: `c${index}`,
    ack_policy: AckPolicy.Explicit,
  });
  return client;
}

/** Each client is connected once, with its subscriptions and no others, and works. */
async function allBack(server: NatsServer, clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map((client) => client.waitForConnection(WAIT)));
  await Promise.all(clients.map((client) => client.jetstream.publish("storm.stored", "x")));
  const found = await connectionsOf(server);
  assert.equal(found.length, clients.length);
  // The subscription of its own, and the one for replies.
  for (const { subscriptions } of found) assert.equal(subscriptions, 2);
  for (const client of clients) assert.equal(statusListenersOf(client.connection), 1);
  assert.equal(await consumers(clients[0]!), clients.length);
}

test(`${CLIENTS} clients reconnect through ${RESTARTS} restarts and leak nothing`, async () => {
  const server = await NatsServer.start();
  const before = activeResources();
  const clients: Client[] = [];
  try {
    const first = await connect({ servers: server.url });
    const manager = await first.manager();
    await manager.streams.add({ name: "STORM", subjects: ["storm.stored"] });
    await first.close();
    for (let i = 0; i < CLIENTS; i++) clients.push(await start(server, i));
    const events = clients.map((client) => client.events());
    const statuses: number[] = clients.map(() => 0);
    const reading = events.map(async (stream, i) => {
      for await (const { type } of stream) if (type === "status") statuses[i]! += 1;
    });
    await allBack(server, clients);
    const steady = activeResources();
    for (let round = 1; round <= RESTARTS; round++) {
      await server.kill();
      await waitUntil(() => clients.every(({ status }) => status === "reconnecting"), {
        what: "all have noticed",
      });
      await server.restart();
      await allBack(server, clients);
    }
    for (const client of clients) {
      assert.equal((await client.health(WAIT)).reconnects, RESTARTS);
    }
    await waitUntil(() => noMore(activeResources(), steady), {
      what: "no more sockets and timers than before the restarts",
    });
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(reading);
    // Lost and back for each restart, then draining and closed.
    assert.deepEqual(statuses, clients.map(() => 2 * RESTARTS + 2));
    for (const client of clients) assert.equal(statusListenersOf(client.connection), 0);
    await waitUntil(async () => (await connectionsOf(server)).length === 0, {
      what: "all are gone",
    });
    await waitUntil(() => noMore(activeResources(), before), {
      what: "no socket or timer is left",
    });
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await server.close();
  }
});

/** Timers and sockets only: what the runtime and the test itself hold comes and goes. */
function noMore(
  now: Readonly<Record<string, number>> | undefined,
  then: Readonly<Record<string, number>> | undefined,
): boolean {
  if (now === undefined || then === undefined) return true;
  // The wait itself holds two timers; connections to the monitoring pages are kept for a while.
  const spare: Readonly<Record<string, number>> = { Timeout: 2, TCPSocketWrap: 4 };
  return Object.entries(spare).every(([kind, more]) =>
    (now[kind] ?? 0) <= (then[kind] ?? 0) + more
  );
}
