import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { checkDurationMs, checkInteger, checkOptions, checkString } from "../client/validate.ts";
import { type JetStreamView, readJetStream } from "./_jetstream_view.ts";
import { probeName, probePlacement } from "./_placement_probe.ts";
import { FaultProxy } from "./fault_proxy.ts";
import { NatsServer } from "./nats_server.ts";
import type { ServerConfig } from "./server_config.ts";
import { hasOwnUsers, type NatsServerOptions } from "./server_options.ts";
import { waitUntil } from "./wait_until.ts";

/** How {@link NatsCluster.start} starts a cluster: as {@link NatsServerOptions} for each node. */
export interface NatsClusterOptions extends Omit<NatsServerOptions, "tls"> {
  /** Number of nodes: 2 to 9; JetStream goes on while more than half of them do. @default 3 */
  readonly size?: number | undefined;
  /** The cluster's name; its nodes are called `<name>-1` and so on. @default a unique one */
  readonly name?: string | undefined;
  /** The client port of the first node; the others take those that follow. @default free ones */
  readonly port?: number | undefined;
  /** The monitoring port of the first node; the others take those that follow. @default free ones */
  readonly monitorPort?: number | undefined;
  /** Folder that keeps a folder for each node. @default temporary, removed at the end */
  readonly storeDir?: string | undefined;
  /** Milliseconds until all nodes are up and JetStream has its leader. @default 30_000 */
  readonly startTimeoutMs?: number | undefined;
}

const KEYS = [
  "auth",
  "binary",
  "config",
  "credentials",
  "jetstream",
  "monitorPort",
  "name",
  "port",
  "size",
  "startTimeoutMs",
  "storeDir",
  "version",
] as const;

/** Nobody listens there: routes are made from the configuration alone. */
const NOWHERE = "127.0.0.1:1";
const DEFAULT_START_TIMEOUT_MS = 30_000;
const VIEW_TIMEOUT_MS = 2_000;

/**
 * A cluster of real nats-servers on 127.0.0.1, with JetStream formed, whose links can be cut.
 *
 * The link between two nodes goes through two proxies, one for the connections that each of them
 * opens; what a node advertises to the others leads nowhere, so there is no way around the proxies.
 *
 * @example
 * ```ts
 * import { NatsCluster, waitUntil } from "@x/jsflow/testing";
 *
 * async function test() {
 *   const cluster = await NatsCluster.start({ size: 3 });
 *   try {
 *     const leader = await cluster.leaderOf("ORDERS");
 *     cluster.cut(leader);
 *     await waitUntil(async () => await cluster.leaderSeenBy(leader, "ORDERS") === undefined, {
 *       what: "the node that was cut off is no leader any more",
 *       timeoutMs: 60_000,
 *     });
 *     cluster.heal(leader);
 *     await cluster.ready();
 *   } finally {
 *     await cluster.close();
 *   }
 * }
 * ```
 */
export class NatsCluster implements AsyncDisposable {
  /** The cluster's name. */
  readonly name: string;
  /** The nodes, in order; the same objects after restarts. */
  readonly nodes: readonly NatsServer[];
  readonly #links: ReadonlyMap<string, FaultProxy>;
  readonly #startTimeoutMs: number;
  readonly #hasJetStream: boolean;
  readonly #canConnect: boolean;
  #closing: Promise<void> | undefined;

  private constructor(settings: Settings, nodes: readonly NatsServer[], links: Links) {
    this.name = settings.name;
    this.nodes = nodes;
    this.#links = links;
    this.#startTimeoutMs = settings.startTimeoutMs;
    this.#hasJetStream = settings.node.jetstream !== false;
    const { credentials, config } = settings.node;
    this.#canConnect = credentials !== undefined || !hasOwnUsers(config ?? {});
  }

