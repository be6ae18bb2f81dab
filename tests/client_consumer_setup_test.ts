import assert from "node:assert/strict";
import { test } from "node:test";
import { AckPolicy, type ConsumerConfig, type JetStreamManager } from "@nats-io/jetstream";
import type { Client } from "../client/client.ts";
import { connect } from "../client/connect.ts";
import { consume } from "../client/consume.ts";
import type { ConsumeHandler, ConsumeOptions } from "../client/consume_options.ts";
import type { Consumption } from "../client/consumption.ts";
import { coreOf } from "../client/core.ts";
import { isJsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { type Subject, subject } from "../client/subject.ts";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";

const Numbers: Subject<number, "part"> = subject("n.{part}", json<number>());
const STREAM = "N";
const NEVER_MS = 600_000;

type Options = ConsumeOptions<number, "part">;

/** A server, and a client whose view of it no consumption shares. */
interface Ground {
  readonly server: NatsServer;
  readonly observer: Client;
  readonly manager: JetStreamManager;
  publish(...values: number[]): Promise<void>;
}

async function withGround(use: (ground: Ground) => Promise<void>): Promise<void> {
  const server = await NatsServer.start();
  try {
    await withClient(server.url, async (observer) => {
      const manager = await observer.manager();
      await manager.streams.add({ name: STREAM, subjects: ["n", "n.>"] });
      const publish = async (...values: number[]) => {
        for (const value of values) await observer.jetstream.publish("n.a", `${value}`);
      };
      await use({ server, observer, manager, publish });
    });
  } finally {
    await server.close();
  }
}

async function withClient(servers: string, use: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect({ servers, reconnect: { initialMs: 20, maxMs: 50 } });
  try {
    await use(client);
  } finally {
    await client.close();
  }
}

/** A consumption, and what it has gone through. */
interface Run {
  readonly consumption: Consumption;
  readonly seen: number[];
  readonly errors: unknown[];
  readonly told: string[];
  sees(count: number): Promise<void>;
  meets(what: string, count?: number): Promise<void>;
}

async function begin(
  client: Client,
  options: Options,
  handler: ConsumeHandler<number, "part"> = () => {},
): Promise<Run> {
  const seen: number[] = [];
  const errors: unknown[] = [];
  const told: string[] = [];
  const consumption = await consume(coreOf(client), Numbers, {
    onError: (error) => void errors.push(error),
    onRecovery: ({ what }) => void told.push(what),
    ...options,
  }, (value, message) => {
    seen.push(value);
    return handler(value, message);
  });
  const sees = async (count: number) => {
    await waitUntil(() => seen.length >= count, { what: `${count} are seen; ${errors}; ${told}` });
  };
  const meets = async (what: string, count = 1) => {
    const isMet = () => told.filter((one) => one === what).length >= count;
    await waitUntil(isMet, { what: `${what} is told`, timeoutMs: 30_000 });
  };
  return { consumption, seen, errors, told, sees, meets };
}

async function allDone(manager: JetStreamManager, name: string): Promise<void> {
  await waitUntil(async () => {
    const info = await manager.consumers.info(STREAM, name);
    return info.num_ack_pending === 0 && info.num_pending === 0;
  }, { what: "everything is acknowledged" });
}

/** Servers of the 2.9 line may delete a consumer, and say that its folder was not empty. */
async function remove(manager: JetStreamManager, name: string): Promise<void> {
  await manager.consumers.delete(STREAM, name).catch((error) => {
    if (!/not empty/.test(error.message)) throw error;
  });
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
    const proxy = await FaultProxy.start({ target: { port: server.port } });
    try {
      await withClient(proxy.url, async (client) => {
        const reason = new Error("no more");
        const controller = new AbortController();
        proxy.delay(200, { direction: "toClient" }); // so that there is time to abort
        const options = { inactiveThresholdMs: NEVER_MS, signal: controller.signal };
        const consuming = begin(client, options).catch((error) => error);
        const names = async () => (await manager.consumers.list(STREAM).next()).length;
        await waitUntil(async () => await names() === 1, { what: "it is made", intervalMs: 1 });
        controller.abort(reason);
        assert.equal(await consuming, reason);
        await waitUntil(async () => await names() === 0, { what: "it is gone" });
      });
    } finally {
      await proxy.close();
    }
  });
});

test("a user who may subscribe below an inbox prefix only can consume", async () => {
  const user = { user: "u", password: "u", permissions: { subscribe: ["_MINE.>"] } };
  const server = await NatsServer.start({
    config: { authorization: { users: [{ user: "a", password: "a" }, user] } },
    credentials: { user: "a", pass: "a" },
  });
  try {
    const client = await connect({
      servers: server.url,
      user: "u",
      pass: "u",
      nats: { inboxPrefix: "_MINE" },
    });
    try {
      const run = await begin(client, { autoCreate: true });
      await client.jetstream.publish("n.a", "1");
      await run.sees(1);
      assert.deepEqual(run.errors, []);
    } finally {
      await client.close();
    }
  } finally {
    await server.close();
  }
});

