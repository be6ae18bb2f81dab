import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import process from "node:process";
import { test } from "node:test";
import type { ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import { waitUntil } from "../testing/wait_until.ts";
import { connect } from "./connect.ts";
import { consume } from "./consume.ts";
import type { ConsumeHandler, ConsumeOptions } from "./consume_options.ts";
import { consumersOf } from "./consumer_registry.ts";
import type { Consumption } from "./consumption.ts";
import { coreOf } from "./core.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import { json } from "./json.ts";
import { PermanentError } from "./permanent_error.ts";
import type { StreamMessage } from "./stream_message.ts";
import { type Subject, subject } from "./subject.ts";
import { settled } from "./testdata/consume_ground.ts";
import { type Connected, withConnected } from "./testdata/server_ground.ts";

interface Order {
  readonly n: number;
}

const Orders: Subject<Order, "region"> = subject("orders.{region}", json<Order>());
const STREAM = "ORDERS";

interface Ground extends Connected {
  readonly manager: JetStreamManager;
  publish(count: number, region?: string): Promise<void>;
  info(name: string): Promise<ConsumerInfo>;
  /** Consumes into a list. */
  collect(options?: ConsumeOptions<Order, "region">): Promise<Collected>;
}

interface Collected {
  readonly consumption: Consumption;
  readonly seen: number[];
  sees(...expected: number[]): Promise<void>;
}

async function withGround(use: (ground: Ground) => Promise<void>): Promise<void> {
  await withConnected({}, async (connected) => await use(await prepare(connected)));
}

async function prepare(connected: Connected): Promise<Ground> {
  const { client, core } = connected;
  const manager = await client.manager();
  await manager.streams.add({ name: STREAM, subjects: ["orders.*"] });
  let last = 0;
  const publish = async (count: number, region = "eu") => {
    for (let index = 0; index < count; index++) {
      await client.jetstream.publish(`orders.${region}`, JSON.stringify({ n: ++last }));
    }
  };
  const info = (name: string) => manager.consumers.info(STREAM, name);
  const collect = async (options?: ConsumeOptions<Order, "region">) => {
    const seen: number[] = [];
    const consumption = await consume(core, Orders, options, ({ n }) => void seen.push(n));
    const sees = async (...expected: number[]) => {
      const what = () => `${expected.length} messages are seen`;
      await waitUntil(() => seen.length >= expected.length, { what: what() });
      assert.deepEqual(seen, expected);
    };
    return { consumption, seen, sees };
  };
  return { ...connected, manager, publish, info, collect };
}

test("values, and all that is known of a message", async () => {
  await withGround(async ({ client, core, collect: _, publish }) => {
    const before = Date.now();
    const { headers } = await import("@nats-io/nats-core");
    const extra = headers();
    extra.set("Trace", "t1");
    await client.jetstream.publish("orders.eu", '{"n":7}', { headers: extra });
    await publish(1, "us");
    const messages: StreamMessage<Order, "region">[] = [];
    const values: Order[] = [];
    const consumption = await consume(core, Orders, { name: "c" }, (value, message) => {
      values.push(value);
      messages.push(message);
    });
    await waitUntil(() => messages.length === 2, { what: "both are here" });
    const [first, second] = messages;
    assert.deepEqual(values, [{ n: 7 }, { n: 1 }]);
    assert.equal(first?.subject, "orders.eu");
    assert.equal(first.params.region, "eu");
    assert.equal(second?.params.region, "us");
    assert.equal(first.headers.get("trace"), "t1");
    assert.deepEqual([...second.headers], []);
    assert.deepEqual([first.stream, first.consumer, first.sequence], [STREAM, "c", 1]);
    assert.deepEqual([first.deliveryCount, first.pending, second.pending], [1, 1, 0]);
    assert.ok(Math.abs(first.time.getTime() - before) < 10_000, first.time.toISOString());
    assert.deepEqual(first.decode(), { n: 7 });
    assert.equal(new TextDecoder().decode(first.data), '{"n":7}');
    assert.equal(first.native.subject, "orders.eu");
    assert.equal(first.isSettled, true);
    assert.deepEqual([consumption.stream, consumption.name], [STREAM, "c"]);
    assert.equal(consumption.isDurable, true);
    await consumption.drain();
  });
});

test("a durable consumer goes on where it was; what was handled is acknowledged", async () => {
  await withGround(async (ground) => {
    const { collect, publish } = ground;
    await publish(5);
    const first = await collect({ name: "c" });
    await first.sees(1, 2, 3, 4, 5);
    await first.consumption.drain();
    assert.equal(first.consumption.status, "closed");
    assert.equal(await first.consumption.closed, undefined);
    assert.equal((await ground.info("c")).num_ack_pending, 0);
    await publish(2);
    const second = await collect({ name: "c" });
    await second.sees(6, 7);
    await settled(ground.manager, "c", STREAM);
    assert.deepEqual(
      [second.consumption.stats.received, second.consumption.stats.acked],
      [2, 2],
    );
    await second.consumption.drain();
  });
});

test("two consumers without a name each get everything, and are gone afterwards", async () => {
  await withGround(async ({ collect, manager, publish }) => {
    const [one, other] = await Promise.all([collect(), collect()]);
    await publish(3);
    await Promise.all([one.sees(1, 2, 3), other.sees(1, 2, 3)]);
    assert.notEqual(one.consumption.name, other.consumption.name);
    assert.equal((await manager.streams.info(STREAM)).state.consumer_count, 2);
    await one.consumption.drain();
    await other.consumption.stop();
    assert.equal((await manager.streams.info(STREAM)).state.consumer_count, 0);
  });
});

test("where a new consumer begins", async () => {
  await withGround(async ({ client, collect, manager, publish }) => {
    await publish(2, "eu");
    await publish(2, "us");
    await waitUntil(async () => {
      const { state } = await manager.streams.info(STREAM);
      return Date.now() > Date.parse(String(state.last_ts)) + 20;
    }, { what: "time passes" });
    const time = new Date();
    await publish(1, "us");
    const begins: [ConsumeOptions<Order, "region">, number[]][] = [
      [{}, [1, 2, 3, 4, 5]],
      [{ deliver: "all" }, [1, 2, 3, 4, 5]],
      [{ deliver: "last" }, [5]],
      [{ deliver: "last-per-subject" }, [2, 5]],
      [{ deliver: { sequence: 4 } }, [4, 5]],
      [{ deliver: { time } }, [5]],
      [{ filters: ["orders.eu"] }, [1, 2]],
      [{ filters: [Orders.with({ region: "us" })] }, [3, 4, 5]],
    ];
    if (client.server.supports("consumer_filters")) {
      begins.push([{ filters: ["orders.us", "orders.eu"] }, [1, 2, 3, 4, 5]]);
    }
    for (const [options, expected] of begins) {
      const { consumption, sees } = await collect(options);
      await sees(...expected);
      await consumption.stop();
    }
    const fresh = await collect({ deliver: "new" });
    await publish(1);
    await fresh.sees(6);
    await fresh.consumption.stop();
  });
});

test("several filters on a server that can't: said before anything is made", async () => {
  await withGround(async ({ client, collect, manager }) => {
    if (client.server.supports("consumer_filters")) return;
    const filters = ["orders.eu", "orders.us"];
    await assert.rejects(
      collect({ filters }),
      (error) => isJsflowError(error, "unsupported") && /2\.10/.test(error.message),
    );
    assert.equal((await manager.streams.info(STREAM)).state.consumer_count, 0);
  });
});

test("order is kept with one handler at a time, and never more run than allowed", async () => {
  await withGround(async (ground) => {
    const { core, publish } = ground;
    await publish(40);
    for (const concurrency of [1, 7]) {
      const seen: number[] = [];
      let running = 0;
      let most = 0;
      const consumption = await consume(
        core,
        Orders,
        { name: `c${concurrency}`, concurrency },
        async ({ n }) => {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setTimeout(resolve, n % 3));
          running--;
          seen.push(n);
        },
      );
      await waitUntil(() => seen.length === 40, { what: "all are handled" });
      assert.equal(most, concurrency);
      if (concurrency === 1) assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
      await settled(ground.manager, `c${concurrency}`, STREAM);
      await consumption.drain();
    }
  });
});

