// What the client costs: publishing, subscriptions, requests, stream publishing and consuming
// through jsflow and through raw nats.js, on one server, in interleaved rounds:
// deno task bench client
//
// "traced" is jsflow with contexts in the headers and no OpenTelemetry SDK; "jsflow" has tracing
// and metrics switched off, as raw nats.js has neither. Whoever is at the other end (receives what
// is published, answers requests, sends what is received) has a connection of its own: whose
// connection did both would save the reads of the other one's socket.
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect as rawConnect } from "@nats-io/transport-node";
import { bytes, type Client, connect, endpoint, subject } from "@x/jsflow";
import { NatsServer } from "@x/jsflow/testing";
import { atATime, contest, type Run } from "./_contest.ts";

const PAYLOAD = new Uint8Array(128).fill(120);
const IN_FLIGHT = 256;

interface Duel {
  readonly what: string;
  readonly count: number;
  readonly raw: Run;
  readonly jsflow: (client: Client) => Run;
}

const Plain = subject("bench.plain", bytes());
const Received = subject("bench.received", bytes());
const Stored = subject("bench.stored", bytes());
const Echo = endpoint("bench.echo", { request: bytes(), reply: bytes() });

function duels(nc: NatsConnection, far: NatsConnection): Duel[] {
  const js = jetstream(nc);
  return [
    {
      what: "publish, a thousand at a time",
      count: 200_000,
      raw: async (count) => {
        for (let left = count; left > 0; left -= 1_000) {
          for (let n = 0; n < Math.min(left, 1_000); n++) nc.publish("bench.plain", PAYLOAD);
          await nc.flush();
        }
      },
      jsflow: (client) => async (count) => {
        for (let left = count; left > 0; left -= 1_000) {
          const published: Promise<void>[] = [];
          for (let n = 0; n < Math.min(left, 1_000); n++) {
            published.push(client.publish(Plain, PAYLOAD));
          }
          await Promise.all(published);
          await client.connection.flush();
        }
      },
    },
    {
      // Whoever awaits in between lets the native connection write each message by itself.
      what: "publish, each one awaited",
      count: 100_000,
      raw: async (count) => {
        for (let n = 1; n <= count; n++) {
          nc.publish("bench.plain", PAYLOAD);
          await null;
          if (n % 1_000 === 0) await nc.flush();
        }
        await nc.flush();
      },
      jsflow: (client) => async (count) => {
        for (let n = 1; n <= count; n++) {
          await client.publish(Plain, PAYLOAD);
          if (n % 1_000 === 0) await client.connection.flush();
        }
        await client.connection.flush();
      },
    },
    {
      what: "request, 32 at a time",
      count: 20_000,
      raw: (count) =>
        atATime(32, count, async () => void await nc.request("bench.raw_echo", PAYLOAD)),
      jsflow: (client) => (count) =>
        atATime(32, count, async () => void await client.request(Echo, PAYLOAD)),
    },
    {
      what: "subscribe, a thousand published at a time",
      count: 200_000,
      raw: (count) => rawReceive(nc, far, count),
      jsflow: (client) => (count) => receive(client, far, count),
    },
    {
      what: "publish to a stream, each one awaited",
      count: 10_000,
      raw: (count) => atATime(1, count, async () => void await js.publish("bench.stored", PAYLOAD)),
      jsflow: (client) => (count) =>
        atATime(1, count, async () => void await client.publishToStream(Stored, PAYLOAD)),
    },
    {
      what: `publish to a stream, ${IN_FLIGHT} in flight`,
      count: 40_000,
      raw: (count) =>
        atATime(IN_FLIGHT, count, async () => void await js.publish("bench.stored", PAYLOAD)),
      jsflow: (client) => async (count) => {
        const publisher = await client.createPublisher({ maxMessages: IN_FLIGHT });
        const acks: Promise<unknown>[] = [];
        for (let n = 0; n < count; n++) {
          acks.push(publisher.publish(Stored, PAYLOAD));
          if (acks.length === IN_FLIGHT * 4) await Promise.all(acks.splice(0));
        }
        await Promise.all(acks);
        await publisher.close();
      },
    },
    {
      what: "consume and ack",
      count: 40_000,
      raw: (count) => rawConsume(nc, count),
      jsflow: (client) => (count) => consume(client, count),
    },
  ];
}

async function rawReceive(nc: NatsConnection, far: NatsConnection, count: number): Promise<void> {
  let left = count;
  const done = Promise.withResolvers<void>();
  const subscription = nc.subscribe("bench.received", {
    callback: () => {
      if (--left === 0) done.resolve();
    },
  });
  await nc.flush();
  await publishAll(far, count);
  await done.promise;
  subscription.unsubscribe();
}

async function receive(client: Client, far: NatsConnection, count: number): Promise<void> {
  let left = count;
  const done = Promise.withResolvers<void>();
  const subscription = await client.subscribe(Received, () => {
    if (--left === 0) done.resolve();
  });
  await publishAll(far, count);
  await done.promise;
  await subscription.drain();
}

async function publishAll(far: NatsConnection, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1_000) {
    for (let n = 0; n < Math.min(left, 1_000); n++) far.publish("bench.received", PAYLOAD);
    await far.flush();
  }
}

async function rawConsume(nc: NatsConnection, count: number): Promise<void> {
  const jsm = await jetstreamManager(nc);
  const settings = { ack_policy: AckPolicy.Explicit, max_ack_pending: 2_000 };
  const { name } = await jsm.consumers.add("BENCH", settings);
  const consumer = await jetstream(nc).consumers.get("BENCH", name);
  const messages = await consumer.consume({ max_messages: 1_000 });
  let left = count;
  for await (const message of messages) {
    message.ack();
    if (--left === 0) break;
  }
  await nc.flush();
  await consumer.delete();
}

async function consume(client: Client, count: number): Promise<void> {
  let left = count;
  const done = Promise.withResolvers<void>();
  const consumption = await client.consume(
    Stored,
    { stream: "BENCH", maxMessages: 1_000, confirmAcks: false, maxAckPending: 2_000 },
    () => {
      if (--left === 0) done.resolve();
    },
  );
  await done.promise;
  await client.connection.flush();
  await consumption.stop();
}

async function main(): Promise<void> {
  const server = await NatsServer.start();
  const nc = await rawConnect({ servers: server.url });
  const far = await rawConnect({ servers: server.url });
  const off = { tracing: false, metrics: false };
  const jsflow = await connect({ servers: server.url, telemetry: off });
  const traced = await connect({ servers: server.url });
  const serving = await connect({ servers: server.url, telemetry: off });
  try {
    const jsm = await jetstreamManager(nc);
    await jsm.streams.add({ name: "BENCH", subjects: ["bench.stored"] });
    far.subscribe("bench.plain", { callback: () => {} });
    far.subscribe("bench.raw_echo", {
      callback: (_error, message) => void message.respond(message.data),
    });
    await serving.serve(Echo, { concurrency: 64 }, (request) => request);
    for (const { what, count, raw, jsflow: ours } of duels(nc, far)) {
      await contest({ what, count, runs: { raw, jsflow: ours(jsflow), traced: ours(traced) } });
    }
  } finally {
    await jsflow.close();
    await traced.close();
    await serving.close();
    await nc.close();
    await far.close();
    await server.close();
  }
}

await main();
