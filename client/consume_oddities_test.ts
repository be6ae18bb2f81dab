import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { AckPolicy } from "@nats-io/jetstream";
import { SpanStatusCode } from "@opentelemetry/api";
import { memoryTracing } from "../trace/testdata/in_memory_sdk.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { effectiveConfig } from "./_consumer_config.ts";
import type { ConsumedMessage } from "./_consumer_message.ts";
import { ConsumerProgress } from "./_consumer_progress.ts";
import { MessageRunner } from "./_consumer_runner.ts";
import { parseConsumeOptions } from "./_consumer_settings.ts";
import { type Settleable, SettlementDesk } from "./_settlement.ts";
import { coreOf } from "./core.ts";
import { parseDelivery, type StreamDelivery } from "./delivery.ts";
import { isJsflowError } from "./errors.ts";
import type { StreamMessage } from "./stream_message.ts";
import {
  begin,
  type NumberHandler,
  type NumberOptions,
  Numbers,
  STREAM,
  type StreamGround,
  withStream,
} from "./testdata/consume_ground.ts";
import { withClient, withProxiedClient } from "./testdata/server_ground.ts";

/** What handlers may return or throw that nobody thinks of. */
const oddities: NumberHandler = (value) => {
  const fail = (): never => {
    throw new Error("boom");
  };
  const odd = Promise.resolve();
  if (value === 1) return Object.defineProperty({}, "then", { get: fail });
  if (value === 2) return Promise.reject(Object.create(null));
  if (value === 3) return Promise.reject(Object.assign(Object.create(null), { permanent: true }));
  if (value === 4) throw Object.defineProperty({}, "permanent", { get: fail });
  if (value === 5) throw undefined;
  if (value === 6) return Object.defineProperty(odd, "constructor", { get: fail });
  if (value === 7) return Object.defineProperty(odd, "then", { value: fail });
};

test("odd values from handlers fail their messages, and nothing else", async () => {
  await withStream(async ({ core, publish }) => {
    const { consumption, seen, errors } = await begin(core, { name: "c" }, oddities);
    await publish(1, 2, 3, 4, 5, 6, 7, 8);
    await waitUntil(() => consumption.stats.acked >= 1 && seen.length === 8, {
      what: "those behind the odd ones are handled",
    });
    const { inFlight, naked, waiting, termed } = consumption.stats;
    assert.deepEqual({ inFlight, waiting, termed }, { inFlight: 0, waiting: 0, termed: 1 });
    // A promise whose own `then` throws may be awaited all the same.
    const failed = naked + termed;
    assert.ok(failed === 6 || failed === 7, `${failed} failed`);
    assert.equal(errors.length, failed);
    await consumption.drain();
  });
});

test("a handler that throws undefined fails its span", async () => {
  const { provider: tracerProvider, spans } = memoryTracing();
  await withStream(async ({ core, publish }) => {
    const { consumption, errors } = await begin(core, {}, () => {
      throw undefined;
    });
    await publish(1);
    await waitUntil(() => errors.length > 0, { what: "the failure is told" });
    assert.ok(errors[0] instanceof Error);
    const find = () => spans().find(({ name }) => name.startsWith("process"));
    const span = await waitUntil(find, { what: "its span has ended" });
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    await consumption.stop();
  }, { client: { telemetry: { tracerProvider } } });
});

/** Deletes the stream and makes it again. */
async function remake({ manager }: StreamGround): Promise<void> {
  await manager.streams.delete(STREAM);
  const make = () => manager.streams.add({ name: STREAM, subjects: ["n.*"] });
  // Old servers are not done when they say that it is deleted.
  await waitUntil(async () => (await make().catch(() => undefined)) !== undefined, {
    what: "the stream is made again",
  });
}

/** Takes one delivery straight from the server. */
async function take({ client }: StreamGround): Promise<StreamDelivery> {
  const request = JSON.stringify({ batch: 1, expires: 4_000_000_000 });
  const next = `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.c`;
  // It comes with the subject that it was published to, not with that of an inbox.
  const options = { timeout: 5_000, noMux: true };
  const message = await client.connection.request(next, request, options);
  const delivery = parseDelivery(client.connection, message);
  assert.ok(delivery, `no delivery: ${message.headers?.code}`);
  return delivery;
}

