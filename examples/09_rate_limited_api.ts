// An API whose limit holds for all of its processes together.
import { connect, openCoordination } from "@x/jsflow";
import { rateLimiter } from "@x/jsflow/kv";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using coordination = await openCoordination(client);
const limiter = rateLimiter(coordination, "api", {
  limit: 60,
  periodMs: 60_000,
  burst: 3,
  onUnavailable: "allow", // a broken limiter shall not break the API
});

const api = createServer(async (request, response) => {
  const user = request.headers["x-user"]?.toString() ?? "nobody";
  const { allowed, remaining, retryAfterMs } = await limiter.take(user);
  if (!allowed) response.writeHead(429, { "retry-after": `${Math.ceil(retryAfterMs / 1_000)}` });
  response.end(allowed ? `hello ${user}, ${remaining} left\n` : "too many requests\n");
});
await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));

const { port } = api.address() as AddressInfo;
for (let call = 1; call <= 4; call++) {
  const reply = await fetch(`http://127.0.0.1:${port}/`, { headers: { "x-user": "ann" } });
  console.log(`${reply.status} ${(await reply.text()).trim()}`);
}
api.closeAllConnections();
api.close();
