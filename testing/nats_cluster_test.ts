import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { NatsCluster, type NatsClusterOptions } from "./nats_cluster.ts";
import type { NatsServer } from "./nats_server.ts";
import { waitUntil } from "./wait_until.ts";

const TEST_TIMEOUT_MS = 120_000;
/** A leader without a majority steps down some 20 seconds after it lost contact. */
const STEP_DOWN_MS = 60_000;

async function withCluster(
  options: NatsClusterOptions,
  run: (cluster: NatsCluster) => Promise<void>,
): Promise<void> {
  const cluster = await NatsCluster.start(options);
  try {
    await run(cluster);
  } finally {
    await cluster.close();
  }
}

/** Connects to one node and to no other that the node may tell of. */
async function withNode<T>(
  node: NatsServer,
  run: (nc: NatsConnection) => Promise<T>,
): Promise<T> {
  const nc = await connect({ servers: node.url, ignoreClusterUpdates: true });
  try {
    return await run(nc);
  } finally {
    await nc.close();
  }
}

async function addStream(node: NatsServer): Promise<void> {
  await withNode(node, async (nc) => {
    const jsm = await jetstreamManager(nc);
    await waitUntil(() => jsm.streams.add({ name: "S", subjects: ["s"], num_replicas: 3 }), {
      what: "the stream is placed", // a request may be lost while leaders change
      timeoutMs: 30_000,
    });
  });
}

/** Publishes once, with as many attempts as it takes until there is a leader. */
async function publish(node: NatsServer, id: string): Promise<void> {
  await withNode(node, async (nc) => {
    const js = jetstream(nc, { timeout: 2_000 });
    await waitUntil(() => js.publish("s", id, { msgID: id }), {
      what: `${id} is stored`,
      timeoutMs: 30_000,
      intervalMs: 100,
    });
  });
}

async function countMessages(node: NatsServer): Promise<number> {
  return await withNode(node, async (nc) => {
    return (await (await jetstreamManager(nc)).streams.info("S")).state.messages;
  });
}

test("a cluster forms, and a node can be stopped and restarted", {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  await withCluster({ size: 3, name: "trio" }, async (cluster) => {
    const [first, second] = cluster.nodes as [NatsServer, NatsServer, NatsServer];
    assert.deepEqual(cluster.urls, cluster.nodes.map((node) => node.url));
    await addStream(first);
    await publish(second, "one");
    const leader = await cluster.leaderOf("S");
    assert.ok(cluster.nodes.includes(leader));
    await cluster.stopNode(leader);
    assert.equal(leader.isRunning, false);
    const successor = await cluster.leaderOf("S", { timeoutMs: 30_000 });
    assert.notEqual(successor, leader);
    await publish(successor, "two");
    await cluster.restartNode(leader);
    await cluster.ready();
    assert.equal(await countMessages(leader), 2);
  });
});

test("a node that is cut off loses its leadership, the others go on, and it catches up", {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  await withCluster({}, async (cluster) => {
    await addStream(cluster.nodes[0]!);
    const leader = await cluster.leaderOf("S");
    await publish(leader, "before");
    cluster.cut(leader);
    const successor = await cluster.leaderOf("S", { timeoutMs: 30_000 });
    assert.notEqual(successor, leader);
    await publish(successor, "during");
    await waitUntil(async () => await cluster.leaderSeenBy(leader, "S") !== leader, {
      what: "the minority has lost its leader",
      timeoutMs: STEP_DOWN_MS,
      intervalMs: 100,
    });
    await withNode(leader, async (nc) => {
      await assert.rejects(jetstream(nc, { timeout: 500 }).publish("s", "lost"));
    });
    cluster.heal(leader);
    await cluster.ready();
    assert.equal(await countMessages(leader), 2);
  });
});

test("links belong to two nodes of the cluster", { timeout: TEST_TIMEOUT_MS }, async () => {
  await withCluster({ size: 2, jetstream: false }, async (cluster) => {
    const [a, b] = cluster.nodes as [NatsServer, NatsServer];
    assert.ok(cluster.link(a, b).connections + cluster.link(b, a).connections > 0);
    assert.throws(() => cluster.link(a, a), RangeError);
    assert.throws(() => cluster.cut({} as NatsServer), /no node of this cluster/);
    cluster.cut(a);
    assert.ok(cluster.link(a, b).isCut && cluster.link(b, a).isCut);
    cluster.heal(a);
    await cluster.ready();
  });
});

test("a cluster closes while its servers' connections fail", {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  for (let round = 0; round < 6; round++) {
    await withCluster({ size: 2, jetstream: false }, async (cluster) => {
      cluster.cut(cluster.nodes[0]!);
      cluster.heal(cluster.nodes[0]!);
      await cluster.ready();
    });
  }
});

test("a cluster that can't start leaves nothing behind and says why", async () => {
  await assert.rejects(NatsCluster.start({ config: { nonsense: 1 } }), /ended early.*nonsense/s);
});

test("options that make no sense are refused", async () => {
  await assert.rejects(NatsCluster.start({ size: 1 }), RangeError);
  await assert.rejects(NatsCluster.start({ size: 2.5 }), RangeError);
  await assert.rejects(NatsCluster.start({ port: 65_535 }), RangeError);
  await assert.rejects(NatsCluster.start({ config: { cluster: {} } }), /config\.cluster/);
  await assert.rejects(NatsCluster.start({ nodes: 3 } as never), /does not know/);
});
