// Any container that can start and stop things can own a client: making it does no I/O, `start`
// connects, `stop` lets the work under way finish and closes. Here a container of twenty lines.
import { type Client, createClient, subject, type Subscription, text } from "@x/jsflow";
import process from "node:process";

interface Hook {
  start(): Promise<unknown>;
  stop(): Promise<unknown>;
}

class Lifecycle {
  readonly #hooks: Hook[] = [];
  #started = 0;

  append<T extends Hook>(hook: T): T {
    this.#hooks.push(hook);
    return hook;
  }

  async start(): Promise<void> {
    for (const hook of this.#hooks) {
      await hook.start();
      this.#started++;
    }
  }

  async stop(): Promise<void> {
    while (this.#started > 0) await this.#hooks[--this.#started]?.stop();
  }
}

const Jobs = subject("jobs", text());

class Worker implements Hook {
  readonly #client: Client;
  #subscription: Subscription | undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  async start(): Promise<void> {
    this.#subscription = await this.#client.subscribe(Jobs, (job) => console.log(`did ${job}`));
  }

  async stop(): Promise<void> {
    await this.#subscription?.drain();
  }
}

const lifecycle = new Lifecycle();
const client = lifecycle.append(
  createClient({ servers: process.env.NATS_URL ?? "127.0.0.1:4222", name: "jobs" }),
);
lifecycle.append(new Worker(client));

await lifecycle.start();
console.log(`started: ${client.status}`);
await client.publish(Jobs, "the dishes");
await lifecycle.stop();
console.log(`stopped: ${client.status}`);
