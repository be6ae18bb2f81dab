// Publishes large messages all the time, while its connection is cut now and then. Argument: the
// address. Prints "ready"; "stale" when the server answers no more, and "back" when the connection
// is open again, each as often as that happens; and "closed" at last, after the line `stop` on
// standard input, when a message has gone through once more.
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { bytes } from "../../client/bytes.ts";
import { connect } from "../../client/connect.ts";
import { subject } from "../../client/subject.ts";

const [servers = ""] = process.argv.slice(2);
const Events = subject("events", bytes());
const PAYLOAD = new Uint8Array(512 * 1_024);
/** Beyond that, more would only cost memory. */
const MAX_PENDING_BYTES = 8 * 1_024 * 1_024;
const PAUSE_MS = 2;

const client = await connect({
  servers,
  pingIntervalMs: 100,
  maxPingsOut: 2,
  reconnect: { initialMs: 5, maxMs: 50 },
  breaker: false,
});

async function tell(): Promise<void> {
  for await (const { type } of client.connection.status()) {
    if (type === "staleConnection") console.log("stale");
    if (type === "reconnect") console.log("back");
  }
}

function pendingBytes(): number {
  const { protocol } = client.connection as {
    protocol?: { transport?: { socket?: { writableLength: number } } };
  };
  return protocol?.transport?.socket?.writableLength ?? 0;
}

let stopped = false;

async function publish(): Promise<void> {
  while (!stopped) {
    // What is published while the connection is down is refused.
    if (pendingBytes() < MAX_PENDING_BYTES) await client.publish(Events, PAYLOAD).catch(() => {});
    await sleep(PAUSE_MS);
  }
}

const telling = tell();
const publishing = publish();
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) if (line === "stop") break;
stopped = true;
await publishing;
await client.waitForConnection({ timeoutMs: 10_000 });
await client.publish(Events, PAYLOAD);
await client.connection.flush();
await client.close();
await telling;
console.log("closed");
process.exit(0);
