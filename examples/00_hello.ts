// A workflow of one step. Needs a server: deno task dev-server
import { connect, createDurableClient, createWorker, workflow } from "@x/jsflow";
import process from "node:process";

const hello = workflow("hello", async (ctx, name: string) => {
  return await ctx.run("greet", () => `Hello, ${name}!`);
});

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using _worker = await createWorker(client, { workflows: [hello] });
await using durable = createDurableClient(client);
const handle = await durable.start(hello, "world");
console.log(await handle.result());
