// jsflow logs through LogTape and is silent until the application says where to: here to a function
// of one's own, as JSON lines. Categories are ["jsflow", <folder>], so parts can be tuned apart.
import { configure, type LogRecord } from "@logtape/logtape";
import { connect, subject, text } from "@x/jsflow";
import process from "node:process";

function writeLine({ category, level, message, properties }: LogRecord): void {
  const { error, ...fields } = properties;
  const line = { level, category: category.join("."), message: message.map(String).join("") };
  console.log(JSON.stringify({ ...line, ...fields, ...(error ? { error: String(error) } : {}) }));
}

await configure({
  sinks: { lines: writeLine },
  loggers: [
    { category: ["jsflow"], sinks: ["lines"], lowestLevel: "warning" },
    { category: ["logtape", "meta"], sinks: ["lines"], lowestLevel: "error" },
  ],
});

await using client = await connect({ servers: process.env.NATS_URL ?? "127.0.0.1:4222" });
const Greetings = subject("greetings", text());
const handled = Promise.withResolvers<void>();
await using _subscription = await client.subscribe(Greetings, {
  onError: () => handled.resolve(),
}, (greeting) => {
  throw new Error(`cannot stand "${greeting}"`); // logged, and the subscription lives on
});
await client.publish(Greetings, "hello");
await handled.promise;
