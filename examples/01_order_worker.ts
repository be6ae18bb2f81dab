// Runs the order workflow until it is stopped: NATS_URL, LEDGER (a file) and WORKER name it all.
import { connect, createWorker } from "@x/jsflow";
import { appendFile } from "node:fs/promises";
import process from "node:process";
import { orderWorkflow } from "./01_order_workflow.ts";

const ledger = process.env.LEDGER ?? "ledger.jsonl";

/** Stands for a payment provider or a carrier: every call that reaches it leaves one line. */
async function call(service: string, idempotencyKey: string): Promise<string> {
  await appendFile(ledger, `${JSON.stringify({ service, idempotencyKey })}\n`);
  return `${service}-${idempotencyKey.replaceAll("/", "-")}`;
}

const order = orderWorkflow({
  charge: (_cents, key) => call("payment", key),
  ship: (_order, key) => call("shipment", key),
  report: (line) => console.log(line),
});

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using worker = await createWorker(client, {
  workflows: [order],
  name: process.env.WORKER,
  ackWaitMs: 2_000,
});
console.log(`${worker.name}: ready`);
await new Promise((resolve) => process.once("SIGTERM", resolve));