test("a deleted consumer is made again as it was, not as the options are by default", async () => {
  await withGround(async ({ server, manager, publish }) => {
    const own = { ack_wait: 300e9, max_deliver: 5, max_ack_pending: 7, description: "of ops" };
    await addDurable(manager, {
      ...own,
      opt_start_time: new Date(1e12).toISOString(),
      deliver_policy: "by_start_time",
    });
    await withClient(server.url, async (client) => {
      const run = await begin(client, { name: "c" });
      await publish(1, 2);
      await run.sees(2);
      await allDone(manager, "c");
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
    await withClient(server.url, async (client) => {
      const run = await begin(client, { name: "c", autoCreate: true });
      await manager.streams.delete(STREAM);
      await run.meets("recovered");
      const { config } = await manager.streams.info(STREAM);
      assert.deepEqual([...config.subjects].sort(), ["n", "n.>"]);
    });
  });
});

test("of two who make a consumer differently at once, one has config_drift", async () => {
  await withGround(async ({ server }) => {
    await withClient(server.url, (one) =>
      withClient(server.url, async (other) => {
        for (let round = 0; round < 10; round++) {
          const [name, results] = [`c${round}`, [] as unknown[]];
          await Promise.all([one, other].map(async (client, index) => {
            const options = { name, ackWaitMs: 10_000 * (index + 1) };
            results.push(await begin(client, options).catch((error) => error));
          }));
          const failed = results.filter((result) => result instanceof Error);
          assert.equal(failed.length, 1, `round ${round}`);
          assert.ok(isJsflowError(failed[0], "config_drift"), String(failed[0]));
        }
      }));
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
      await withClient(server.url, async (client) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        const run = await begin(client, { name: "c", concurrency: 8 }, () => promise);
        await publish(...Array.from({ length: 40 }, (_, index) => index));
        await run.sees(8); // at the same time, whatever fits into one request
        resolve();
        await run.sees(40);
        await allDone(manager, "c");
        assert.deepEqual([run.seen.length, run.errors, run.told], [40, [], []]);
      });
    });
  });
}

test("a limit in bytes is kept to", async () => {
  await withGround(async ({ server, manager, publish }) => {
    await addDurable(manager, { max_bytes: 500 });
    await withClient(server.url, async (client) => {
      const run = await begin(client, { name: "c", maxBytes: 10_000 });
      await publish(1, 2, 3);
      await run.sees(3);
      assert.deepEqual([run.errors, run.told], [[], []]);
    });
  });
});

test("a consumer that others once shared is made again without replay", async () => {
  await withGround(async ({ server, observer, manager, publish }) => {
    const proxy = await FaultProxy.start({ target: { port: server.port } });
    try {
      await withClient(proxy.url, async (client) => {
        const run = await begin(client, { name: "c", maxMessages: 1 });
        await withClient(server.url, async (second) => {
          const other = await begin(second, { name: "c", maxMessages: 1 });
          for (let value = 1; other.seen.length < 2 || run.seen.length < 2; value++) {
            await publish(value);
            await waitUntil(() => run.seen.length + other.seen.length === value, { what: "seen" });
          }
        });
        await allDone(manager, "c");
        const before = run.seen.length;
        let asked = 0;
        observer.connection.subscribe(`$JS.API.CONSUMER.INFO.${STREAM}.c`, {
          callback: () => void asked++,
        });
        await observer.connection.flush();
        proxy.cut();
        await waitUntil(() => client.status === "reconnecting", { what: "the loss is seen" });
        proxy.heal();
        await waitUntil(() => asked > 0, { what: "it asks where the consumer is" });
        await client.connection.flush(); // what is answered comes before
        await publish(1_000);
        await run.sees(before + 1);
        await allDone(manager, "c");
        await remove(manager, "c");
        await run.meets("recreated");
        await publish(1_001);
        await waitUntil(() => run.seen.includes(1_001), { what: "it goes on" });
        assert.equal(run.seen.length, before + 2, run.seen.join());
      });
    } finally {
      await proxy.close();
    }
  });
});

test("an update that the server refuses is config_drift", async () => {
  await withGround(async ({ server }) => {
    await withClient(server.url, async (client) => {
      await (await begin(client, { name: "c", deliver: "new" })).consumption.drain();
      const error = await begin(client, { name: "c", deliver: "last", onDrift: "update" })
        .catch((error) => error);
      assert.ok(isJsflowError(error, "config_drift"), String(error));
      assert.match(error.message, /deliver: "new" → "last"/);
    });
  });
});
