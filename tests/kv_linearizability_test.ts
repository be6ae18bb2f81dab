import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { serverCapabilities } from "../client/server_capabilities.ts";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { assertLinearizable } from "../testing/linearizability/assert_linearizable.ts";
import { openHistory } from "../testing/linearizability/history_recorder.ts";
import { readHistory } from "../testing/linearizability/read_history.ts";
import type { RecordedOperation } from "../testing/linearizability/recorded_operation.ts";
import {
  type RegisterInput,
  registerModel,
  type RegisterOutput,
} from "../testing/linearizability/register_model.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { faultCount } from "./_fault_count.ts";
import { KvClients } from "./_kv_clients.ts";
import { type SeededRandom, seededRandom } from "./seeded_random.ts";

const CLIENTS = 3;
const ROUNDS = faultCount({ ci: 1, soak: 60 });
/** Faults of a round besides those that lose answers. */
const OTHER_FAULTS = faultCount({ ci: 2, soak: 6 });
const CLUSTER_ROUNDS = faultCount({ ci: 1, soak: 20 });
const LOST_LEADERS = faultCount({ ci: 1, soak: 2 });
const KEYS = ["a", "b"];
/** What stands for a key where a fault is recorded. */
const FAULTS = "(faults)";
/** Milliseconds that a call of the first client may take, and of the others. */
const [HASTY_MS, PATIENT_MS] = [500, 4_000] as const;
/** The shortest and the longest fault. */
const FAULT_MS = [100, 600] as const;

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "jsflow-kv-history-"));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function shuffled<T>(items: readonly T[], random: SeededRandom): T[] {
  return items.map((item) => ({ item, at: random.next() })).sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

type Operation = RecordedOperation<RegisterInput, RegisterOutput>;

/** Checks a history, and says what it consists of. */
function check(path: string, what: string): void {
  const recorded = readHistory<RegisterInput, RegisterOutput>(path).operations;
  const operations = recorded.filter(({ key }) => key !== FAULTS);
  const unknown = operations.filter(({ result }) => result === undefined).length;
  const restarts = recorded.filter(({ key, input: { op } }) => key === FAULTS && isRestart(op));
  const again = restarts.flatMap((restart) => secondCopies(operations, restart));
  const steps = assertLinearizable(registerModel, [...operations, ...again]);
  console.log(
    `${what}: ${operations.length} operations, ${unknown} unknown, ${again.length} perhaps twice, ` +
      `${steps} steps`,
  );
  assert.ok(operations.length - unknown > 50, "hardly anything was done");
}

function isRestart(fault: string): boolean {
  return fault.startsWith("server killed");
}

/**
 * What may be stored twice, as `Store` says: a blind write that was under way while the one server
 * there is lost its memory of ids.
 */
function secondCopies(operations: readonly Operation[], restart: Operation): Operation[] {
  return operations.filter(({ input, called, returned }) =>
    input.op === "write" && called < restart.returned && returned > restart.called
  ).map((operation) => ({
    ...operation,
    result: undefined,
    returned: Infinity,
    note: "stored twice",
  }));
}

/** Brings one fault about, writes it into the history, and waits until every client goes on. */
async function withFault(
  { history, name, clients }: {
    readonly history: string;
    readonly name: string;
    readonly clients: KvClients;
  },
  fault: () => Promise<void>,
): Promise<void> {
  const recorder = openHistory(history, `fault ${randomUUID()}`);
  const fail = (error: unknown): never => {
    throw new Error(`${name}: ${error instanceof Error ? error.message : error}`, { cause: error });
  };
  try {
    const call = { key: FAULTS, input: { op: name } };
    await recorder.record(call, () => fault().then(() => ({})), { settle: fail });
    await clients.progress().catch(fail);
  } finally {
    recorder.close();
  }
}

interface SingleGround {
  readonly server: NatsServer;
  readonly proxies: readonly FaultProxy[];
  readonly clients: KvClients;
  readonly random: SeededRandom;
}

type Fault = (ground: SingleGround) => Promise<void>;

function faultMs(random: SeededRandom): number {
  return FAULT_MS[0] + random.next() * (FAULT_MS[1] - FAULT_MS[0]);
}

function somebody(random: SeededRandom): number {
  return Math.floor(random.next() * CLIENTS);
}

/** Harms one connection until it is healed. */
function onProxy(harm: (proxy: FaultProxy) => void): Fault {
  return async ({ proxies, random }) => {
    const proxy = proxies[somebody(random)]!;
    harm(proxy);
    await after(faultMs(random));
    proxy.heal();
  };
}

/** Those after which a client must find out what became of its writes. */
const lostAnswers: Readonly<Record<string, Fault>> = {
  "answers lost": onProxy((proxy) => proxy.drop({ direction: "toClient" })),
  // What the patient ones wrote is stored and replaced, and the server forgets that it knew it.
  "server killed after answers were lost": async ({ server, proxies: [_, ...others], clients }) => {
    for (const proxy of others) proxy.drop({ direction: "toClient" });
    await clients.progress({ count: 1, operations: 12 });
    await server.kill();
    for (const proxy of others) proxy.heal();
    await server.restart();
  },
  // Nobody tells the hasty one in time what became of its writes.
  "answers lost for long": async ({ proxies: [proxy] }) => {
    proxy!.drop({ direction: "toClient" });
    await after(HASTY_MS + FAULT_MS[1]);
    proxy!.heal();
  },
};

const otherFaults: Readonly<Record<string, Fault>> = {
  "server killed": async ({ server }) => {
    await server.kill();
    await server.restart();
  },
  "server frozen": async ({ server, random }) => {
    server.pause();
    await after(faultMs(random));
    server.continue();
  },
  "client frozen": async ({ clients, random }) => {
    const client = clients.at(somebody(random));
    client.kill("SIGSTOP");
    await after(faultMs(random));
    client.kill("SIGCONT");
  },
  "client killed": async ({ clients, proxies, random }) => {
    const place = 1 + Math.floor(random.next() * (CLIENTS - 1));
    await clients.at(place).close();
    await clients.start({ servers: [proxies[place]!.url] }, place);
  },
  "connection cut": onProxy((proxy) => proxy.cut()),
  "connection stalled": onProxy((proxy) => proxy.stall()),
};

test("one node: every history is linearizable, reads included", async () => {
  const random = seededRandom("kv histories");
  await inFolder(async (folder) => {
    const server = await NatsServer.start();
    try {
      for (let round = 1; round <= ROUNDS; round++) {
        await singleRound({ server, random, history: join(folder, `${round}`), round });
      }
    } finally {
      await server.close();
    }
  });
});

async function singleRound(
  { server, random, history, round }: {
    readonly server: NatsServer;
    readonly random: SeededRandom;
    readonly history: string;
    readonly round: number;
  },
): Promise<void> {
  const config = {
    bucket: `round-${round}`,
    keys: KEYS,
    history,
    replicas: 1,
    timeoutMs: PATIENT_MS,
  };
  const clients = new KvClients({ ...config, lanes: 4, recordsReads: true });
  const proxies: FaultProxy[] = [];
  try {
    for (let place = 0; place < CLIENTS; place++) {
      proxies.push(await FaultProxy.start({ target: { port: server.port } }));
    }
    await Promise.all(
      proxies.map(({ url }, place) =>
        clients.start({ servers: [url], ...(place === 0 ? { timeoutMs: HASTY_MS } : {}) }, place)
      ),
    );
    const ground = { server, proxies, clients, random };
    const others = shuffled(Object.entries(otherFaults), random).slice(0, OTHER_FAULTS);
    const lost = Object.entries(lostAnswers);
    const faults = [...lost, ...lost, ...others];
    for (const [name, fault] of shuffled(faults, random)) {
      await withFault({ history, name, clients }, () => fault(ground));
    }
    await clients.stop();
    check(history, `round ${round}`);
  } finally {
    await clients.close();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
}

interface ClusterGround {
  readonly cluster: NatsCluster;
  readonly stream: string;
  readonly clients: KvClients;
  readonly random: SeededRandom;
}

const lostLeaders: Readonly<Record<string, (ground: ClusterGround) => Promise<void>>> = {
  "leader killed": async ({ cluster, stream, clients }) => {
    const leader = await cluster.leaderOf(stream);
    await leader.kill();
    await clients.progress();
    await cluster.restartNode(leader);
    await cluster.ready();
  },
  "leader cut off": async ({ cluster, stream, clients }) => {
    const leader = await cluster.leaderOf(stream);
    cluster.cut(leader);
    try {
      await cluster.leaderOf(stream, { timeoutMs: 30_000 });
      await clients.progress({ count: 1 });
    } finally {
      cluster.heal(leader);
    }
    await cluster.ready();
  },
};

async function freezeLeader({ cluster, stream, random }: ClusterGround): Promise<void> {
  const leader = await cluster.leaderOf(stream);
  leader.pause();
  await after(faultMs(random));
  leader.continue();
}

test("three nodes: every history of writes is linearizable", async (context) => {
  const random = seededRandom("kv cluster histories");
  const cluster = await NatsCluster.start({ size: CLIENTS });
  try {
    if (!serverCapabilities(cluster.nodes[0]!.version).supports("replicated_cas")) {
      return context.skip("this server lets two writers win, so stores refuse replicas");
    }
    await inFolder(async (folder) => {
      for (let round = 1; round <= CLUSTER_ROUNDS; round++) {
        await clusterRound({ cluster, random, history: join(folder, `${round}`), round });
      }
    });
  } finally {
    await cluster.close();
  }
});

async function clusterRound(
  { cluster, random, history, round }: {
    readonly cluster: NatsCluster;
    readonly random: SeededRandom;
    readonly history: string;
    readonly round: number;
  },
): Promise<void> {
  const bucket = `round-${round}`;
  const config = { bucket, keys: KEYS, history, replicas: 3, timeoutMs: 4_000 };
  const clients = new KvClients({ ...config, lanes: 4, recordsReads: false });
  try {
    await Promise.all(cluster.urls.map((url, place) => clients.start({ servers: [url] }, place)));
    const ground = { cluster, stream: `KV_${bucket}`, clients, random };
    const lost = shuffled(Object.entries(lostLeaders), random).slice(0, LOST_LEADERS);
    const faults = [...lost, ["leader frozen", freezeLeader] as const];
    for (const [name, fault] of shuffled(faults, random)) {
      await withFault({ history, name, clients }, () => fault(ground));
    }
    await clients.stop();
    check(history, `cluster round ${round}`);
  } finally {
    await clients.close();
  }
}