/** Consumes one message with a handler, and tells what became of it. */
async function one(
  ground: Ground,
  options: ConsumeOptions<Order, "region">,
  handler: ConsumeHandler<Order, "region">,
): Promise<{ readonly consumption: Consumption; readonly counts: number[]; errors: unknown[] }> {
  const counts: number[] = [];
  const errors: unknown[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const consumption = await consume(
    ground.core,
    Orders,
    { name: "c", ackWaitMs: 60_000, onError, ...options },
    (value, message) => {
      counts.push(message.deliveryCount);
      return handler(value, message);
    },
  );
  return { consumption, counts, errors };
}

test("what the handler leaves open is settled by the options", async () => {
  await withGround(async (ground) => {
    await ground.publish(1);
    const acked = await one(ground, { settle: "ack" }, () => {});
    await settled(ground.manager, "c", STREAM);
    await ground.client.connection.flush();
    assert.deepEqual(acked.counts, [1]);
    await acked.consumption.drain();

    const naked = await one(ground, { name: "n", settle: "nak" }, (_, message) => {
      if (message.deliveryCount === 3) message.ack();
    });
    await settled(ground.manager, "n", STREAM);
    assert.deepEqual(naked.counts, [1, 2, 3]);
    const { acked: done, naked: back, redelivered } = naked.consumption.stats;
    assert.deepEqual([done, back, redelivered], [1, 2, 2]);
    await naked.consumption.drain();

    const open = await one(ground, { name: "o", settle: "none" }, () => {});
    await waitUntil(() => open.counts.length === 1, { what: "it is handled" });
    assert.equal((await ground.info("o")).num_ack_pending, 1);
    assert.equal(open.consumption.stats.acked, 0);
    await open.consumption.drain();
    assert.equal((await ground.info("o")).num_ack_pending, 1);
  });
});

test("the first settlement counts", async () => {
  await withGround(async (ground) => {
    await ground.publish(1);
    const { consumption, counts } = await one(ground, {}, async (_, message) => {
      message.ack();
      message.nak();
      message.term("late");
      assert.equal(message.isSettled, true);
      await message.ackConfirmed();
    });
    await settled(ground.manager, "c", STREAM);
    const { acked, naked, termed } = consumption.stats;
    assert.deepEqual([counts, acked, naked, termed], [[1], 1, 0, 0]);
    await consumption.drain();
  });
});

test("a handler that fails: again after the delay; permanently: never again", async () => {
  await withGround(async (ground) => {
    await ground.publish(1);
    const broken = new Error("broken");
    const at: number[] = [];
    const failing = await one(ground, { errorDelayMs: 300 }, (_, { deliveryCount }) => {
      at.push(performance.now());
      if (deliveryCount === 1) throw broken;
      if (deliveryCount === 2) return Promise.reject(broken);
    });
    await settled(ground.manager, "c", STREAM);
    assert.deepEqual(failing.counts, [1, 2, 3]);
    const [first = 0, second = 0, third = 0] = at;
    assert.ok(second - first >= 290 && third - second >= 290, at.join());
    assert.deepEqual(failing.errors, [broken, broken]);
    assert.equal(failing.consumption.stats.failed, 2);
    await failing.consumption.drain();

    const permanent = [
      new PermanentError("bad"),
      new JsflowError("terminal", "bad"),
      { permanent: true },
    ];
    for (const [index, error] of permanent.entries()) {
      const { consumption, counts } = await one(ground, { name: `p${index}` }, () => {
        throw error;
      });
      await settled(ground.manager, `p${index}`, STREAM);
      assert.deepEqual([counts, consumption.stats.termed], [[1], 1]);
      await consumption.drain();
    }
  });
});

test("backoff is the delay after an error, and maxDeliver ends it", async () => {
  await withGround(async (ground) => {
    await ground.publish(1);
    const at: number[] = [];
    const { consumption, counts } = await one(
      ground,
      { ackWaitMs: undefined, backoffMs: [100, 400], maxDeliver: 4 },
      () => {
        at.push(performance.now());
        throw new Error("broken");
      },
    );
    await waitUntil(() => counts.length === 4, { what: "it was tried four times" });
    const waits = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    const floors = [90, 390, 390];
    assert.ok(waits.every((wait, index) => wait >= (floors[index] ?? 0)), waits.join());
    const { config } = await ground.info("c");
    assert.deepEqual([config.backoff, config.max_deliver], [[100e6, 400e6], 4]);
    assert.deepEqual(counts, [1, 2, 3, 4]);
    await consumption.drain();
  });
});

test("a payload that does not decode is terminated, or what the options say", async () => {
  await withGround(async (ground) => {
    await ground.client.jetstream.publish("orders.eu", "{");
    const never = () => assert.fail("handled");
    const termed = await one(ground, {}, never);
    await settled(ground.manager, "c", STREAM);
    assert.ok(isJsflowError(termed.errors[0], "decode_failed"));
    assert.equal(termed.consumption.stats.termed, 1);
    await termed.consumption.drain();
    const acked = await one(ground, { name: "a", onUndecodable: "ack" }, never);
    await settled(ground.manager, "a", STREAM);
    await acked.consumption.drain();
    const options = { name: "n", onUndecodable: "nak", errorDelayMs: 20 } as const;
    const naked = await one(ground, options, never);
    await waitUntil(() => naked.errors.length >= 3, { what: "it came three times" });
    await naked.consumption.drain();
  });
});

test("a long handler is kept by heartbeats; without them it is delivered again", async () => {
  await withGround(async (ground) => {
    await ground.publish(1);
    const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
    const options = { ackWaitMs: 400, heartbeatMs: false, concurrency: 2 } as const;
    const bare = await one(ground, { ...options, name: "bare" }, () => finished);
    await waitUntil(() => bare.consumption.stats.redelivered >= 1, { what: "it came again" });
    // The second delivery joined the first: the message was not handled twice at a time.
    assert.deepEqual(bare.counts, [1]);
    finish();
    await settled(ground.manager, "bare", STREAM);
    await bare.consumption.drain();

    const { promise: longFinished, resolve: finishLong } = Promise.withResolvers<void>();
    const startedAt = performance.now();
    const kept = await one(ground, { ackWaitMs: 400 }, () => longFinished);
    await waitUntil(() => performance.now() - startedAt > 1_500, { what: "time passes" });
    assert.equal(kept.consumption.stats.redelivered, 0);
    finishLong();
    await settled(ground.manager, "c", STREAM);
    assert.equal((await ground.info("c")).delivered.consumer_seq, 1);
    await kept.consumption.drain();
  });
});

test("messages that wait for a handler are kept too", async () => {
  await withGround(async (ground) => {
    await ground.publish(3);
    const { promise, resolve } = Promise.withResolvers<void>();
    const startedAt = performance.now();
    const { consumption, counts } = await one(ground, { ackWaitMs: 300 }, () => promise);
    await waitUntil(() => performance.now() - startedAt > 1_000, { what: "time passes" });
    assert.deepEqual([consumption.stats.inFlight, consumption.stats.waiting], [1, 2]);
    resolve();
    await settled(ground.manager, "c", STREAM);
    assert.deepEqual([counts, consumption.stats.redelivered], [[1, 1, 1], 0]);
    await consumption.drain();
  });
});

test("the deadline aborts the signal, and heartbeats of the handler put it off", async () => {
  await withGround(async (ground) => {
    await ground.publish(1);
    const options = { timeoutMs: 300, errorDelayMs: 50, ackWaitMs: 60_000 };
    const { consumption, counts, errors } = await one(ground, options, async (_, message) => {
      const { signal } = message;
      if (message.deliveryCount === 1) {
        await new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
      }
      for (let beat = 0; beat < 10; beat++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        message.heartbeat();
      }
      assert.equal(signal.aborted, false);
    });
    await settled(ground.manager, "c", STREAM);
    assert.deepEqual(counts, [1, 2]);
    assert.equal(errors.length, 1);
    assert.ok(isJsflowError(errors[0], "timeout"), String(errors[0]));
    const { failed, acked } = consumption.stats;
    assert.deepEqual([failed, acked], [1, 1]);
    await consumption.drain();
  });
});

test("ack policies: none expects no ack, all settles what came before", async () => {
  await withGround(async (ground) => {
    await ground.publish(5);
    const none = await one(
      ground,
      { name: "none", ackPolicy: "none", ackWaitMs: undefined },
      () => {
        throw new Error("lost");
      },
    );
    await waitUntil(() => none.counts.length === 5, { what: "all are handled" });
    assert.equal((await ground.info("none")).config.ack_policy, "none");
    assert.equal((await ground.info("none")).num_ack_pending, 0);
    await none.consumption.drain();
    const all = await one(
      ground,
      { name: "all", ackPolicy: "all", settle: "none" },
      ({ n }, it) => {
        if (n === 4) it.ack();
      },
    );
    await waitUntil(() => all.counts.length === 5, { what: "all are handled" });
    await waitUntil(async () => (await ground.info("all")).ack_floor.stream_seq === 4, {
      what: "four are done",
    });
    assert.equal((await ground.info("all")).num_ack_pending, 1);
    await all.consumption.drain();
  });
});

test("acks that are confirmed, by option and by call", async () => {
  await withGround(async (ground) => {
    await ground.publish(3);
    const byOption = await one(ground, { confirmAcks: true }, () => {});
    await waitUntil(() => byOption.consumption.stats.acked === 3, { what: "all are confirmed" });
    assert.equal((await ground.info("c")).num_ack_pending, 0);
    await byOption.consumption.drain();
    const open: number[] = [];
    const byCall = await one(ground, { name: "b" }, async (_, message) => {
      await message.ackConfirmed({ timeoutMs: 5_000 });
      open.push((await ground.info("b")).ack_floor.stream_seq);
    });
    await waitUntil(() => open.length === 3, { what: "all are confirmed" });
    assert.deepEqual(open, [1, 2, 3]);
    await byCall.consumption.drain();
  });
});

test("drain: handlers finish, and what waits goes to others at once", async () => {
  await withGround(async (ground) => {
    await ground.publish(6);
    const { promise, resolve } = Promise.withResolvers<void>();
    const { consumption, counts } = await one(ground, { concurrency: 2 }, () => promise);
    await waitUntil(() => consumption.stats.waiting === 4, { what: "two run and four wait" });
    const draining = consumption.drain();
    assert.equal(consumption.status, "draining");
    // The ack wait is a minute: only what was given back comes.
    const other = await ground.collect({ name: "c" });
    await waitUntil(() => other.seen.length === 4, { what: "the others have come" });
    resolve();
    await draining;
    assert.deepEqual([counts.length, consumption.stats.acked], [2, 2]);
    assert.deepEqual(other.seen.toSorted(), [3, 4, 5, 6]);
    await settled(ground.manager, "c", STREAM);
    await other.consumption.drain();
  });
});

test("drain: after the grace the signals abort, and what is left is given back", async () => {
  await withGround(async (ground) => {
    await ground.publish(2);
    const options = { concurrency: 2, cancelDelayMs: 100 };
    const { consumption, errors } = await one(ground, options, ({ n }, { signal }) => {
      if (n === 2) return new Promise(() => {}); // never minds
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    });
    await waitUntil(() => consumption.stats.inFlight === 2, { what: "both run" });
    const before = performance.now();
    await Promise.all([consumption.drain({ graceMs: 200 }), consumption.drain()]);
    assert.ok(performance.now() - before >= 190);
    assert.deepEqual(errors, [], "being stopped is no failure");
    const other = await ground.collect({ name: "c" });
    await waitUntil(() => other.seen.length === 2, { what: "both come again" });
    await other.consumption.drain();
  });
});

test("pause gives back what waits, resume goes on", async () => {
  await withGround(async (ground) => {
    await ground.publish(3);
    const { promise, resolve } = Promise.withResolvers<void>();
    const { consumption, counts } = await one(ground, {}, () => promise);
    await waitUntil(() => consumption.stats.waiting === 2, { what: "two wait" });
    consumption.pause();
    assert.equal(consumption.status, "paused");
    resolve();
    await waitUntil(() => consumption.stats.inFlight === 0, { what: "the first is done" });
    const other = await ground.collect({ name: "c" });
    await waitUntil(() => other.seen.length === 2, { what: "both have come" });
    assert.deepEqual(other.seen.toSorted(), [2, 3]);
    await other.consumption.drain();
    consumption.resume();
    await ground.publish(1);
    await settled(ground.manager, "c", STREAM);
    assert.equal(counts.length, 2);
    await consumption.drain();
  });
});

test("a signal ends it, before and after it has begun, and leaves no listener", async () => {
  await withGround(async (ground) => {
    const early = AbortSignal.abort(new Error("early"));
    await assert.rejects(ground.collect({ signal: early }), /early/);
    const controller = new AbortController();
    const { consumption } = await ground.collect({ signal: controller.signal });
    controller.abort(new Error("enough"));
    assert.equal(await consumption.closed, undefined);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    assert.equal((await ground.manager.streams.info(STREAM)).state.consumer_count, 0);
  });
});

test("closing the client drains: acks are sent, handlers finish", async () => {
  await withGround(async (ground) => {
    await ground.publish(3);
    const client = await connect({ servers: ground.server.url });
    let handled = 0;
    await consume(coreOf(client), Orders, { name: "c", ackWaitMs: 60_000 }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      handled++;
    });
    await waitUntil(() => handled === 1, { what: "the first is done" });
    await client.close();
    const { num_ack_pending, ack_floor } = await ground.info("c");
    assert.deepEqual([handled, ack_floor.stream_seq], [2, 2]);
    // The last one waits to be delivered again, but not for its ack wait.
    const other = await ground.collect({ name: "c" });
    await other.sees(3);
    assert.ok(num_ack_pending <= 1);
    await other.consumption.drain();
  });
});

