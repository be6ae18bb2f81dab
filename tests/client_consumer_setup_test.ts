import assert from "node:assert/strict";
import { test } from "node:test";
import { AckPolicy, type ConsumerConfig, type JetStreamManager } from "@nats-io/jetstream";
import { coreOf } from "../client/core.ts";
import { isJsflowError } from "../client/errors.ts";
import {
  begin,
  remove,
  settled,
  STREAM,
  type StreamGround,
  withStream,
} from "../client/testdata/consume_ground.ts";
import {
  QUICK,
  untilLost,
  withClient,
  withConnected,
  withProxiedClient,
} from "../client/testdata/server_ground.ts";
import { waitUntil } from "../testing/wait_until.ts";

const NEVER_MS = 600_000;

/** Its subjects are those of a stream that is made for `n.{part}`. */
function withGround(use: (ground: StreamGround) => Promise<void>): Promise<void> {
  return withStream(use, { client: QUICK, subjects: ["n", "n.>"] });
}

function addDurable(
  manager: JetStreamManager,
  config: Partial<ConsumerConfig>,
): Promise<unknown> {
  return manager.consumers.add(STREAM, {
    durable_name: "c",
    ack_policy: AckPolicy.Explicit,
    filter_subject: "n.*",
    ...config,
  });
}

test("a nameless consumer whose making is aborted is deleted", async () => {
  await withGround(async ({ server, manager }) => {
    await withProxiedClient(server, QUICK, async (client, proxy) => {
      const reason = new Error("no more");
      const controller = new AbortController();
      proxy.delay(200, { direction: "toClient" }); // so that there is time to abort
      const options = { inactiveThresholdMs: NEVER_MS, signal: controller.signal };
      const consuming = begin(coreOf(client), options).catch((error) => error);
      const names = async () => (await manager.consumers.list(STREAM).next()).length;
      await waitUntil(async () => await names() === 1, { what: "it is made", intervalMs: 1 });
      controller.abort(reason);
      assert.equal(await consuming, reason);
      await waitUntil(async () => await names() === 0, { what: "it is gone" });
    });
  });
});

test("a user who may subscribe below an inbox prefix only can consume", async () => {
  const user = { user: "u", password: "u", permissions: { subscribe: ["_MINE.>"] } };
  const server = {
    config: { authorization: { users: [{ user: "a", password: "a" }, user] } },
    credentials: { user: "a", pass: "a" },
  };
  const client = { user: "u", pass: "u", nats: { inboxPrefix: "_MINE" } };
  await withConnected({ server, client }, async ({ client, core }) => {
    const run = await begin(core, { autoCreate: true });
    await client.jetstream.publish("n.a", "1");
    await run.sees(1);
    assert.deepEqual(run.errors, []);
  });
});

test("a deleted consumer is made again as it was, not as the options are by default", async () => {
  await withGround(async ({ server, manager, publish }) => {
    const own = { ack_wait: 300e9, max_deliver: 5, max_ack_pending: 7, description: "of ops" };
    await addDurable(manager, {
      ...own,
      opt_start_time: new Date(1e12).toISOString(),
      deliver_policy: "by_start_time",
    });
    await withClient({ servers: server.url, ...QUICK }, async (client) => {
      const run = await begin(coreOf(client), { name: "c" });
      await publish(1, 2);
      await run.sees(2);
      await settled(manager, "c");
      for (const count of [1, 2]) {
        await remove(manager, "c");
        await run.meets("recovered", count);
        const { config } = await manager.consumers.info(STREAM, "c");
        const { ack_wait, max_deliver, max_ack_pending, description } = config;
        assert.deepEqual({ ack_wait, max_deliver, max_ack_pending, description }, own);
        assert.deepEqual([config.opt_start_seq, config.opt_start_time], [3, undefined]);
      }
      assert.deepEqual(run.seen, [1, 2]);
    });
  });
});

test("a stream that is made again captures what it captured before", async () => {
  await withGround(async ({ server, manager }) => {
    await withClient({ servers: server.url, ...QUICK }, async (client) => {
      const run = await begin(coreOf(client), { name: "c", autoCreate: true });
      await manager.streams.delete(STREAM);
      await run.meets("recovered");
      const { config } = await manager.streams.info(STREAM);
      assert.deepEqual([...config.subjects].sort(), ["n", "n.>"]);
    });
  });
});

