import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, connect } from "../client/mod.ts";
import {
  createDurableClient,
  createWorker,
  type DurableClient,
  type DurableClientOptions,
  type Worker,
  type WorkerOptions,
} from "../durable/mod.ts";
import {
  NatsServer,
  type NatsServerOptions,
  type SpawnedProgram,
  spawnProgram,
} from "../testing/mod.ts";
import type { FiveStepsWorkerConfig } from "./programs/five_steps_worker.ts";
import { type Tap, tapClient } from "./programs/tap.ts";

/** A server with clients, workers and programs on it, all of which end with the test. */
export class Ground {
  readonly server: NatsServer;
  /** A first connection, for whatever the test itself does. */
  readonly client: Client;
  readonly folder: string;
  readonly #cleanups: (() => Promise<unknown>)[] = [];
  #serial = 0;

  private constructor(server: NatsServer, client: Client, folder: string) {
    this.server = server;
    this.client = client;
    this.folder = folder;
  }

  static async open(options?: NatsServerOptions): Promise<Ground> {
    const server = await NatsServer.start(options);
    try {
      const client = await connect({ servers: server.url });
      return new Ground(server, client, await mkdtemp(join(tmpdir(), "jsflow-ground-")));
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** What to do at the end, in reverse order. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  /** A name that was not used before on this ground. */
  name(prefix: string): string {
    return `${prefix}-${++this.#serial}`;
  }

  /** Path of a file that doesn't exist yet. */
  file(prefix: string): string {
    return join(this.folder, this.name(prefix));
  }

  /** Another connection; through a tap, when there is one. */
  async connect(tap?: Tap): Promise<Client> {
    const base = await connect({ servers: this.server.url });
    this.defer(() => base.close());
    if (!tap) return base;
    const client = await tapClient(base.connection, tap);
    this.defer(() => client.close());
    return client;
  }

  /** A worker in this process, on a connection of its own unless one is given. */
  async worker(options: WorkerOptions, client?: Client): Promise<Worker> {
    const worker = await createWorker(client ?? await this.connect(), options);
    this.defer(() => worker.close({ graceMs: 0 }));
    return worker;
  }

  /** A durable client on the first connection, unless another is given. */
  durable(options: DurableClientOptions, client: Client = this.client): DurableClient {
    const durable = createDurableClient(client, options);
    this.defer(() => durable.close());
    return durable;
  }

  /** A worker of the five steps in a process of its own. */
  fiveStepsWorker(config: Omit<FiveStepsWorkerConfig, "url">): SpawnedProgram {
    const file = new URL("./programs/five_steps_worker.ts", import.meta.url);
    const program = spawnProgram(file, [JSON.stringify({ url: this.server.url, ...config })]);
    this.defer(() => program.close());
    return program;
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
    await this.client.close();
    await this.server.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Runs a test on a ground of its own. */
export async function onGround(
  run: (ground: Ground) => Promise<void>,
  options?: NatsServerOptions,
): Promise<void> {
  const ground = await Ground.open(options);
  try {
    await run(ground);
  } finally {
    await ground.close();
  }
}