test("stop by name, all, and with the consumer", async () => {
  await withGround(async (ground) => {
    const registry = consumersOf(ground.core);
    await Promise.all([ground.collect({ name: "a" }), ground.collect({ name: "a" })]);
    await ground.collect({ name: "b" });
    await ground.collect();
    assert.deepEqual(registry.list().map(({ isDurable }) => isDurable).toSorted(), [
      false,
      true,
      true,
      true,
    ]);
    assert.equal(await registry.stop("a"), 2);
    assert.equal(await registry.stop("a"), 0);
    assert.equal((await ground.info("a")).name, "a");
    assert.equal(await registry.stopAndDelete("b"), 1);
    await assert.rejects(ground.info("b"), { message: /not found/ });
    assert.equal(await registry.stopAll({ graceMs: 1_000 }), 1);
    assert.deepEqual(registry.list(), []);
    await assert.rejects(registry.stop("a b"), TypeError);
  });
});

test("an existing consumer that differs: refused, updated or taken as it is", async () => {
  await withGround(async (ground) => {
    const base = { name: "c", ackWaitMs: 10_000, maxDeliver: 5, deliver: "new" } as const;
    await (await ground.collect(base)).consumption.drain();
    await (await ground.collect(base)).consumption.drain();
    // What is left out is taken as it is.
    await (await ground.collect({ name: "c" })).consumption.drain();
    const differing: [ConsumeOptions<Order, "region">, RegExp][] = [
      [{ ackWaitMs: 20_000 }, /ackWaitMs: 10000 → 20000/],
      [{ maxDeliver: -1 }, /maxDeliver: 5 → -1/],
      [{ deliver: "all" }, /deliver: "new" → "all"/],
      [{ filters: ["orders.eu"] }, /filters: \["orders\.\*"\] → \["orders\.eu"\]/],
      [{ backoffMs: [100] }, /backoffMs: not set → \[100\]/],
      [{ ackPolicy: "none" }, /ackPolicy: "explicit" → "none"/],
    ];
    for (const [options, message] of differing) {
      await assert.rejects(ground.collect({ ...base, ...options }), (error) => {
        assert.ok(isJsflowError(error, "config_drift"), String(error));
        assert.match(error.message, message);
        return true;
      });
    }
    const changed = { ...base, ackWaitMs: 20_000 };
    await (await ground.collect({ ...changed, onDrift: "ignore" })).consumption.drain();
    assert.equal((await ground.info("c")).config.ack_wait, 10_000e6);
    await (await ground.collect({ ...changed, onDrift: "update" })).consumption.drain();
    assert.equal((await ground.info("c")).config.ack_wait, 20_000e6);
    assert.equal((await ground.info("c")).config.max_deliver, 5);
  });
});