test("of two who make a consumer differently at once, one has config_drift", async () => {
  await withGround(async ({ server }) => {
    await withClient(
      { servers: server.url, ...QUICK },
      (one) =>
        withClient({ servers: server.url, ...QUICK }, async (other) => {
          for (let round = 0; round < 10; round++) {
            const [name, results] = [`c${round}`, [] as unknown[]];
            await Promise.all([one, other].map(async (client, index) => {
              const options = { name, ackWaitMs: 10_000 * (index + 1) };
              results.push(await begin(coreOf(client), options).catch((error) => error));
            }));
            const failed = results.filter((result) => result instanceof Error);
            assert.equal(failed.length, 1, `round ${round}`);
            assert.ok(isJsflowError(failed[0], "config_drift"), String(failed[0]));
          }
        }),
    );
  });
});

for (
  const [what, config] of Object.entries({
    messages: { max_batch: 3 },
    time: { max_expires: 700e6 },
    both: { max_batch: 1, max_expires: 90e9 },
  })
) {
  test(`limits of a consumer for one request are kept to: ${what}`, async () => {
    await withGround(async ({ server, manager, publish }) => {
      await addDurable(manager, config);
      await withClient({ servers: server.url, ...QUICK }, async (client) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        const run = await begin(coreOf(client), { name: "c", concurrency: 8 }, () => promise);
        await publish(...Array.from({ length: 40 }, (_, index) => index));
        await run.sees(8); // at the same time, whatever fits into one request
        resolve();
        await run.sees(40);
        await settled(manager, "c");
        assert.deepEqual([run.seen.length, run.errors, run.whats()], [40, [], []]);
      });
    });
  });
}

test("a limit in bytes is kept to", async () => {
  await withGround(async ({ server, manager, publish }) => {
    await addDurable(manager, { max_bytes: 500 });
    await withClient({ servers: server.url, ...QUICK }, async (client) => {
      const run = await begin(coreOf(client), { name: "c", maxBytes: 10_000 });
      await publish(1, 2, 3);
      await run.sees(3);
      assert.deepEqual([run.errors, run.whats()], [[], []]);
    });
  });
});

test("a consumer that others once shared is made again without replay", async () => {
  await withGround(async ({ server, client: observer, manager, publish }) => {
    await withProxiedClient(server, QUICK, async (client, proxy) => {
      const run = await begin(coreOf(client), { name: "c", maxMessages: 1 });
      await withClient({ servers: server.url, ...QUICK }, async (second) => {
        const other = await begin(coreOf(second), { name: "c", maxMessages: 1 });
        for (let value = 1; other.seen.length < 2 || run.seen.length < 2; value++) {
          await publish(value);
          await waitUntil(() => run.seen.length + other.seen.length === value, { what: "seen" });
        }
      });
      await settled(manager, "c");
      const before = run.seen.length;
      let asked = 0;
      observer.connection.subscribe(`$JS.API.CONSUMER.INFO.${STREAM}.c`, {
        callback: () => void asked++,
      });
      await observer.connection.flush();
      proxy.cut();
      await untilLost(client);
      proxy.heal();
      await waitUntil(() => asked > 0, { what: "it asks where the consumer is" });
      await client.connection.flush(); // what is answered comes before
      await publish(1_000);
      await run.sees(before + 1);
      await settled(manager, "c");
      await remove(manager, "c");
      await run.meets("recreated");
      await publish(1_001);
      await waitUntil(() => run.seen.includes(1_001), { what: "it goes on" });
      assert.equal(run.seen.length, before + 2, run.seen.join());
    });
  });
});

test("an update that the server refuses is config_drift", async () => {
  await withGround(async ({ server }) => {
    await withClient({ servers: server.url, ...QUICK }, async (client) => {
      await (await begin(coreOf(client), { name: "c", deliver: "new" })).consumption.drain();
      const error = await begin(coreOf(client), { name: "c", deliver: "last", onDrift: "update" })
        .catch((error) => error);
      assert.ok(isJsflowError(error, "config_drift"), String(error));
      assert.match(error.message, /deliver: "new" → "last"/);
    });
  });
});
