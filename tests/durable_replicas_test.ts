import assert from "node:assert/strict";
import { test } from "node:test";
import { type Client, connect, isJsflowError } from "../client/mod.ts";
import { createDurableClient, createWorker, type InvocationHandle } from "../durable/mod.ts";
import { NatsCluster, waitUntil } from "../testing/mod.ts";
import { onGround } from "./_ground.ts";
import { journalEvents, outcomeNames } from "./_journals.ts";
import { fiveSteps, fiveStepsResult, STEPS } from "./programs/five_steps.ts";

const namespace = "replicas";
const five = fiveSteps(() => {});

/** The errors of a worker and of a client that ask for three copies of everything. */
async function refusals(
  client: Client,
  options: { readonly allowUnsafeCas?: boolean },
): Promise<unknown[]> {
  const storage = { namespace, replicas: 3, ...options };
  const attempts = [
    createWorker(client, { ...storage, workflows: [five] }),
    createDurableClient(client, storage).start(five, 1),
  ];
  return (await Promise.allSettled(attempts)).map((it) => it.status === "rejected" && it.reason);
}

test("replicas are refused where two writers could win, unless that is allowed", async () => {
  await onGround(async ({ client }) => {
    const isSafe = client.server.supports("replicated_cas");
    for (const error of await refusals(client, {})) {
      assert.equal(isJsflowError(error, "unsafe_cas"), !isSafe, `${error}`);
      if (!isSafe) assert.match(String(error), /3 replicas.*2\.9.*upgrade to 2\.11/);
    }
    for (const error of await refusals(client, { allowUnsafeCas: true })) {
      // Past the check, a single server has no place for three copies.
      assert.ok(isJsflowError(error) && error.code !== "unsafe_cas", `${error}`);
      assert.match(error.message, /replicas/);
    }
    const names: string[] = [];
    for await (const name of (await client.manager()).streams.names()) names.push(name);
    assert.deepEqual(names, [], "nothing half made");
  });
});

test("workflows outlive the node that leads their journals", async (context) => {
  const cluster = await NatsCluster.start({ size: 3 });
  const client = await connect({ servers: cluster.urls });
  try {
    if (!client.server.supports("replicated_cas")) {
      return context.skip("this server lets two writers win, so the engine refuses replicas");
    }
    await loseLeader(cluster, client);
  } finally {
    await client.close();
    await cluster.close();
  }
});

async function loseLeader(cluster: NatsCluster, client: Client): Promise<void> {
  const begun = new Set<string>();
  const slow = fiveSteps(async (_step, { idempotencyKey }) => {
    begun.add(idempotencyKey);
    await new Promise((resolve) => setTimeout(resolve, 50));
  });
  const storage = { namespace, replicas: 3 };
  const settings = { ...storage, workflows: [slow], ackWaitMs: 2_000, maxConcurrent: 10 };
  const worker = await createWorker(client, settings);
  const durable = createDurableClient(client, storage);
  try {
    const handles: InvocationHandle<number>[] = await Promise.all(
      Array.from({ length: 30 }, (_, index) => durable.start(slow, index, { id: `o-${index}` })),
    );
    await waitUntil(() => begun.size >= 60, { what: "60 steps have begun", timeoutMs: 20_000 });
    const leader = await cluster.leaderOf(`JSFLOW_${namespace}_JOURNAL`);
    await leader.kill();
    const results = await Promise.all(handles.map((it) => it.result({ timeoutMs: 60_000 })));
    assert.deepEqual(results, handles.map((_, index) => fiveStepsResult(index)));
    for (const handle of handles) {
      assert.equal(outcomeNames(await journalEvents(handle)).length, STEPS);
    }
  } finally {
    await worker.close({ graceMs: 0 });
    await durable.close();
  }
}
