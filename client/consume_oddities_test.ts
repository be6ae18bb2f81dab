import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { AckPolicy, type JetStreamManager } from "@nats-io/jetstream";
import { SpanStatusCode } from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { effectiveConfig } from "./_consumer_config.ts";
import type { ConsumedMessage } from "./_consumer_message.ts";
import { ConsumerProgress } from "./_consumer_progress.ts";
import { MessageRunner } from "./_consumer_runner.ts";
import { parseConsumeOptions } from "./_consumer_settings.ts";
import { type Settleable, SettlementDesk } from "./_settlement.ts";
import type { Client } from "./client.ts";
import type { ConsumerEvent } from "./client_event.ts";
import { connect } from "./connect.ts";
import { consume } from "./consume.ts";
import type { ConsumeHandler, ConsumeOptions } from "./consume_options.ts";
import type { Consumption } from "./consumption.ts";
import { type ClientCore, coreOf } from "./core.ts";
import { parseDelivery, type StreamDelivery } from "./delivery.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import type { StreamMessage } from "./stream_message.ts";
import { type Subject, subject } from "./subject.ts";

const Numbers: Subject<number, "part"> = subject("n.{part}", json<number>());
const STREAM = "N";

interface Ground {
  readonly server: NatsServer;
  readonly client: Client;
  readonly core: ClientCore;
  readonly manager: JetStreamManager;
  publish(...values: number[]): Promise<void>;
  /** Deletes the stream and makes it again. */
  remake(): Promise<void>;
}

async function withGround(
  use: (ground: Ground) => Promise<void>,
  options?: Parameters<typeof connect>[0],
): Promise<void> {
  const server = await NatsServer.start();
  try {
    const client = await connect({ ...options, servers: server.url });
    try {
      await use(await prepare(server, client));
    } finally {
      await client.close();
    }
  } finally {
    await server.close();
  }
}

async function prepare(server: NatsServer, client: Client): Promise<Ground> {
  const manager = await client.manager();
  const make = () => manager.streams.add({ name: STREAM, subjects: ["n.*"] });
  await make();
  const remake = async () => {
    await manager.streams.delete(STREAM);
    // Old servers are not done when they say that it is deleted.
    await waitUntil(async () => (await make().catch(() => undefined)) !== undefined, {
      what: "the stream is made again",
    });
  };
  const publish = async (...values: number[]) => {
    for (const value of values) await client.jetstream.publish("n.a", JSON.stringify(value));
  };
  return { server, client, core: coreOf(client), manager, publish, remake };
}

interface Run {
  readonly consumption: Consumption;
  readonly begun: number[];
  readonly errors: unknown[];
}

async function run(
  core: ClientCore,
  options: ConsumeOptions<number, "part">,
  handler: ConsumeHandler<number, "part"> = () => {},
): Promise<Run> {
  const [begun, errors]: [number[], unknown[]] = [[], []];
  const onError = (error: unknown) => void errors.push(error);
  const consumption = await consume(core, Numbers, { onError, ...options }, (value, message) => {
    begun.push(value);
    return handler(value, message);
  });
  return { consumption, begun, errors };
}

/** What handlers may return or throw that nobody thinks of. */
const oddities: ConsumeHandler<number, "part"> = (value) => {
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
  await withGround(async ({ core, publish }) => {
    const { consumption, begun, errors } = await run(core, { name: "c" }, oddities);
    await publish(1, 2, 3, 4, 5, 6, 7, 8);
    await waitUntil(() => consumption.stats.acked >= 1 && begun.length === 8, {
      what: "those behind the odd ones are handled",
    });
    const { active, naked, queued, termed } = consumption.stats;
    assert.deepEqual({ active, queued, termed }, { active: 0, queued: 0, termed: 1 });
    // A promise whose own `then` throws may be awaited all the same.
    const failed = naked + termed;
    assert.ok(failed === 6 || failed === 7, `${failed} failed`);
    assert.equal(errors.length, failed);
    await consumption.drain();
  });
});

test("a handler that throws undefined fails its span", async () => {
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  await withGround(async ({ core, publish }) => {
    const { consumption, errors } = await run(core, {}, () => {
      throw undefined;
    });
    await publish(1);
    await waitUntil(() => errors.length > 0, { what: "the failure is told" });
    assert.ok(errors[0] instanceof Error);
    const find = () => exporter.getFinishedSpans().find(({ name }) => name.startsWith("process"));
    const span = await waitUntil(find, { what: "its span has ended" });
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    await consumption.stop();
  }, { telemetry: { tracerProvider } });
});

