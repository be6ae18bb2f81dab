// Configuration that every process reads from memory, and that changes while they run.
import { connect, json, openStore } from "@x/jsflow";
import process from "node:process";

interface Limits {
  readonly requestsPerMinute: number;
}

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using config = await openStore(client, { bucket: "config", codec: json<Limits>() });

// A map in memory that follows the bucket, through reconnects too.
await using live = await config.mirror({
  onChange: ({ key, operation }) => console.log(`${operation} ${key}`),
});
console.log(`before: ${live.get("api")?.requestsPerMinute ?? "no limit"}`);

// Elsewhere, an operator changes it. Two who do so at once don't overwrite each other.
const { revision } = await config.update("api", (limits) => ({
  requestsPerMinute: (limits?.requestsPerMinute ?? 50) * 2,
}));

await live.waitFor(revision, { timeoutMs: 5_000 });
console.log(`now: ${live.get("api")?.requestsPerMinute}`);
