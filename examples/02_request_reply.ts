// A typed service and its caller: both know the endpoint, the compiler knows both.
import { connect, type Endpoint, endpoint, isJsflowError, json, ServiceError } from "@x/jsflow";
import process from "node:process";

interface Ask {
  readonly size: number;
}
interface Price {
  readonly price: number;
}

const Quote: Endpoint<Ask, Price, "symbol"> = endpoint("quote.{symbol}", {
  request: json<Ask>(),
  reply: json<Price>(),
});

const prices = new Map([["ACME", 12.5], ["INIT", 99]]);

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using service = await client.serve(Quote, { concurrency: 16 }, ({ size }, { params }) => {
  const price = prices.get(params.symbol);
  // It reaches the caller as an error of its class, never as a reply that looks right.
  if (price === undefined) throw new ServiceError("invalid", `no such symbol: ${params.symbol}`);
  return { price: price * size };
});

const retry = { attempts: 3, initialMs: 50 };
const { price } = await client.request(Quote.with({ symbol: "ACME" }), { size: 4 }, { retry });
console.log(`4 ACME cost ${price}`);

try {
  await client.request(Quote.with({ symbol: "NONE" }), { size: 1 }, { timeoutMs: 1_000 });
} catch (error) {
  if (!isJsflowError(error, "remote_error")) throw error;
  console.log(`refused: ${error.message}`);
}
console.log(`served ${service.stats.handled} requests`);
