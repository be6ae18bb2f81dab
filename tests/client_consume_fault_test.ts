import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import { coreOf } from "../client/core.ts";
import { isJsflowError } from "../client/errors.ts";
import {
  begin,
  type NumberHandler,
  type NumberOptions,
  remove,
  type Run,
  settled,
  STREAM,
  type StreamGround,
  withStream,
} from "../client/testdata/consume_ground.ts";
import { untilLost, withClient, withProxy } from "../client/testdata/server_ground.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";

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

/** A stream; whatever happens to the server, what is published gets there once. */
function withGround(use: (ground: StreamGround) => Promise<void>): Promise<void> {
  return withStream((ground) => use({ ...ground, publish: publisher(ground.client) }));
}

/** Runs a part of a test with a consumption that has a client of its own. */
async function withRun(
  servers: string | readonly string[],
  options: NumberOptions,
  use: (run: Run, client: Client) => Promise<void>,
  handler?: NumberHandler,
): Promise<void> {
  await withClient({ servers }, async (client) => {
    await use(await begin(coreOf(client), { ackWaitMs: 60_000, ...options }, handler), client);
  });
}

for (const name of ["durable", undefined]) {
  const kind = name ?? "nameless";
  test(`a ${kind} consumer that is deleted is made again: nothing is skipped or repeated`, async () => {
    await withGround(async ({ server, manager, publish }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const handler = (value: number) => value === 4 ? promise : undefined;
      await withRun(server.url, { name, concurrency: 2 }, async (run) => {
        await publish(1, 2, 3, 4, 5);
        await run.sees(5);
        await remove(manager, run.consumption.name);
        const { detail } = await run.meets("recreated");
        assert.match(detail, /from message 4 on/);
        await publish(6);
        await waitUntil(() => run.seen.includes(6), { what: "it goes on" });
        resolve();
        await settled(manager, run.consumption.name);
        // 5 was acknowledged, but lies behind 4, where the new consumer had to begin.
        assert.deepEqual(run.seen, [1, 2, 3, 4, 5, 5, 6]);
        assert.deepEqual(run.whats(), ["lost", "recreated", "recovered"]);
        assert.equal(run.consumption.status, "running");
      }, handler);
    });
  });
}

test("a consumer that others share is made again from what the server knew", async () => {
  await withGround(async ({ server, manager, publish }) => {
    await publish(1, 2, 3);
    await withRun(server.url, { name: "c" }, (run) => run.sees(3));
    const { promise, resolve } = Promise.withResolvers<void>();
    await withRun(server.url, { name: "c", maxMessages: 1 }, async (slow) => {
      await publish(4);
      await slow.sees(1);
      await withRun(server.url, { name: "c" }, async (quick) => {
        await publish(5, 6);
        await quick.sees(2);
        await remove(manager, "c");
        await quick.meets("recreated");
        // Message 4 is somebody else's, so that it must come again.
        await waitUntil(() => [...quick.seen, ...slow.seen].filter((n) => n === 4).length > 1, {
          what: "4 comes again",
        });
        resolve();
        await settled(manager, "c");
      });
    }, () => promise);
  });
});

test("a deleted consumer, by option: begun anew as its options say, or the end", async () => {
  await withGround(async ({ server, manager, publish }) => {
    await withRun(server.url, { name: "c", onGone: "restart" }, async (run) => {
      await publish(1, 2);
      await run.sees(2);
      await remove(manager, "c");
      await run.sees(4);
      assert.deepEqual(run.seen, [1, 2, 1, 2]);
    });
    await withRun(server.url, { name: "d", onGone: "fail" }, async (run) => {
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
    await withProxy({ target: { port: server.port } }, async (proxy) => {
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
    });
  });
});

test("a deleted stream ends the consumption, with or without a message under way", async () => {
  await withGround(async ({ server, manager, publish }) => {
    await withRun(server.url, { name: "c" }, async (run) => {
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
  await withGround(async ({ server, client: observer, manager, publish }) => {
    const autoCreate = { subjects: ["n.*"] };
    await withRun(server.url, { name: "c", stream: STREAM, autoCreate }, async (run) => {
      await publish(1, 2, 3);
      await run.sees(3);
      await manager.streams.delete(STREAM);
      const remade = () => manager.streams.info(STREAM).then(() => true, () => false);
      await waitUntil(remade, { what: "the stream is there" });
      await publisher(observer)(4, 5);
      await run.sees(5);
      await settled(manager, "c");
      assert.deepEqual(run.seen, [1, 2, 3, 4, 5]);
      assert.deepEqual(run.whats(), ["lost", "recreated", "recovered"]);
    });
  });
});

test("the server is killed and started again, over and over: nothing is lost", async () => {
  await withGround(async ({ server, manager, publish }) => {
    await withRun(
      server.url,
      { name: "c", ackWaitMs: 1_000, concurrency: 4 },
      async (run, client) => {
        const rounds = faultCount({ ci: 3, soak: 40 });
        for (let round = 0; round < rounds; round++) {
          await publish(3 * round + 1, 3 * round + 2);
          await server.kill();
          await untilLost(client);
          await server.restart();
          await publish(3 * round + 3);
          const last = 3 * round + 3;
          await waitUntil(() => new Set(run.seen).size === last, {
            what: `${last} are seen`,
            timeoutMs: 60_000,
          });
        }
        await settled(manager, "c");
        const { inFlight, waiting } = run.consumption.stats;
        assert.deepEqual([run.consumption.status, inFlight, waiting], ["running", 0, 0]);
      },
    );
  });
});

test("a nameless consumer that the server lost with its memory is made again", async () => {
  await withGround(async ({ server, publish }) => {
    const options = { memory: true, inactiveThresholdMs: 60_000 };
    await withRun(server.url, options, async (run) => {
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
  await withGround(async ({ server, publish }) => {
    await withRun(server.url, { name: "c", pullHeartbeatMs: 200 }, async (run) => {
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
  await withGround(async ({ server }) => {
    await withRun(server.url, { name: "c", pullHeartbeatMs: 100 }, async (run) => {
      const startedAt = performance.now();
      await waitUntil(() => performance.now() - startedAt > 2_000, { what: "time passes" });
      assert.deepEqual([run.whats(), run.errors], [[], []]);
    });
  });
});

test("a new leader: told, and consuming goes on", async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    await withClient({ servers: cluster.urls }, async (observer) => {
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
    });
  } finally {
    await cluster.close();
  }
});
