/**
 * Runs nats-server with JetStream for development, in the foreground, until Ctrl-C.
 *
 *     deno task dev-server                     one server on 127.0.0.1:4222
 *     deno task dev-server --size 3            a cluster of three
 *     deno task dev-server --store ~/nats      keep the data there
 *
 * What was stored is there again at the next start. `--help` lists all options.
 */
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { floorServerVersion, newestServerVersion } from "../testing/server_versions.ts";
import { bold } from "./_report.ts";
import { ensureServer } from "./setup.ts";

const HELP = `Runs nats-server with JetStream for development, until Ctrl-C.

usage: deno task dev-server [options]
  --store DIR         folder for the data; kept (default ./.jsflow-dev)
  --size N            nodes: 1, or a cluster of 2 to 9 (default 1)
  --port N            port for clients on 127.0.0.1, the first of N (default 4222; -1: free ones)
  --monitor-port N    port of the monitoring pages, the first of N (default 8222; -1: free ones)
  --version X.Y.Z     version of nats-server (default: what is there, else ${newestServerVersion};
                      the oldest supported one is ${floorServerVersion})
  --help              this text`;

interface Options {
  readonly store: string;
  readonly size: number;
  readonly port: number;
  readonly monitorPort: number;
  readonly version: string | undefined;
}

/** A mistake in the arguments; its message is for the user. */
class UsageError extends Error {}

const WATCH_INTERVAL_MS = 200;

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (options === "help") {
    console.log(HELP);
    return 0;
  }
  const binary = await ensureServer(options.version);
  await checkPorts("--port", options.port, options.size);
  await checkPorts("--monitor-port", options.monitorPort, options.size);
  const interrupted = interruption();
  const running = await start(options, binary);
  try {
    describe(running.nodes, options);
    return await watch(running.nodes, interrupted);
  } finally {
    await Promise.all(running.nodes.map((node) => node.stop()));
    await running.close();
    console.log("stopped");
  }
}

function readOptions(args: string[]): Options | "help" {
  const values = parse(args);
  if (values.help) return "help";
  const size = readInteger("--size", values.size, 1, 9);
  const { store, version } = values;
  if (store === "") throw new UsageError("--store needs a folder");
  if (version !== undefined && !/^\d+\.\d+\.\d+[\w.-]*$/.test(version)) {
    throw new UsageError(`--version must look like ${newestServerVersion}, got "${version}"`);
  }
  const port = readPort("--port", values.port, size);
  return {
    store,
    size,
    version,
    port,
    monitorPort: readPort("--monitor-port", values["monitor-port"], size),
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args: joinNegative(args),
      options: {
        store: { type: "string", default: ".jsflow-dev" },
        size: { type: "string", default: "1" },
        port: { type: "string", default: "4222" },
        "monitor-port": { type: "string", default: "8222" },
        version: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** `--port -1` as `--port=-1`: a value that begins with a dash would be taken for an option. */
function joinNegative(args: string[]): string[] {
  const at = args.findIndex((arg, index) => /^-\d+$/.test(arg) && index > 0);
  if (at === -1) return args;
  return joinNegative([
    ...args.slice(0, at - 1),
    `${args[at - 1]}=${args[at]}`,
    ...args.slice(at + 1),
  ]);
}

function readInteger(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new UsageError(`${name} must be a whole number from ${min} to ${max}, got "${text}"`);
}

function readPort(name: string, text: string, size: number): number {
  return text === "-1" ? -1 : readInteger(name, text, 1, 65_536 - size);
}

/** Taken ports are found before anything is started, so that the message can be short. */
async function checkPorts(option: string, first: number, size: number): Promise<void> {
  if (first === -1) return;
  for (let port = first; port < first + size; port++) {
    const why = await tryPort(port);
    if (why !== undefined) {
      throw new Error(
        `port ${port} on 127.0.0.1 can't be used (${why}); choose one with ${option}`,
      );
    }
  }
}

function tryPort(port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.once("error", (error: NodeJS.ErrnoException) => {
    resolve(error.code === "EADDRINUSE" ? "something listens there already" : error.message);
  });
  server.listen(port, "127.0.0.1", () => server.close(() => resolve(undefined)));
  return promise;
}

interface Running {
  readonly nodes: readonly NatsServer[];
  close(): Promise<void>;
}

/** One server and a cluster keep their data apart: neither can read the other's. */
async function start(options: Options, binary: string): Promise<Running> {
  const { size, port, monitorPort } = options;
  const store = resolve(options.store);
  const common = { binary, port, monitorPort };
  if (size > 1) {
    const storeDir = join(store, `cluster-of-${size}`);
    return await NatsCluster.start({ ...common, size, storeDir, name: "jsflow-dev" });
  }
  const storeDir = join(store, "single");
  const server = await NatsServer.start({ ...common, storeDir, name: "jsflow-dev" });
  return { nodes: [server], close: () => server.close() };
}

function describe(nodes: readonly NatsServer[], options: Options): void {
  const list = (urls: readonly string[]) => urls.join(", ");
  console.log(
    bold(
      `nats-server ${nodes[0]?.version}, ${
        nodes.length === 1 ? "one node" : `${nodes.length} nodes`
      }`,
    ),
  );
  console.log(`  clients     ${list(nodes.map((node) => node.url))}`);
  console.log(`  monitoring  ${list(nodes.map((node) => node.monitorUrl))}`);
  console.log(`  store       ${resolve(options.store)}`);
  console.log("Ctrl-C stops it.");
}

/** Aborts at Ctrl-C or a request to end. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.removeAllListeners(signal); // the helpers' end at once; here it is an orderly stop
    process.on(signal, () => controller.abort());
  }
  return controller.signal;
}

/** Returns the exit code, once interrupted or once a server has ended by itself. */
async function watch(nodes: readonly NatsServer[], interrupted: AbortSignal): Promise<number> {
  while (!interrupted.aborted) {
    const ended = nodes.find((node) => !node.isRunning);
    await new Promise((resolve) => setTimeout(resolve, WATCH_INTERVAL_MS));
    // At Ctrl-C the terminal tells the servers, too: that is no failure.
    if (ended === undefined || interrupted.aborted) continue;
    console.error(`nats-server has ended:\n${ended.log().split("\n").slice(-20).join("\n")}`);
    return 1;
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError;
  console.error(isUsage ? `${error.message}\n\n${HELP}` : (error as Error).message);
  process.exitCode = isUsage ? 2 : 1;
}