test("a redelivery joins the message of its number only when it is the same one", async () => {
  await withStream(async (ground) => {
    const { core, manager, publish } = ground;
    const config = { durable_name: "c", ack_policy: AckPolicy.Explicit };
    const info = await manager.consumers.add(STREAM, config);
    const gate = Promise.withResolvers<void>();
    const begun: number[] = [];
    const settings = parseConsumeOptions(Numbers, { concurrency: 5, heartbeatMs: false });
    const onError = (error: unknown) => assert.fail(String(error));
    const effective = effectiveConfig(info.config);
    const desk = new SettlementDesk<ConsumedMessage<number, "part">>({
      ...{ core, progress: new ConsumerProgress(), confirmAcks: false, effective, onError },
    });
    const reach = { lastHeard: () => 0, isReached: () => true };
    const handler = async (value: number) => {
      begun.push(value);
      await gate.promise;
    };
    const runner = new MessageRunner<number, "part">({
      ...{ core, settings, desk, reach, handler, onError },
      onRelease: () => {},
      onStuck: () => {},
    });
    const twice = async () => {
      const first = await take(ground);
      first.nak(0);
      const second = await take(ground);
      assert.equal(second.deliveryCount, 2);
      return [first, second] as const;
    };
    await publish(1);
    for (const delivery of await twice()) runner.accept(delivery, performance.now());
    assert.deepEqual(begun, [1]);
    await remake(ground);
    await manager.consumers.add(STREAM, config);
    await publish(2);
    const [first, second] = await twice();
    assert.equal(first.streamSeq, 1);
    runner.accept(second, performance.now());
    assert.deepEqual(begun, [1, 2]);
    gate.resolve();
    await runner.idle(AbortSignal.timeout(5_000));
    runner.abandon();
    desk.flush();
  });
});

test("acks that have not left yet are dropped with their stream", async () => {
  await withStream(async (ground) => {
    const { client, core, manager, publish } = ground;
    const config = { durable_name: "c", ack_policy: AckPolicy.Explicit };
    const info = await manager.consumers.add(STREAM, config);
    const onError = (error: unknown) => assert.fail(String(error));
    const effective = effectiveConfig(info.config);
    const desk = new SettlementDesk<Settleable>({
      ...{ core, progress: new ConsumerProgress(), confirmAcks: false, effective, onError },
    });
    const pending = async () => {
      await client.connection.flush();
      return (await manager.consumers.info(STREAM, "c")).num_ack_pending;
    };
    await publish(1, 2);
    const hold = async () => ({
      delivery: await take(ground),
      settlement: undefined,
      confirming: undefined,
    });
    const [first, second] = [await hold(), await hold()];
    desk.ack(first);
    desk.disown([]);
    desk.flush();
    assert.equal(await pending(), 2);
    desk.ack(second);
    desk.flush();
    assert.equal(await pending(), 1);
  });
});

test("what is held of a stream that was made again settles nothing in the new one", async () => {
  await withStream(async (ground) => {
    const { client, core, manager, publish } = ground;
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const messages: StreamMessage<number, "part">[] = [];
    const options = { name: "c", concurrency: 2, ackWaitMs: 60_000, heartbeatMs: 50 };
    const { consumption, seen } = await begin(core, options, async (value, message) => {
      messages.push(message);
      await gates[value - 1]?.promise;
    });
    await publish(1);
    await waitUntil(() => seen.length === 1, { what: "the old one is at work" });
    await remake(ground);
    await publish(2);
    await waitUntil(() => seen.length === 2, { what: "the new one is at work" });
    const [old, fresh] = messages;
    assert.deepEqual([seen, old?.sequence, fresh?.sequence], [[1, 2], 1, 1]);
    assert.deepEqual([old?.signal.aborted, fresh?.signal.aborted], [true, false]);
    old?.heartbeat();
    old?.ack();
    assert.ok(old);
    await assert.rejects(old.ackConfirmed(), (error) => isJsflowError(error, "message_not_found"));
    gates[0]?.resolve();
    await waitUntil(() => consumption.stats.inFlight === 1, { what: "the old handler has ended" });
    await new Promise((resolve) => setImmediate(resolve)); // acks leave then
    await client.connection.flush();
    const before = await manager.consumers.info(STREAM, "c");
    assert.deepEqual([before.num_ack_pending, before.ack_floor.stream_seq], [1, 0]);
    assert.equal(consumption.stats.acked, 0);
    gates[1]?.resolve();
    await waitUntil(
      async () => (await manager.consumers.info(STREAM, "c")).ack_floor.stream_seq === 1,
      { what: "the new one is acknowledged by its own handler" },
    );
    await consumption.drain();
  });
});

