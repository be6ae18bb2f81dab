import { randomUUID } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { Client } from "../client/client.ts";
import { connect } from "../client/connect.ts";
import type { NatsConnection } from "../client/native.ts";
import { findServer, readServerVersion } from "./find_server.ts";
import type { KV, StreamInfo } from "./native.ts";
import { NatsServer } from "./nats_server.ts";
import type { NatsServerOptions } from "./server_options.ts";
import {
  type ContentsSettings,
  parseContents,
  parseTestNatsOptions,
  prefixedName,
  type TestContents,
  type TestNatsOptions,
  type TestStream,
} from "./test_nats_options.ts";

/** A real NATS server with a connection to it, for one test or a suite. */
export interface TestNats extends AsyncDisposable {
  /** The server. */
  readonly server: NatsServer;
  /** The server's address, such as `nats://127.0.0.1:41234`. */
  readonly url: string;
  /** A jsflow client of the server. */
  readonly client: Client;
  /** The native connection below it. */
  readonly connection: NatsConnection;
  /** A bucket's name with the prefix, for code that opens its buckets itself. */
  bucketName(name: string): string;
  /** Creates a bucket; its name gets the prefix. */
  createBucket(name: string): Promise<KV>;
  /**
   * Opens a bucket that exists; its name gets the prefix.
   *
   * @throws {Error} when there is none
   */
  bucket(name: string): Promise<KV>;
  /** Creates a stream. */
  createStream(stream: TestStream): Promise<StreamInfo>;
  /**
   * Describes a stream that exists.
   *
   * @throws {Error} when there is none
   */
  stream(name: string): Promise<StreamInfo>;
  /** Whether the server runs and the connection is open. */
  isReady(): boolean;
  /** Closes the connection and ends the server, unless it is shared; can be repeated. */
  close(): Promise<void>;
}

/**
 * Starts a real nats-server for a test, connects to it and creates what the test needs.
 *
 * @throws {TypeError | RangeError} for an option that makes no sense, before anything is started
 * @throws {Error} as `NatsServer.start` does; nothing is left behind
 *
 * @example
 * ```ts
 * import { startTestNats } from "@x/jsflow/testing";
 *
 * async function test() {
 *   const nats = await startTestNats({ preset: "kv", buckets: ["carts"] });
 *   try {
 *     const carts = await nats.bucket("carts");
 *     await carts.put("c1", "apples");
 *   } finally {
 *     await nats.close();
 *   }
 * }
 * ```
 */
export async function startTestNats(options?: TestNatsOptions): Promise<TestNats> {
  const settings = parseTestNatsOptions(options);
  const serverOptions = settings.syncs ? await withSync(settings.server) : settings.server;
  const server = await NatsServer.start(serverOptions);
  const closeServer = () => server.close();
  try {
    return await open(server, settings.contents, closeServer);
  } catch (error) {
    await closeServer();
    throw error;
  }
}

/**
 * Returns a connection of its own to the one server that all callers in this process share, which
 * has JetStream in memory. It is started by the first call and ends with the process.
 *
 * Buckets get a prefix that no other call has, unless `bucketPrefix` is given. `close` closes the
 * connection only.
 *
 * @throws {TypeError | RangeError} for an option that makes no sense
 * @throws {Error} as `NatsServer.start` does; the next call tries again
 *
 * @example
 * ```ts
 * import { sharedTestNats } from "@x/jsflow/testing";
 *
 * async function test() {
 *   const nats = await sharedTestNats({ buckets: ["carts"] });
 *   try {
 *     console.log(nats.bucketName("carts")); // "3f2a9c1e_carts"
 *   } finally {
 *     await nats.close();
 *   }
 * }
 * ```
 */
export async function sharedTestNats(options?: TestContents): Promise<TestNats> {
  const contents = parseContents(options, `${randomUUID().slice(0, 8)}_`);
  const starting = shared ??= NatsServer.start({ startTimeoutMs: SHARED_START_TIMEOUT_MS });
  try {
    return await open(await starting, contents, () => Promise.resolve());
  } catch (error) {
    if (!(await starting.then((server) => server.isRunning, () => false))) shared = undefined;
    throw error;
  }
}

const SHARED_START_TIMEOUT_MS = 30_000;
let shared: Promise<NatsServer> | undefined;

/** Adds syncing of every write, for servers that know it. */
async function withSync(options: NatsServerOptions): Promise<NatsServerOptions> {
  const binary = options.binary ?? await findServer({ version: options.version });
  const version = await readServerVersion(binary) ?? "";
  const jetstream = typeof options.jetstream === "object" ? options.jetstream : {};
  const isOld = options.jetstream === false || /^2\.\d\./.test(version);
  const { version: _, ...rest } = options;
  return {
    ...rest,
    binary,
    ...(isOld ? {} : { jetstream: { sync_interval: "always", ...jetstream } }),
  };
}

async function open(
  server: NatsServer,
  settings: ContentsSettings,
  closeServer: () => Promise<void>,
): Promise<TestNats> {
  const client = await connect({
    ...server.connectOptions,
    name: "jsflow test",
    timeoutMs: settings.connectTimeoutMs,
  });
  const nats = new RunningTestNats(server, client, settings, closeServer);
  try {
    for (const bucket of settings.buckets) await nats.createBucket(bucket);
    for (const stream of settings.streams) await nats.createStream(stream);
    return nats;
  } catch (error) {
    await client.close();
    throw error;
  }
}

class RunningTestNats implements TestNats {
  readonly server: NatsServer;
  readonly client: Client;
  readonly #settings: ContentsSettings;
  readonly #closeServer: () => Promise<void>;
  #closing: Promise<void> | undefined;

  constructor(
    server: NatsServer,
    client: Client,
    settings: ContentsSettings,
    closeServer: () => Promise<void>,
  ) {
    this.server = server;
    this.client = client;
    this.#settings = settings;
    this.#closeServer = closeServer;
  }

  get url(): string {
    return this.server.url;
  }

  get connection(): NatsConnection {
    return this.client.connection;
  }

  bucketName(name: string): string {
    return prefixedName(this.#settings.bucketPrefix, name);
  }

  async createBucket(name: string): Promise<KV> {
    const { storage } = this.#settings;
    return await new Kvm(this.connection).create(this.bucketName(name), { storage });
  }

  async bucket(name: string): Promise<KV> {
    const whole = this.bucketName(name);
    await this.stream(`KV_${whole}`); // the native `open` does not mind that there is none
    return await new Kvm(this.connection).open(whole);
  }

  async createStream({ name, subjects }: TestStream): Promise<StreamInfo> {
    const { storage } = this.#settings;
    const jsm = await jetstreamManager(this.connection);
    return await jsm.streams.add({ name, subjects: [...subjects], storage });
  }

  async stream(name: string): Promise<StreamInfo> {
    return await (await jetstreamManager(this.connection)).streams.info(name);
  }

  isReady(): boolean {
    return this.#closing === undefined && this.server.isRunning &&
      this.client.status === "connected";
  }

  close(): Promise<void> {
    this.#closing ??= this.client.close().then(() => {}).finally(this.#closeServer);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
