// Publishes readings to a stream, through restarts of the server: each is stored once, none is
// lost, and memory stays bounded. COUNT says how many, INTERVAL_MS how far apart.
import { connect, json, type Subject, subject } from "@x/jsflow";
import process from "node:process";

interface Reading {
  readonly celsius: number;
}

const Readings: Subject<Reading, "sensor"> = subject("telemetry.{sensor}", json<Reading>());
const count = Number(process.env.COUNT ?? 20);
const intervalMs = Number(process.env.INTERVAL_MS ?? 100);

await using client = await connect({
  servers: process.env.NATS_URL ?? "127.0.0.1:4222",
  offline: { maxMessages: 1_000 }, // while disconnected, wait instead of failing
});
client.onEvent((event) => {
  if (event.type === "status") console.log(`${event.previous} -> ${event.status}`);
  if (event.type === "breaker") console.log(`breaker: ${event.state}`);
});

for (let n = 1; n <= count; n++) {
  const reading = { celsius: 20 + Math.round(Math.sin(n) * 10) / 10 };
  const ack = await client.publishToStream(Readings.with({ sensor: "roof" }), reading, {
    id: `roof-${n}`, // the stream drops what a retry sends again
    retry: { attempts: Infinity, initialMs: 100, maxMs: 2_000 },
    timeoutMs: 60_000,
    autoCreate: true,
  });
  console.log(`${n}: stored in ${ack.stream}`);
  await new Promise((resolve) => setTimeout(resolve, intervalMs));
}
