// Counters and gauges that many processes write, and that anyone can watch.
import { connect, openCoordination } from "@x/jsflow";
import { metricsBoard } from "@x/jsflow/kv";
import process from "node:process";

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using coordination = await openCoordination(client);

// Two boards of one name, as two processes would have them.
await using shop = metricsBoard(coordination, "shop", { flushMs: 100 });
await using depot = metricsBoard(coordination, "shop", { flushMs: 100 });

for (let order = 1; order <= 30; order++) {
  shop.count("orders", { labels: { region: order % 3 === 0 ? "us" : "eu" } });
}
depot.count("orders", { labels: { region: "us" }, amount: 5 });
depot.gauge("queue_length", 7, { labels: { depot: "north" } });
await shop.flush(); // else within flushMs: changes are collected and stored together
await depot.flush();

for await (const { metrics, revision } of shop.watch({ signal: AbortSignal.timeout(10_000) })) {
  console.log(`at revision ${revision}`);
  for (const { name, labels, value } of metrics) {
    console.log(`  ${name} ${JSON.stringify(labels)}: ${value}`);
  }
  break; // a dashboard would go on
}
