import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { AckPolicy, type JetStreamManager, type JsMsg } from "@nats-io/jetstream";
import { waitUntil } from "../testing/wait_until.ts";
import { connect } from "./connect.ts";
import { consume } from "./consume.ts";
import { consumeWithHeartbeat, type HeartbeatOptions } from "./consume_with_heartbeat.ts";
import { coreOf } from "./core.ts";
import { isJsflowError } from "./errors.ts";
import { PermanentError } from "./permanent_error.ts";
import { subject } from "./subject.ts";
import { type Connected, withConnected } from "./testdata/server_ground.ts";
import { text } from "./text.ts";

const ACK_WAIT_MS = 400;

interface Ground extends Connected {
  readonly manager: JetStreamManager;
  next(): Promise<JsMsg>;
  open(): Promise<number>;
}

async function withMessage(use: (ground: Ground) => Promise<void>): Promise<void> {
  await withConnected({}, async (connected) => {
    const { client } = connected;
    const manager = await client.manager();
    await manager.streams.add({ name: "S", subjects: ["s.*"] });
    await manager.consumers.add("S", {
      durable_name: "c",
      ack_policy: AckPolicy.Explicit,
      ack_wait: ACK_WAIT_MS * 1e6,
    });
    await client.jetstream.publish("s.a", "text");
    const consumer = await client.jetstream.consumers.get("S", "c");
    const next = async () => {
      const message = await consumer.next({ expires: 10_000 });
      assert.ok(message, "a message has come");
      return message;
    };
    const open = async () => (await manager.consumers.info("S", "c")).num_ack_pending;
    await use({ ...connected, manager, next, open });
  });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("heartbeats keep the message while the work goes on, then it is acknowledged", async () => {
  await withMessage(async ({ manager, next, open }) => {
    const message = await next();
    const result = await consumeWithHeartbeat(message, async (signal) => {
      await pause(ACK_WAIT_MS * 3);
      assert.equal(signal.aborted, false);
      return "done";
    }, { heartbeatMs: 100 });
    assert.equal(result, "done");
    await waitUntil(async () => await open() === 0, { what: "it is acknowledged" });
    assert.equal((await manager.consumers.info("S", "c")).delivered.consumer_seq, 1);
  });
});

test("work that fails: delivered again after the delay, or never when it can't succeed", async () => {
  await withMessage(async ({ next, open }) => {
    const broken = new Error("broken");
    const first = await next();
    const failing = consumeWithHeartbeat(first, () => Promise.reject(broken), {
      errorDelayMs: 300,
    });
    const failedAt = performance.now();
    await assert.rejects(failing, broken);
    const second = await next();
    assert.ok(performance.now() - failedAt >= 290);
    const mine = (error: unknown) => error === broken;
    await assert.rejects(
      consumeWithHeartbeat(second, () => {
        throw broken;
      }, { errorDelayMs: 0, isPermanent: (error) => !mine(error) }),
      broken,
    );
    const third = await next();
    const hopeless = new PermanentError("hopeless");
    await assert.rejects(consumeWithHeartbeat(third, () => Promise.reject(hopeless)), hopeless);
    await waitUntil(async () => await open() === 0, { what: "it is terminated" });
  });
});

test("cancelled: the work's signal aborts, and the message comes again after its delay", async () => {
  await withMessage(async ({ next }) => {
    const controller = new AbortController();
    const reason = new Error("shutting down");
    const message = await next();
    const options = { signal: controller.signal, cancelDelayMs: 200, heartbeatMs: 100 };
    let inner: AbortSignal | undefined;
    const working = consumeWithHeartbeat(message, (signal) => {
      inner = signal;
      return new Promise(() => {}); // never minds
    }, options);
    controller.abort(reason);
    await assert.rejects(working, reason);
    assert.equal(inner?.reason, reason);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    const again = await next();
    assert.equal(again.info.deliveryCount, 2);
    const early = consumeWithHeartbeat(again, () => assert.fail("begun"), {
      ...options,
      signal: AbortSignal.abort(reason),
    });
    await assert.rejects(early, reason);
    assert.equal((await next()).info.deliveryCount, 3);
  });
});

test("a heartbeat that can't be sent ends the work, and the message is left", async () => {
  await withMessage(async ({ server, manager }) => {
    const other = await connect({ servers: server.url });
    const { promise: outcome, resolve } = Promise.withResolvers<unknown>();
    let inner: AbortSignal | undefined;
    try {
      await consume(
        coreOf(other),
        subject("s.{x}", text()),
        { name: "d", ackWaitMs: 60_000, onError: () => {} },
        async (_, message) => {
          const work = (signal: AbortSignal) => {
            inner = signal;
            return new Promise(() => {});
          };
          await consumeWithHeartbeat(message, work, { heartbeatMs: 20 }).catch(resolve);
        },
      );
      await waitUntil(() => inner !== undefined, { what: "the work has begun" });
      await other.connection.close();
      const error = await outcome;
      assert.ok(isJsflowError(error, "connection_closed"), String(error));
      assert.equal(inner?.aborted, true);
      assert.equal((await manager.consumers.info("S", "d")).num_ack_pending, 1);
    } finally {
      await other.close();
    }
  });
});

test("a message of consume, which is then settled once", async () => {
  await withMessage(async ({ client, manager }) => {
    const counts: number[] = [];
    const consumption = await consume(
      coreOf(client),
      subject("s.{x}", text()),
      { name: "d", ackWaitMs: 60_000, onError: () => {} },
      async (_, message) => {
        counts.push(message.deliveryCount);
        await consumeWithHeartbeat(message, () => {
          if (message.deliveryCount === 1) throw new Error("broken");
        }, { errorDelayMs: 50 });
      },
    );
    await waitUntil(() => consumption.stats.acked === 1, { what: "it is acknowledged" });
    assert.deepEqual([counts, consumption.stats.naked], [[1, 2], 1]);
    await consumption.drain();
    assert.equal((await manager.consumers.info("S", "d")).num_ack_pending, 0);
  });
});

test("misuse is told before anything happens", async () => {
  const fine = { ack() {}, nak() {}, term() {}, working() {} };
  const never = () => assert.fail("begun");
  const wrong: [unknown, unknown, unknown][] = [
    [undefined, never, {}],
    [{}, never, {}],
    [{ ...fine, nak: 5 }, never, {}],
    [fine, "work", {}],
    [fine, never, { heartBeatMs: 5 }],
    [fine, never, { isPermanent: true }],
    [fine, never, { signal: {} }],
    [fine, never, { heartbeatMs: "5" }],
  ];
  for (const [message, work, options] of wrong) {
    const call = consumeWithHeartbeat(message as JsMsg, work as never, options as HeartbeatOptions);
    await assert.rejects(call, TypeError);
  }
  for (const ms of [NaN, -1, Infinity, 2 ** 31]) {
    for (const name of ["heartbeatMs", "errorDelayMs", "cancelDelayMs"]) {
      await assert.rejects(consumeWithHeartbeat(fine, never, { [name]: ms }), RangeError);
    }
  }
});
