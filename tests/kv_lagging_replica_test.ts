import assert from "node:assert/strict";
import { test } from "node:test";
import { type Client, connect, json } from "../client/mod.ts";
import { openCoordination, openStore, waitGroup } from "../kv/mod.ts";
import { NatsCluster, type NatsServer, waitUntil } from "../testing/mod.ts";

const storage = { replicas: 3, allowUnsafeCas: true } as const;
const LONG = { timeoutMs: 60_000 };

/** Runs a test with clients of the stream's leader and of another node that has a copy. */
async function onReplicas(
  use: (
    scene: {
      readonly cluster: NatsCluster;
      readonly follower: NatsServer;
      readonly atLeader: Client;
      readonly atFollower: Client;
    },
  ) => Promise<void>,
): Promise<void> {
  const cluster = await NatsCluster.start({ size: 3 });
  const clients: Client[] = [];
  const clientOf = async (node: NatsServer) => {
    const client = await connect({ servers: node.url });
    clients.push(client);
    return client;
  };
  try {
    await openCoordination(await clientOf(cluster.nodes[0]!), storage);
    const leader = await cluster.leaderOf("KV_jsflow_coordination");
    const follower = cluster.nodes.find((node) => node !== leader)!;
    const [atLeader, atFollower] = [await clientOf(leader), await clientOf(follower)];
    await use({ cluster, follower, atLeader, atFollower });
  } finally {
    await Promise.all(clients.map((client) => client.close({ graceMs: 0 })));
    await cluster.close();
  }
}

test("who is done is not decided by a replica that was cut off", async () => {
  await onReplicas(async ({ cluster, follower, atLeader, atFollower }) => {
    const group = waitGroup(await openCoordination(atLeader, storage), "x");
    const behind = waitGroup(await openCoordination(atFollower, storage), "x");
    const settings = { codec: json<{ pending: string[] }>(), allowUnsafeCas: true };
    const copy = await openStore(atFollower, { bucket: "jsflow_coordination", ...settings });
    const shown = async () => `${(await copy.get("wait_group.x"))?.pending}`;
    await group.add(["a", "b"], LONG);
    await group.done("a", LONG);
    await waitUntil(async () => await shown() === "b", { what: "the copy is up to date" });
    cluster.cut(follower);
    await group.clear(LONG);
    await group.add(["a", "c"], LONG);
    assert.equal(await shown(), "b", "the copy lags behind");
    const finishing = behind.done("a", LONG);
    cluster.heal(follower);
    assert.equal(await finishing, 1);
    assert.deepEqual(await group.pending(), ["c"]);
    await copy.close();
  });
});