/** Takes one delivery straight from the server. */
async function take({ client }: Ground): Promise<StreamDelivery> {
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
  await withGround(async (ground) => {
    const { core, manager, publish, remake } = ground;
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
    await remake();
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
  await withGround(async (ground) => {
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
  await withGround(async ({ client, core, manager, publish, remake }) => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const messages: StreamMessage<number, "part">[] = [];
    const options = { name: "c", concurrency: 2, ackWaitMs: 60_000, heartbeatMs: 50 };
    const { consumption, begun } = await run(core, options, async (value, message) => {
      messages.push(message);
      await gates[value - 1]?.promise;
    });
    await publish(1);
    await waitUntil(() => begun.length === 1, { what: "the old one is at work" });
    await remake();
    await publish(2);
    await waitUntil(() => begun.length === 2, { what: "the new one is at work" });
    const [old, fresh] = messages;
    assert.deepEqual([begun, old?.sequence, fresh?.sequence], [[1, 2], 1, 1]);
    assert.deepEqual([old?.signal.aborted, fresh?.signal.aborted], [true, false]);
    old?.heartbeat();
    old?.ack();
    assert.ok(old);
    await assert.rejects(old.ackConfirmed(), (error) => isJsflowError(error, "message_not_found"));
    gates[0]?.resolve();
    await waitUntil(() => consumption.stats.active === 1, { what: "the old handler has ended" });
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
  await withGround(async ({ core, manager, publish, server }) => {
    const gate = Promise.withResolvers<void>();
    const options = { name: "c", timeoutMs: 50, errorDelayMs: 60_000, ackWaitMs: 1_000 };
    const hung = await run(core, options, (value) => value === 1 ? gate.promise : undefined);
    await publish(1, 2, 3, 4, 5);
    await waitUntil(() => hung.begun.length === 1, { what: "the first one hangs" });
    const client = await connect({ servers: server.url });
    try {
      const healthy = await run(coreOf(client), { name: "c" });
      await waitUntil(() => healthy.begun.length === 4, { what: "another gets the rest" });
      assert.deepEqual(healthy.begun.toSorted(), [2, 3, 4, 5]);
      assert.deepEqual([hung.begun, hung.consumption.stats.queued], [[1], 0]);
      assert.equal(hung.consumption.status, "running");
      await waitUntil(async () => (await manager.consumers.info(STREAM, "c")).num_waiting === 1, {
        what: "it asks for nothing",
      });
      await healthy.consumption.drain();
    } finally {
      await client.close();
    }
    hung.consumption.pause();
    hung.consumption.resume(); // not yet
    gate.resolve();
    await publish(6);
    await waitUntil(() => hung.begun.length === 2, { what: "it goes on" });
    assert.deepEqual(hung.begun, [1, 6]);
    await hung.consumption.drain();
  });
});

/** Holds four messages while the link is dead, and goes on when silence or more was noticed. */
async function loseReach(
  given: ConsumeOptions<number, "part">,
  until: "others have them" | "silence",
): Promise<void> {
  await withGround(async ({ core, publish, server }) => {
    const proxy = await FaultProxy.start({ target: { port: server.port } });
    const client = await connect({ servers: proxy.url });
    try {
      const gate = Promise.withResolvers<void>();
      const events: string[] = [];
      const onRecovery = ({ what }: ConsumerEvent) => void events.push(what);
      const options = { name: "c", onRecovery, ...given };
      const cut = await run(coreOf(client), options, () => gate.promise);
      await publish(1, 2, 3, 4);
      await waitUntil(() => cut.consumption.stats.queued === 3, { what: "the others wait" });
      proxy.drop();
      const healthy = await run(core, { name: "c" });
      const taken = () => waitUntil(() => healthy.begun.length === 4, { what: "others get them" });
      if (until === "others have them") await taken();
      await waitUntil(() => events.includes("missed_heartbeats"), { what: "silence is noticed" });
      gate.resolve();
      await waitUntil(() => cut.consumption.stats.queued === 0, { what: "nothing waits" });
      assert.deepEqual(cut.begun, [1]);
      await taken();
      proxy.heal();
      await healthy.consumption.drain();
    } finally {
      await client.close();
      await proxy.close();
    }
  });
}

test("what waits here while the server is out of reach is left to others", async () => {
  await loseReach({ ackWaitMs: 1_500, pullHeartbeatMs: 100 }, "others have them");
});

test("signs of life that were sent before the silence was noticed don't count", async () => {
  await loseReach({ ackWaitMs: 1_000, pullHeartbeatMs: 600 }, "silence");
});

test("a connection that ended is told as what ended the consumption", async () => {
  await withGround(async ({ client, core }) => {
    const { consumption } = await run(core, { name: "c" });
    await client.connection.close();
    const cause = await consumption.closed;
    assert.ok(isJsflowError(cause, "connection_closed"), String(cause));
  });
});
