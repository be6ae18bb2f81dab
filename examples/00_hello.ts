import { connect, createDurableClient, createWorker, workflow } from "@x/jsflow";

const hello = workflow("hello", async (ctx, name: string) => {
  return await ctx.run("greet", () => `Hello, ${name}!`); // committed once, replayed after a crash
});

const client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
const worker = await createWorker(client, { workflows: [hello] });
const handle = await createDurableClient(client).start(hello, "world", { id: "hello-1" });
console.log(await handle.result());
await worker.close();
await client.close();
