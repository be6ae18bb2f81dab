/**
 * A process that holds a lock or a permit again and again, and uses what it protects meanwhile. It
 * looks neither at the clock nor at its signal, so that a frozen one comes back as a stale user.
 * Arguments: the server's and the resource's addresses, and how it holds, as JSON. The line `stop`
 * on standard input ends it.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as after } from "node:timers/promises";
import { isJsflowError } from "../../client/errors.ts";
import { type Client, connect } from "../../client/mod.ts";
import type { Coordination } from "../../kv/coordination.ts";
import type { Lease } from "../../kv/lease.ts";
import { lock } from "../../kv/lock.ts";
import { openCoordination } from "../../kv/open_coordination.ts";
import { semaphore } from "../../kv/semaphore.ts";

/** How the program holds. */
export interface HolderConfig {
  readonly url: string;
  readonly resource: string;
  readonly name: string;
  readonly leaseMs: number;
  /** Undefined for a lock. */
  readonly permits?: number | undefined;
  /** How often the resource is used while it is held. */
  readonly uses: number;
}

/** What a holder tells the resource, in the order in which it happens. */
export interface UseOfResource {
  /** `enter` and `leave`: while it is held. `end`: what releasing came to. */
  readonly kind: "end" | "enter" | "leave" | "use";
  readonly token: number;
  /** The process. */
  readonly who: number;
  readonly outcome?: string;
}

const config = JSON.parse(process.argv[2] ?? "{}") as HolderConfig;
const { name, leaseMs, permits } = config;
const { client, coordination } = await begin();
let stopped = false;
createInterface({ input: process.stdin }).on("line", (line) => stopped ||= line === "stop");

/** Connects and opens, however long the server is away. */
async function begin(): Promise<{ client: Client; coordination: Coordination }> {
  for (;;) {
    let client: Client | undefined;
    try {
      client = await connect({ servers: config.url, reconnect: { initialMs: 20, maxMs: 100 } });
      return { client, coordination: await openCoordination(client) };
    } catch (error) {
      if (!isJsflowError(error)) throw error;
      await client?.close();
      await after(20);
    }
  }
}

/** Returns whether the resource has accepted it. */
async function tell(use: UseOfResource): Promise<boolean> {
  const response = await fetch(config.resource, { method: "POST", body: JSON.stringify(use) });
  return await response.text() === "accepted";
}

async function acquire(): Promise<Lease> {
  if (permits === undefined) return await lock(coordination, name, { leaseMs });
  return await semaphore(coordination, name, { permits, leaseMs }).acquire();
}

/** `ok`, or why it was not released. */
async function release(lease: Lease): Promise<string> {
  try {
    await lease.release();
    return "ok";
  } catch (error) {
    return isJsflowError(error) ? error.code : String(error);
  }
}

async function hold(): Promise<void> {
  const lease = await acquire();
  const { token } = lease;
  const who = process.pid;
  await tell({ kind: "enter", token, who });
  for (let use = 0; use < config.uses && !stopped; use++) {
    if (!await tell({ kind: "use", token, who })) {
      console.log(`refused ${token} ${lease.isHeld ? "held" : "lost"}`);
      break;
    }
    await after(5);
  }
  await tell({ kind: "leave", token, who });
  const outcome = await release(lease);
  console.log(`${outcome} ${token}`);
  await tell({ kind: "end", token, who, outcome });
}

while (!stopped) await hold();
await client.close();
console.log("stopped");
process.exit(0);