test("the stream is looked up, named, or made", async () => {
  await withGround(async ({ client, core, manager }) => {
    const missing = subject("nowhere.{x}", json<Order>());
    await assert.rejects(
      consume(core, missing, () => {}),
      (error) => isJsflowError(error, "stream_not_found"),
    );
    await assert.rejects(
      consume(core, Orders, { stream: "OTHER" }, () => {}),
      (error) => isJsflowError(error, "stream_not_found"),
    );
    const seen: number[] = [];
    const made = await consume(core, missing, { autoCreate: true }, ({ n }) => void seen.push(n));
    assert.equal(made.stream, "NOWHERE");
    await client.jetstream.publish("nowhere.a", '{"n":1}');
    await waitUntil(() => seen.length === 1, { what: "it is handled" });
    await made.drain();
    const named = { stream: "MINE", autoCreate: { storage: "memory", subjects: ["x.>"] } } as const;
    const mine = await consume(core, subject("x.{y}", json()), named, () => {});
    assert.equal(mine.stream, "MINE");
    assert.equal((await manager.streams.info("MINE")).config.storage, "memory");
    await mine.drain();
  });
});

test("no more bytes are held than allowed, and a message that is too large is told", async () => {
  await withGround(async (ground) => {
    const { client, core } = ground;
    const pad = "x".repeat(300);
    for (let n = 1; n <= 30; n++) {
      await client.jetstream.publish("orders.eu", JSON.stringify({ n, pad }));
    }
    let held = 0;
    let seen = 0;
    const options = { name: "c", maxBytes: 2_000, concurrency: 100 };
    const consumption = await consume(core, Orders, options, async () => {
      seen++;
      held = Math.max(held, consumption.stats.inFlight + consumption.stats.waiting);
      await new Promise((resolve) => setTimeout(resolve, 10));
    });
    await settled(ground.manager, "c", STREAM);
    assert.equal(seen, 30);
    assert.ok(held > 1 && held * 300 <= 2_000, `${held} were held`);
    await consumption.drain();

    await client.jetstream.publish("orders.us", JSON.stringify({ n: 1, pad: pad.repeat(10) }));
    const errors: unknown[] = [];
    const tight = await consume(core, Orders, {
      filters: ["orders.us"],
      maxBytes: 1_000,
      onError: (error) => void errors.push(error),
    }, () => assert.fail("handled"));
    await waitUntil(() => errors.length > 0, { what: "it is told" });
    assert.ok(isJsflowError(errors[0], "payload_too_large"), String(errors[0]));
    await tight.stop();
  });
});

test("a consumption that has ended leaves no timer behind", {
  skip: typeof process.getActiveResourcesInfo !== "function" ||
    process.versions["bun"] !== undefined,
}, async () => {
  await withGround(async ({ core, publish }) => {
    const timers = () => process.getActiveResourcesInfo().filter((it) => it === "Timeout").length;
    const before = timers();
    const options = { timeoutMs: 600_000, ackWaitMs: 600_000 };
    const consumption = await consume(core, Orders, options, async () => await Promise.resolve());
    await publish(2);
    await waitUntil(() => consumption.stats.acked === 2, { what: "both are handled" });
    await consumption.drain();
    await waitUntil(() => timers() <= before + 1, { what: "no timer but this one runs" });
  });
});