  /**
   * Starts a cluster and waits until it is {@link ready}.
   *
   * @throws {TypeError | RangeError} for an option that makes no sense, before anything is started
   * @throws {Error} as `NatsServer.start` does, and when the nodes do not come together within
   *   `startTimeoutMs`; nothing is left behind
   */
  static async start(options?: NatsClusterOptions): Promise<NatsCluster> {
    const settings = parseOptions(options);
    const links = await startLinks(settings.size);
    const cluster = new NatsCluster(settings, await startNodes(settings, links), links);
    try {
      await cluster.ready();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  /** The nodes' addresses for clients. */
  get urls(): string[] {
    return this.nodes.map((node) => node.url);
  }

  /**
   * Waits until all running nodes that are not cut off know one another and agree on JetStream's
   * leader, that leader counts every one of them as up to date, and a stream can be placed on them
   * (tried with one that is removed again; left out when `config` holds users whose credentials
   * are unknown).
   *
   * @throws {Error} when that takes longer than `startTimeoutMs`
   */
  async ready(): Promise<void> {
    const nodes = this.nodes.filter((node) => node.isRunning && !this.#isCutOff(node));
    const probe = probeName();
    await waitUntil(async () => await this.#areTogether(nodes) && await this.#place(nodes, probe), {
      what: `the ${nodes.length} nodes of ${this.name} are together`,
      timeoutMs: this.#startTimeoutMs,
      intervalMs: 50,
    });
  }

  /**
   * Returns the node that leads a stream, as the nodes that are not cut off see it; waits for an
   * election if there is none.
   *
   * @throws {Error} when there is none within `timeoutMs` (10 seconds unless given)
   */
  leaderOf(stream: string, options?: { readonly timeoutMs?: number }): Promise<NatsServer> {
    checkString("stream", stream);
    return this.#leader(options, stream);
  }

  /** Returns the node that leads JetStream itself; otherwise like {@link leaderOf}. */
  metaLeader(options?: { readonly timeoutMs?: number }): Promise<NatsServer> {
    return this.#leader(options);
  }

  /**
   * Returns whom a node takes for a stream's leader at the moment, or for JetStream's own without
   * a stream; undefined for nobody, and for a stream that the node holds no copy of. For a node that is cut off this shows when it has noticed.
   *
   * @throws {Error} when the node does not answer
   */
  async leaderSeenBy(node: NatsServer, stream?: string): Promise<NatsServer | undefined> {
    const view = await this.#view(node, stream !== undefined);
    const name = stream === undefined ? view.metaLeader : view.streamLeaders.get(stream);
    return this.#byName(name);
  }

  /** Cuts a node off from all others; clients still reach it. */
  cut(node: NatsServer): void {
    for (const link of this.#linksOf(node)) link.cut();
  }

  /** Takes back {@link cut}, and every other fault on the node's links. */
  heal(node: NatsServer): void {
    for (const link of this.#linksOf(node)) link.heal();
  }

  /**
   * Returns the proxy for the connections that one node opens to another, to be delayed, stalled or
   * throttled. A link has two of them, `link(a, b)` and `link(b, a)`, and either may carry it.
   *
   * @throws {RangeError} when these are not two nodes of this cluster
   */
  link(from: NatsServer, to: NatsServer): FaultProxy {
    const proxy = this.#links.get(linkKey(this.nodes.indexOf(from), this.nodes.indexOf(to)));
    if (proxy === undefined) throw new RangeError("link needs two different nodes of this cluster");
    return proxy;
  }

  /** Stops a node gracefully, keeping its store. */
  async stopNode(node: NatsServer): Promise<void> {
    this.#linksOf(node);
    await node.stop();
  }

  /** Starts a node again on the same ports and store; `ready` waits for it to be in again. */
  async restartNode(node: NatsServer): Promise<void> {
    this.#linksOf(node);
    await node.restart();
  }

  /** Ends all nodes and removes their temporary stores. */
  close(): Promise<void> {
    this.#closing ??= endAll(this.nodes, this.#links);
    return this.#closing;
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #linksOf(node: NatsServer): FaultProxy[] {
    const index = this.nodes.indexOf(node);
    if (index === -1) throw new RangeError("that is no node of this cluster");
    const others = this.nodes.keys().filter((other) => other !== index);
    return [...others].flatMap((other) =>
      [linkKey(index, other), linkKey(other, index)].map((key) => this.#links.get(key)!)
    );
  }

  #isCutOff(node: NatsServer): boolean {
    return this.#linksOf(node).every((link) => link.isCut);
  }

  #byName(name: string | undefined): NatsServer | undefined {
    return this.nodes[Number(name?.slice(this.name.length + 1)) - 1];
  }

  async #leader(options: { readonly timeoutMs?: number } = {}, stream?: string) {
    const { timeoutMs = 10_000 } = checkOptions("leader", options, ["timeoutMs"]);
    return await waitUntil(async () => {
      for (const node of this.nodes) {
        if (!node.isRunning || this.#isCutOff(node)) continue;
        const leader = await this.leaderSeenBy(node, stream).catch(() => undefined);
        if (leader?.isRunning && !this.#isCutOff(leader)) return leader;
      }
      return undefined;
    }, { what: `${stream ?? "JetStream"} has a leader in ${this.name}`, timeoutMs });
  }

  #view(node: NatsServer, withStreams: boolean): Promise<JetStreamView> {
    return readJetStream(node.monitorUrl, { withStreams, timeoutMs: VIEW_TIMEOUT_MS });
  }

  #place(nodes: readonly NatsServer[], probe: string): Promise<boolean> {
    if (!this.#hasJetStream || !this.#canConnect) return Promise.resolve(true);
    return probePlacement(nodes, probe);
  }

  async #areTogether(nodes: readonly NatsServer[]): Promise<boolean> {
    const peers = await Promise.all(nodes.map((node) => countPeers(node.monitorUrl)));
    if (peers.some((count) => count < nodes.length - 1)) return false;
    if (!this.#hasJetStream) return true;
    const views = await Promise.all(nodes.map((node) => this.#view(node, false)));
    const [leader, ...others] = new Set(views.map((view) => view.metaLeader));
    if (leader === undefined || others.length > 0) return false;
    const current = views.find((view) => view.serverName === leader)?.currentPeers ?? 0;
    return current >= nodes.length - 1;
  }
}

type Links = ReadonlyMap<string, FaultProxy>;

interface Settings {
  readonly size: number;
  readonly name: string;
  readonly port: number | undefined;
  readonly monitorPort: number | undefined;
  readonly storeDir: string | undefined;
  readonly startTimeoutMs: number;
  /** The same for every node. */
  readonly node: NatsServerOptions;
}

function parseOptions(options: NatsClusterOptions | undefined): Settings {
  const given: NatsClusterOptions = checkOptions("NatsCluster.start", options, KEYS);
  const { size, name, port, monitorPort, storeDir, startTimeoutMs, ...node } = given;
  if (node.config?.["cluster"] !== undefined) {
    throw new TypeError("config.cluster can't be set: the cluster's links are made here");
  }
  const count = checkInteger("size", size ?? 3, { min: 2, max: 9 });
  return {
    size: count,
    name: checkString("name", name ?? `jsflow-${randomUUID().slice(0, 8)}`),
    port: checkFirstPort("port", port, count),
    monitorPort: checkFirstPort("monitorPort", monitorPort, count),
    storeDir: storeDir === undefined ? undefined : checkString("storeDir", storeDir),
    startTimeoutMs: checkDurationMs("startTimeoutMs", startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS, {
      min: 1,
    }),
    node,
  };
}

function checkFirstPort(name: string, port: number | undefined, size: number): number | undefined {
  if (port === undefined || port === -1) return undefined;
  return checkInteger(name, port, { min: 1, max: 65_536 - size });
}

function linkKey(from: number, to: number): string {
  return `${from}>${to}`;
}

/** Proxies first, so that every node can be told where to find the others. */
async function startLinks(size: number): Promise<Links> {
  const links = new Map<string, FaultProxy>();
  for (let from = 0; from < size; from++) {
    for (let to = 0; to < size; to++) {
      if (from !== to) links.set(linkKey(from, to), await FaultProxy.start());
    }
  }
  return links;
}

async function startNodes(settings: Settings, links: Links): Promise<NatsServer[]> {
  const starting = Array.from(
    { length: settings.size },
    (_, index) => startNode(settings, links, index),
  );
  const results = await Promise.allSettled(starting);
  const nodes = results.flatMap((it) => it.status === "fulfilled" ? [it.value] : []);
  const failed = results.find((it) => it.status === "rejected");
  if (failed === undefined) return nodes;
  await endAll(nodes, links);
  throw failed.reason;
}

async function startNode(settings: Settings, links: Links, index: number): Promise<NatsServer> {
  const { size, name, port, monitorPort, storeDir, startTimeoutMs, node } = settings;
  const others = Array.from({ length: size }, (_, other) => other).filter((it) => it !== index);
  const cluster: ServerConfig = {
    name,
    host: "127.0.0.1",
    port: -1,
    advertise: NOWHERE,
    routes: others.map((other) => links.get(linkKey(index, other))!.url),
  };
  const server = await NatsServer.start({
    ...node,
    name: `${name}-${index + 1}`,
    port: port === undefined ? -1 : port + index,
    monitorPort: monitorPort === undefined ? -1 : monitorPort + index,
    storeDir: storeDir === undefined ? undefined : join(storeDir, `node-${index + 1}`),
    startTimeoutMs,
    config: { ...node.config, cluster },
  });
  for (const other of others) {
    links.get(linkKey(other, index))!.setTarget({ port: server.clusterPort! });
  }
  return server;
}

async function endAll(nodes: readonly NatsServer[], links: Links): Promise<void> {
  await Promise.all(nodes.map((node) => node.close()));
  await Promise.all([...links.values()].map((link) => link.close()));
}

/** How many other nodes a node has routes to; a route may consist of several connections. */
async function countPeers(monitorUrl: string): Promise<number> {
  const response = await fetch(`${monitorUrl}/routez`, {
    signal: AbortSignal.timeout(VIEW_TIMEOUT_MS),
  });
  const { routes } = await response.json() as { routes?: { remote_id: string }[] | null };
  return new Set(routes?.map((route) => route.remote_id)).size;
}
