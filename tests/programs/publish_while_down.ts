// Publishes thousands of messages a second while the server is down, and tells what became of them
// and how much memory it took. Arguments: address, "fail" or "wait", seconds, and "collect" to
// collect garbage before each sample, without which the samples show how lazy the collector is: it
// lets garbage grow up to a limit of its own, which takes minutes to be reached. Prints "connected",
// "down" once the loss is noticed, a line of JSON at the end of the run, and "back" at last.
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { bytes } from "../../client/bytes.ts";
import { connect } from "../../client/connect.ts";
import { JsflowError } from "../../client/errors.ts";
import { subject } from "../../client/subject.ts";

const [servers = "", mode = "fail", seconds = "1", collect = ""] = process.argv.slice(2);
const BATCH = 100;
const PAUSE_MS = 20;
const SAMPLES = 50;
const Events = subject("x", bytes());
const PAYLOAD = new Uint8Array(1_024);

const client = await connect({
  servers,
  reconnect: { initialMs: 50, maxMs: 200 },
  offline: mode === "wait" ? { maxMessages: 150 } : "fail",
});
const outcomes: Record<string, number> = {};
let attempts = 0;
let settled = 0;

async function publish(): Promise<void> {
  attempts++;
  let outcome = "sent";
  try {
    await client.publish(Events, PAYLOAD, { timeoutMs: 1_000 });
  } catch (error) {
    outcome = error instanceof JsflowError ? error.code : String(error);
  }
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  settled++;
}

function collector(): () => void {
  const bun = Reflect.get(globalThis, "Bun") as { gc(sync: boolean): void } | undefined;
  if (bun !== undefined) return () => bun.gc(true);
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

const collectGarbage = collect === "collect" ? collector() : () => {};

console.log("connected");
while (client.status !== "reconnecting") await sleep(5);
console.log("down");

const durationMs = Number(seconds) * 1_000;
const startedAt = performance.now();
const rss: number[] = [];
for (let elapsedMs = 0; elapsedMs < durationMs; elapsedMs = performance.now() - startedAt) {
  for (let i = 0; i < BATCH; i++) void publish();
  if (elapsedMs >= rss.length * durationMs / SAMPLES) {
    collectGarbage();
    rss.push(process.memoryUsage().rss);
  }
  await sleep(PAUSE_MS);
}
while (settled < attempts) await sleep(10);
console.log(JSON.stringify({ attempts, outcomes, rss }));

await client.waitForConnection({ timeoutMs: 60_000 });
await publish();
await client.close();
console.log("back", JSON.stringify(outcomes));