test("behind handlers that hang nothing waits: others get it, until one of them ends", async () => {
  await withStream(async ({ core, manager, publish, server }) => {
    const gate = Promise.withResolvers<void>();
    const options = { name: "c", timeoutMs: 50, errorDelayMs: 60_000, ackWaitMs: 1_000 };
    const hung = await begin(core, options, (value) => value === 1 ? gate.promise : undefined);
    await publish(1, 2, 3, 4, 5);
    await waitUntil(() => hung.seen.length === 1, { what: "the first one hangs" });
    await withClient({ servers: server.url }, async (client) => {
      const healthy = await begin(coreOf(client), { name: "c" });
      await waitUntil(() => healthy.seen.length === 4, { what: "another gets the rest" });
      assert.deepEqual(healthy.seen.toSorted(), [2, 3, 4, 5]);
      assert.deepEqual([hung.seen, hung.consumption.stats.waiting], [[1], 0]);
      assert.equal(hung.consumption.status, "running");
      await waitUntil(async () => (await manager.consumers.info(STREAM, "c")).num_waiting === 1, {
        what: "it asks for nothing",
      });
      await healthy.consumption.drain();
    });
    hung.consumption.pause();
    hung.consumption.resume(); // not yet
    gate.resolve();
    await publish(6);
    await waitUntil(() => hung.seen.length === 2, { what: "it goes on" });
    assert.deepEqual(hung.seen, [1, 6]);
    await hung.consumption.drain();
  });
});

/** Holds four messages while the link is dead, and goes on when silence or more was noticed. */
async function loseReach(
  given: NumberOptions,
  until: "others have them" | "silence",
): Promise<void> {
  await withStream(async ({ core, publish, server }) => {
    await withProxiedClient(server, {}, async (client, proxy) => {
      const gate = Promise.withResolvers<void>();
      const cut = await begin(coreOf(client), { name: "c", ...given }, () => gate.promise);
      await publish(1, 2, 3, 4);
      await waitUntil(() => cut.consumption.stats.waiting === 3, { what: "the others wait" });
      proxy.drop();
      const healthy = await begin(core, { name: "c" });
      const taken = () => waitUntil(() => healthy.seen.length === 4, { what: "others get them" });
      if (until === "others have them") await taken();
      await cut.meets("missed_heartbeats");
      gate.resolve();
      await waitUntil(() => cut.consumption.stats.waiting === 0, { what: "nothing waits" });
      assert.deepEqual(cut.seen, [1]);
      await taken();
      proxy.heal();
      await healthy.consumption.drain();
    });
  });
}

test("what waits here while the server is out of reach is left to others", async () => {
  await loseReach({ ackWaitMs: 1_500, pullHeartbeatMs: 100 }, "others have them");
});

test("signs of life that were sent before the silence was noticed don't count", async () => {
  await loseReach({ ackWaitMs: 1_000, pullHeartbeatMs: 600 }, "silence");
});

test("a connection that ended is told as what ended the consumption", async () => {
  await withStream(async ({ client, core }) => {
    const { consumption } = await begin(core, { name: "c" });
    await client.connection.close();
    const cause = await consumption.closed;
    assert.ok(isJsflowError(cause, "connection_closed"), String(cause));
  });
});
