import { randomUUID } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import type { NatsServer } from "./nats_server.ts";

/** The most copies of a stream that nats-server allows. */
const MAX_REPLICAS = 5;
const REQUEST_TIMEOUT_MS = 2_000;

/**
 * Makes sure that JetStream answers through each node and can place a stream on all of them, which
 * it can't for a while after it has a leader: a leader must first have heard from every node.
 *
 * @throws when it can't at the moment; what it has made is removed by the next call with the name
 */
export async function probePlacement(nodes: readonly NatsServer[], name: string): Promise<true> {
  for (const node of nodes) {
    await withConnection(node, async (nc) => {
      const jsm = await jetstreamManager(nc, { timeout: REQUEST_TIMEOUT_MS });
      if (node !== nodes[0]) return;
      await jsm.streams.add({
        name,
        subjects: [name],
        storage: "memory",
        num_replicas: Math.min(nodes.length, MAX_REPLICAS),
      });
      await jsm.streams.delete(name);
    });
  }
  return true;
}

/** A name for a stream that nobody else has. */
export function probeName(): string {
  return `JSFLOW_PROBE_${randomUUID()}`;
}

async function withConnection(
  node: NatsServer,
  run: (nc: NatsConnection) => Promise<void>,
): Promise<void> {
  const nc = await connect({
    ...node.connectOptions,
    name: "jsflow cluster probe",
    ignoreClusterUpdates: true,
    reconnect: false,
    timeout: REQUEST_TIMEOUT_MS,
  });
  try {
    await run(nc);
  } finally {
    await nc.close();
  }
}
