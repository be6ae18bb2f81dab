// Feature flags with a history: what is on now, and what was on at 14:00?
import { connect, json, openStore } from "@x/jsflow";
import process from "node:process";

interface Flag {
  readonly on: boolean;
  readonly by: string;
}

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using flags = await openStore(client, {
  bucket: "flags",
  codec: json<Flag>(),
  history: 64, // revisions of each flag
});

await flags.put("checkout.new-form", { on: false, by: "ann" });
const quietSince = (await flags.entry("checkout.new-form"))?.time ?? new Date();
await flags.put("checkout.new-form", { on: true, by: "bob" });

console.log(`now: ${JSON.stringify(await flags.get("checkout.new-form"))}`);
console.log(`then: ${JSON.stringify(await flags.at("checkout.new-form", quietSince))}`);
for (const entry of await flags.history("checkout.new-form")) {
  console.log(`revision ${entry.revision}: ${entry.operation} ${JSON.stringify(entry.value)}`);
}
