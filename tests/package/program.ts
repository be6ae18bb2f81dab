// Runs a workflow of two steps against the server at NATS_URL and checks its result.
import assert from "node:assert/strict";
import process from "node:process";
import { connect, createDurableClient, createWorker, workflow } from "@x/jsflow";

interface Order {
  readonly id: string;
  readonly amount: number;
}

const namespace = `pack-${process.pid}`;

const checkout = workflow("checkout", async (ctx, order: Order) => {
  const charged = await ctx.run("charge", () => order.amount * 2);
  const label = await ctx.run("ship", () => `label-${order.id}`);
  return { charged, label };
});

const client = await connect({ servers: process.env["NATS_URL"] ?? "127.0.0.1:4222" });
try {
  const worker = await createWorker(client, { workflows: [checkout], namespace });
  try {
    const durable = createDurableClient(client, { namespace });
    const handle = await durable.start(checkout, { id: "o-1", amount: 21 }, { id: "o-1" });
    const result: { charged: number; label: string } = await handle.result();
    assert.deepEqual(result, { charged: 42, label: "label-o-1" });
    console.log("a workflow ran", result);
  } finally {
    await worker.close();
  }
} finally {
  await client.close();
}
