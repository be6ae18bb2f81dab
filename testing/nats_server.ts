import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ServerProcess } from "./_server_process.ts";
import { temporaryFolder } from "./_environment.ts";
import { awaitStandstill } from "./_standstill.ts";
import { awaitAnswer, type Readiness, readPorts, type ServerPorts } from "./_server_readiness.ts";
import { findServer, readServerVersion } from "./find_server.ts";
import type { ServerCredentials } from "./server_auth.ts";
import { formatConfig, type ServerConfig } from "./server_config.ts";
import { type NatsServerOptions, parseServerOptions } from "./server_options.ts";
import type { ServerSettings } from "./server_options.ts";
import type { TestCertificates } from "./test_certificates.ts";

/** Everything that a client needs in order to connect; see {@link NatsServer.connectOptions}. */
export interface ServerConnectOptions extends ServerCredentials {
  /** The server's address. */
  readonly servers: string;
}

const LOG_LINES_SHOWN = 40;
const STOP_TIMEOUT_MS = 10_000;
const PORT_TAKEN_RETRY_MS = 100;

/**
 * A real nats-server process for tests, listening on 127.0.0.1 only.
 *
 * It is ready when `start` resolves: it has answered a PING and JetStream has answered a request
 * (unless it is to join a cluster, which needs the other servers). It ends with the process that
 * started it, however that ends. Operations run one after another.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow";
 * import { NatsServer } from "@x/jsflow/testing";
 *
 * async function test() {
 *   const server = await NatsServer.start();
 *   try {
 *     const client = await connect(server.connectOptions);
 *     await server.restart(); // same port, same store
 *     await client.close();
 *   } finally {
 *     await server.close();
 *   }
 * }
 * ```
 */
