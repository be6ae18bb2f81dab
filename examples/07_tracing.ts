// One trace through a publisher and a consumer, printed by OpenTelemetry's console exporter. Without
// an SDK the same contexts travel in the same headers; nobody records them.
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  ConsoleSpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { connect, json, subject } from "@x/jsflow";
import process from "node:process";

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const provider = new BasicTracerProvider({
  spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())],
});
trace.setGlobalTracerProvider(provider);

const Orders = subject("orders.{region}", json<{ id: string }>());
const handled = Promise.withResolvers<void>();

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
await using consumption = await client.consume(Orders, { autoCreate: true }, async (order) => {
  await Promise.resolve(); // whatever is awaited here stays within the span
  console.log(`handling ${order.id} in trace ${trace.getActiveSpan()?.spanContext().traceId}`);
  handled.resolve();
});
await trace.getTracer("shop").startActiveSpan("checkout", async (span) => {
  await client.publishToStream(Orders.with({ region: "eu" }), { id: "o-1" }, { id: "o-1" });
  span.end();
});
await handled.promise;
await consumption.drain();
await provider.forceFlush();
