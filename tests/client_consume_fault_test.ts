import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import type { JetStreamManager } from "@nats-io/jetstream";
import type { Client } from "../client/client.ts";
import type { ConsumerEvent } from "../client/client_event.ts";
import { connect } from "../client/connect.ts";
import { consume } from "../client/consume.ts";
import type { ConsumeHandler, ConsumeOptions } from "../client/consume_options.ts";
import type { Consumption } from "../client/consumption.ts";
import { coreOf } from "../client/core.ts";
import { isJsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { type Subject, subject } from "../client/subject.ts";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";

const Numbers: Subject<number, "part"> = subject("n.{part}", json<number>());
const STREAM = "N";

type Options = ConsumeOptions<number, "part">;

/** A server, and a client whose view of it no consumption shares. */
interface Ground {
  readonly server: NatsServer;
  readonly url: string;
  readonly observer: Client;
  readonly manager: JetStreamManager;
  publish(...values: number[]): Promise<void>;
}

async function withGround(use: (ground: Ground) => Promise<void>): Promise<void> {
  const server = await NatsServer.start();
  try {
    const observer = await connect({ servers: server.url });
    try {
      const manager = await observer.manager();
      await manager.streams.add({ name: STREAM, subjects: ["n.*"] });
      await use({ server, url: server.url, observer, manager, publish: publisher(observer) });
    } finally {
      await observer.close();
    }
  } finally {
    await server.close();
  }
}

function publisher(client: Client): (...values: number[]) => Promise<void> {
  return async (...values) => {
    for (const value of values) {
      await waitUntil(
        () => client.jetstream.publish("n.a", JSON.stringify(value), { msgID: `${value}` }),
        { what: `${value} is stored`, timeoutMs: 30_000 },
      );
    }
  };
}

/** A consumption with a client of its own, and what it has gone through. */
interface Run {
  readonly client: Client;
  readonly consumption: Consumption;
  readonly seen: number[];
  readonly errors: unknown[];
  readonly events: ConsumerEvent[];
  whats(): string[];
  sees(count: number): Promise<void>;
  meets(what: ConsumerEvent["what"]): Promise<ConsumerEvent>;
}

async function withRun(
  servers: string | readonly string[],
  options: Options,
  use: (run: Run) => Promise<void>,
  handler: ConsumeHandler<number, "part"> = () => {},
): Promise<void> {
  const client = await connect({ servers });
  try {
    await use(await begin(client, options, handler));
  } finally {
    await client.close();
  }
}

async function begin(
  client: Client,
  options: Options,
  handler: ConsumeHandler<number, "part">,
): Promise<Run> {
  const seen: number[] = [];
  const errors: unknown[] = [];
  const events: ConsumerEvent[] = [];
  const consumption = await consume(
    coreOf(client),
    Numbers,
    {
      ackWaitMs: 60_000,
      onError: (error) => void errors.push(error),
      onRecovery: (event) => void events.push(event),
      ...options,
    },
    (value, message) => {
      seen.push(value);
      return handler(value, message);
    },
  );
  const whats = () => events.map(({ what }) => what);
  const sees = async (count: number) => {
    const what = `${count} messages are seen`;
    await waitUntil(() => seen.length >= count, { what, timeoutMs: 30_000 })
      .catch((error) => {
        throw new Error(`${error.message}; seen: ${seen}; ${JSON.stringify(events)}; ${errors}`);
      });
    assert.equal(seen.length, count, seen.join());
  };
  const meets = async (what: ConsumerEvent["what"]) =>
    await waitUntil(() => events.findLast((event) => event.what === what), {
      what: `${what} is told`,
      timeoutMs: 30_000,
    });
  return { client, consumption, seen, errors, events, whats, sees, meets };
}

async function allDone(manager: JetStreamManager, name: string): Promise<void> {
  await waitUntil(async () => {
    const info = await manager.consumers.info(STREAM, name);
    return info.num_ack_pending === 0 && info.num_pending === 0;
  }, { what: "everything is acknowledged", timeoutMs: 30_000 });
}

/** Servers of the 2.9 line may delete a consumer, and say that its folder was not empty. */
async function remove(manager: JetStreamManager, name: string): Promise<void> {
  await manager.consumers.delete(STREAM, name).catch((error) => {
    if (!/not empty/.test(error.message)) throw error;
  });
}

for (const name of ["durable", undefined]) {
  const kind = name ?? "nameless";
  test(`a ${kind} consumer that is deleted is made again: nothing is skipped or repeated`, async () => {
    await withGround(async ({ url, manager, publish }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const handler = (value: number) => value === 4 ? promise : undefined;
      await withRun(url, { name, concurrency: 2 }, async (run) => {
        await publish(1, 2, 3, 4, 5);
        await run.sees(5);
        await remove(manager, run.consumption.name);
        const { detail } = await run.meets("recreated");
        assert.match(detail, /from message 4 on/);
        await publish(6);
        await waitUntil(() => run.seen.includes(6), { what: "it goes on" });
        resolve();
        await allDone(manager, run.consumption.name);
        // 5 was acknowledged, but lies behind 4, where the new consumer had to begin.
        assert.deepEqual(run.seen, [1, 2, 3, 4, 5, 5, 6]);
        assert.deepEqual(run.whats(), ["lost", "recreated", "recovered"]);
        assert.equal(run.consumption.status, "running");
      }, handler);
    });
  });
}

test("a consumer that others share is made again from what the server knew", async () => {
  await withGround(async ({ url, manager, publish }) => {
    await publish(1, 2, 3);
    await withRun(url, { name: "c" }, (run) => run.sees(3));
    const { promise, resolve } = Promise.withResolvers<void>();
    await withRun(url, { name: "c", maxMessages: 1 }, async (slow) => {
      await publish(4);
      await slow.sees(1);
      await withRun(url, { name: "c" }, async (quick) => {
        await publish(5, 6);
        await quick.sees(2);
        await remove(manager, "c");
        await quick.meets("recreated");
        // Message 4 is somebody else's, so that it must come again.
        await waitUntil(() => [...quick.seen, ...slow.seen].filter((n) => n === 4).length > 1, {
          what: "4 comes again",
        });
        resolve();
        await allDone(manager, "c");
      });
    }, () => promise);
  });
});

test("a deleted consumer, by option: begun anew as its options say, or the end", async () => {
  await withGround(async ({ url, manager, publish }) => {
    await withRun(url, { name: "c", onGone: "restart" }, async (run) => {
      await publish(1, 2);
      await run.sees(2);
      await remove(manager, "c");
      await run.sees(4);
      assert.deepEqual(run.seen, [1, 2, 1, 2]);
    });
    await withRun(url, { name: "d", onGone: "fail" }, async (run) => {
      await run.sees(2);
      await remove(manager, "d");
      const cause = await run.consumption.closed;
      assert.ok(isJsflowError(cause, "consumer_not_found"), String(cause));
      assert.equal(run.consumption.status, "closed");
      assert.equal(run.whats().at(-1), "stopped");
    });
  });
});

test("a consumer that somebody deletes and makes again is noticed and used", async () => {
  await withGround(async ({ server, manager, publish }) => {
    const proxy = await FaultProxy.start({ target: { port: server.port } });
    try {
      await withRun(proxy.url, { name: "c" }, async (run) => {
        await publish(1, 2);
        await run.sees(2);
        const { config } = await manager.consumers.info(STREAM, "c");
        for (let round = 1; round <= faultCount({ ci: 3, soak: 50 }); round++) {
          const before = run.events.length;
          proxy.stall({ direction: "toClient" }); // or the run would be quicker
          await remove(manager, "c");
          await manager.consumers.add(STREAM, config);
          proxy.heal();
          await run.sees(2 + 2 * round);
          await waitUntil(() => run.whats().lastIndexOf("recovered") >= before, {
            what: "it goes on",
          });
          assert.ok(run.whats().lastIndexOf("recreated") >= before, run.whats().join());
        }
        proxy.stall({ direction: "toClient" });
        await remove(manager, "c");
        await manager.consumers.add(STREAM, { ...config, ack_wait: 5e9 });
        proxy.heal();
        const cause = await run.consumption.closed;
        assert.ok(isJsflowError(cause, "config_drift"), String(cause));
      });
    } finally {
      await proxy.close();
    }
  });
});

test("a deleted stream ends the consumption, with or without a message under way", async () => {
  await withGround(async ({ url, manager, publish }) => {
    await withRun(url, { name: "c" }, async (run) => {
      await publish(1);
      await run.sees(1);
      await manager.streams.delete(STREAM);
      const cause = await run.consumption.closed;
      assert.ok(isJsflowError(cause, "stream_not_found"), String(cause));
      assert.deepEqual(run.whats(), ["lost", "stopped"]);
    });
  });
});

test("a deleted stream is made again where that is wanted", async () => {
  await withGround(async ({ url, manager, publish, observer }) => {
    const autoCreate = { subjects: ["n.*"] };
    await withRun(url, { name: "c", stream: STREAM, autoCreate }, async (run) => {
      await publish(1, 2, 3);
      await run.sees(3);
      await manager.streams.delete(STREAM);
      const remade = () => manager.streams.info(STREAM).then(() => true, () => false);
      await waitUntil(remade, { what: "the stream is there" });
      await publisher(observer)(4, 5);
      await run.sees(5);
      await allDone(manager, "c");
      assert.deepEqual(run.seen, [1, 2, 3, 4, 5]);
      assert.deepEqual(run.whats(), ["lost", "recreated", "recovered"]);
    });
  });
});

test("the server is killed and started again, over and over: nothing is lost", async () => {
  await withGround(async ({ server, url, manager, publish }) => {
    await withRun(url, { name: "c", ackWaitMs: 1_000, concurrency: 4 }, async (run) => {
      const rounds = faultCount({ ci: 3, soak: 40 });
      for (let round = 0; round < rounds; round++) {
        await publish(3 * round + 1, 3 * round + 2);
        await server.kill();
        await waitUntil(() => run.client.status === "reconnecting", { what: "the loss is seen" });
        await server.restart();
        await publish(3 * round + 3);
        const last = 3 * round + 3;
        await waitUntil(() => new Set(run.seen).size === last, {
          what: `${last} are seen`,
          timeoutMs: 60_000,
        });
      }
      await allDone(manager, "c");
      const { active, queued } = run.consumption.stats;
      assert.deepEqual([run.consumption.status, active, queued], ["running", 0, 0]);
    });
  });
});

test("a nameless consumer that the server lost with its memory is made again", async () => {
  await withGround(async ({ server, url, publish }) => {
    const options = { memory: true, inactiveThresholdMs: 60_000 };
    await withRun(url, options, async (run) => {
      await publish(1, 2);
      await run.sees(2);
      await server.restart();
      await run.meets("recovered");
      await publish(3);
      await waitUntil(() => run.seen.includes(3), { what: "it goes on", timeoutMs: 30_000 });
    });
  });
});

test("a server that stands still is noticed, and consuming goes on when it is back", {
  skip: process.platform === "win32" && "Windows can't pause a process",
}, async () => {
  await withGround(async ({ server, url, publish }) => {
    await withRun(url, { name: "c", pullHeartbeatMs: 200 }, async (run) => {
      await publish(1);
      await run.sees(1);
      server.pause();
      try {
        await run.meets("missed_heartbeats");
      } finally {
        server.continue();
      }
      await publish(2);
      await run.sees(2);
      await run.meets("recovered");
      assert.deepEqual(run.seen, [1, 2]);
    });
  });
});

test("an idle consumption has nothing to tell", async () => {
  await withGround(async ({ url }) => {
    await withRun(url, { name: "c", pullHeartbeatMs: 100 }, async (run) => {
      const startedAt = performance.now();
      await waitUntil(() => performance.now() - startedAt > 2_000, { what: "time passes" });
      assert.deepEqual([run.whats(), run.errors], [[], []]);
    });
  });
});

test("a new leader: told, and consuming goes on", async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    const observer = await connect({ servers: cluster.urls });
    try {
      const manager = await observer.manager();
      await manager.streams.add({ name: STREAM, subjects: ["n.*"], num_replicas: 3 });
      await withRun(cluster.urls, { name: "c" }, async (run) => {
        const publish = publisher(observer);
        await publish(1);
        await run.sees(1);
        const stepDown = `$JS.API.CONSUMER.LEADER.STEPDOWN.${STREAM}.c`;
        for (let round = 1; round <= faultCount({ ci: 2, soak: 20 }); round++) {
          const before = run.events.length;
          await observer.connection.request(stepDown, "", { timeout: 5_000 });
          await waitUntil(() => run.whats().lastIndexOf("leader_changed") >= before, {
            what: "the new leader is told",
            timeoutMs: 30_000,
          });
          await publish(round + 1);
          await waitUntil(() => run.seen.includes(round + 1), {
            what: "consuming goes on",
            timeoutMs: 30_000,
          });
        }
        assert.equal(run.consumption.status, "running");
      });
    } finally {
      await observer.close();
    }
  } finally {
    await cluster.close();
  }
});