export class NatsServer implements AsyncDisposable {
  readonly #settings: ServerSettings;
  readonly #binary: string;
  readonly #folder: string;
  #ports: ServerPorts | undefined;
  #version = "";
  #process: ServerProcess | undefined;
  #lastOperation: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  private constructor(settings: ServerSettings, binary: string, folder: string) {
    this.#settings = settings;
    this.#binary = binary;
    this.#folder = folder;
  }

  /**
   * Starts a server and waits until it is ready.
   *
   * @throws {TypeError | RangeError} for an option that makes no sense, before anything is started
   * @throws {Error} when there is no nats-server program (see `findServer`), or when it ends early
   *   or is not ready within `startTimeoutMs`, with the end of its log; nothing is left behind
   */
  static async start(options?: NatsServerOptions): Promise<NatsServer> {
    const settings = parseServerOptions(options);
    const binary = settings.binary ?? await findServer({ version: settings.version });
    const folder = await mkdtemp(join(temporaryFolder(), "jsflow-nats-"));
    const server = new NatsServer(settings, binary, folder);
    try {
      await server.#launch();
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** The address for clients, such as `nats://127.0.0.1:41234`. */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** The client port; the same after every restart. */
  get port(): number {
    return this.#ports?.client ?? -1;
  }

  /** The address of the monitoring pages, such as `http://127.0.0.1:41235`. */
  get monitorUrl(): string {
    return `http://127.0.0.1:${this.#ports?.monitor ?? -1}`;
  }

  /** The port for other servers of its cluster, if `config` has one. */
  get clusterPort(): number | undefined {
    return this.#ports?.cluster;
  }

  /** The process id; another one after a restart. */
  get pid(): number {
    return this.#process?.pid ?? -1;
  }

  /** The server's version, such as "2.15.2". */
  get version(): string {
    return this.#version;
  }

  /** The folder of JetStream's store. */
  get storeDir(): string {
    return this.#settings.storeDir ?? join(this.#folder, "store");
  }

  /** Whether the process is alive, even if paused. */
  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.hasExited;
  }

  /** The certificates, when TLS is on. */
  get certificates(): TestCertificates | undefined {
    return this.#settings.certificates;
  }

  /** Address and credentials, for jsflow's `connect` and for the native one. */
  get connectOptions(): ServerConnectOptions {
    return { servers: this.url, ...this.#settings.credentials };
  }

  /** Everything that the server has printed since it was first started; empty once closed. */
  log(): string {
    try {
      return readFileSync(join(this.#folder, "server.log"), "utf8");
    } catch {
      return "";
    }
  }

  /**
   * Starts the server again on the same ports and store, after stopping it if it runs.
   *
   * @throws {Error} as `start` does, or when the server is closed
   */
  async restart(): Promise<void> {
    await this.#enqueue("restart", async () => {
      await this.#end("SIGTERM");
      await this.#launch();
    });
  }

  /** Ends the process by SIGKILL and waits until it is gone; the store is kept. */
  async kill(): Promise<void> {
    await this.#enqueue("kill", () => this.#end("SIGKILL"));
  }

  /** Ends the process gracefully, by SIGKILL if it takes more than 10 seconds; the store is kept. */
  async stop(): Promise<void> {
    await this.#enqueue("stop", () => this.#end("SIGTERM"));
  }

  /**
   * Freezes the process (SIGSTOP): its connections stay open and nothing answers any more. On
   * Linux it stands still once this returns, elsewhere a moment later.
   *
   * @throws {Error} when it is not running, or on Windows
   */
  pause(): void {
    this.#signal("pause", "SIGSTOP");
    awaitStandstill(this.pid);
  }

  /**
   * Lets a paused process go on (SIGCONT).
   *
   * @throws {Error} when it is not running, or on Windows
   */
  continue(): void {
    this.#signal("continue", "SIGCONT");
  }

  /** Ends the process and removes its temporary files; a store given as `storeDir` is kept. */
  close(): Promise<void> {
    this.#closing ??= this.#lastOperation.catch(() => {}).then(() => this.#close());
    return this.#closing;
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #enqueue(action: string, operation: () => Promise<void>): Promise<void> {
    if (this.#closing !== undefined) throw new Error(`cannot ${action} nats-server: it is closed`);
    const result = this.#lastOperation.catch(() => {}).then(operation);
    this.#lastOperation = result;
    await result;
  }

  #signal(action: string, signal: NodeJS.Signals): void {
    if (process.platform === "win32") {
      throw new Error(`cannot ${action} nats-server: Windows has no ${signal}`);
    }
    if (!this.#process?.send(signal)) {
      throw new Error(`cannot ${action} nats-server: it is not running`);
    }
  }

  async #end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.hasExited) return;
    running.send(signal);
    if (signal === "SIGTERM" && process.platform !== "win32") running.send("SIGCONT");
    const timer = setTimeout(() => running.send("SIGKILL"), STOP_TIMEOUT_MS);
    await running.waitForExit();
    clearTimeout(timer);
  }

  async #close(): Promise<void> {
    await this.#end("SIGKILL");
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** One start; again when a port that must be kept is taken for a moment. */
  async #launch(): Promise<void> {
    const deadlineMs = performance.now() + this.#settings.startTimeoutMs;
    while (true) {
      const logged = this.log().length;
      try {
        return await this.#launchOnce(deadlineMs);
      } catch (error) {
        await this.#end("SIGKILL");
        const log = this.log().slice(logged);
        const retry = this.#ports !== undefined && log.includes("address already in use") &&
          performance.now() + PORT_TAKEN_RETRY_MS < deadlineMs;
        if (!retry) throw this.#startError(error, log);
        await new Promise((resolve) => setTimeout(resolve, PORT_TAKEN_RETRY_MS));
      }
    }
  }

  async #launchOnce(deadlineMs: number): Promise<void> {
    const portsFolder = join(this.#folder, "ports");
    await this.#writeFiles(portsFolder);
    const running = new ServerProcess(
      this.#binary,
      ["-c", join(this.#folder, "server.conf")],
      this.#folder,
    );
    this.#process = running;
    const early = new AbortController();
    running.exit.then(
      ({ code, signal }) => early.abort(new Error(`it ended early (${signal ?? `exit ${code}`})`)),
      (error) => early.abort(error),
    );
    const readiness = this.#readiness(deadlineMs, early.signal);
    this.#ports = await readPorts(portsFolder, readiness);
    const version = await awaitAnswer(this.#ports, readiness);
    this.#version = version ?? await readServerVersion(this.#binary) ?? "";
  }

  #readiness(deadlineMs: number, signal: AbortSignal): Readiness {
    const { credentials, ownUsers, jetstream, config } = this.#settings;
    const isClustered = config["cluster"] !== undefined;
    return {
      credentials,
      ownUsers,
      jetstream: jetstream !== undefined && !isClustered,
      deadlineMs,
      signal,
    };
  }

  #startError(error: unknown, log: string): Error {
    const lines = log.trimEnd().split("\n").slice(-LOG_LINES_SHOWN).join("\n");
    const why = error instanceof Error ? error.message : String(error);
    const shown = lines === "" ? "it logged nothing" : `the end of its log:\n${lines}`;
    return new Error(`cannot start ${this.#binary}: ${why}; ${shown}`, { cause: error });
  }

  async #writeFiles(portsFolder: string): Promise<void> {
    await mkdir(portsFolder, { recursive: true });
    for (const stale of await readdir(portsFolder)) await rm(join(portsFolder, stale));
    await mkdir(this.storeDir, { recursive: true });
    const tls = await this.#writeTls();
    const config = formatConfig(this.#config(portsFolder, tls));
    await writeFile(join(this.#folder, "server.conf"), config, { mode: 0o600 });
  }

  async #writeTls(): Promise<ServerConfig | undefined> {
    const { certificates, verifyClients } = this.#settings;
    if (certificates === undefined) return undefined;
    const path = (name: string) => join(this.#folder, name);
    await writeFile(path("ca.pem"), certificates.ca);
    await writeFile(path("cert.pem"), certificates.serverCert);
    await writeFile(path("key.pem"), certificates.serverKey, { mode: 0o600 });
    const [ca_file, cert_file, key_file] = [path("ca.pem"), path("cert.pem"), path("key.pem")];
    return { ca_file, cert_file, key_file, verify: verifyClients };
  }

  #config(portsFolder: string, tls: ServerConfig | undefined): ServerConfig {
    const { config, jetstream, port, monitorPort } = this.#settings;
    const cluster = config["cluster"] as ServerConfig | undefined;
    const clusterPort = this.#ports?.cluster;
    return {
      host: "127.0.0.1",
      port: this.#ports?.client ?? port,
      http_port: this.#ports?.monitor ?? monitorPort,
      ports_file_dir: portsFolder,
      jetstream: jetstream && { ...jetstream, store_dir: this.storeDir },
      tls,
      ...config,
      cluster: clusterPort === undefined ? cluster : { ...cluster, port: clusterPort },
    };
  }
}
