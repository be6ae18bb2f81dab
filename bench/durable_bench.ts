// Five-step workflows through the engine, beside a hand-written floor that does only what the
// protocol needs, in the same run: deno task bench durable
//
// The floor, with raw nats.js: publish a command with a message id, consume it, append a claim and
// five outcomes with expected sequences, write a summary, reply, ack.
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy } from "@nats-io/jetstream";
import { connect as rawConnect } from "@nats-io/transport-node";
import { createInbox, type NatsConnection } from "@nats-io/nats-core";
import { connect, createDurableClient, createWorker, workflow } from "@x/jsflow";
import { NatsServer } from "@x/jsflow/testing";
import process from "node:process";
import { median } from "./_statistics.ts";

const STEPS = 5;
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const CONCURRENT = [1, 32, 128];
const WORKFLOWS = (concurrent: number) => concurrent === 1 ? 300 : 3_000;

/** Runs one workflow to its end. */
type RunOne = (n: number) => Promise<void>;

interface Contestant {
  readonly name: string;
  readonly run: RunOne;
  readonly close: () => Promise<void>;
}

async function engine(url: string): Promise<Contestant> {
  const client = await connect({ servers: url });
  const workerClient = await connect({ servers: url });
  const five = workflow("five", async (ctx, n: number) => {
    let sum = n;
    for (let k = 0; k < STEPS; k++) sum += await ctx.run(`step ${k}`, () => k);
    return sum;
  });
  const worker = await createWorker(workerClient, { workflows: [five], maxConcurrent: 256 });
  const durable = createDurableClient(client);
  return {
    name: "jsflow",
    run: async (n) => {
      const handle = await durable.start(five, n);
      await handle.result();
    },
    close: async () => {
      await worker.close();
      await durable.close();
      await workerClient.close();
      await client.close();
    },
  };
}

async function floor(url: string): Promise<Contestant> {
  const client = await rawConnect({ servers: url });
  const server = await rawConnect({ servers: url });
  const jsm = await jetstreamManager(server);
  await jsm.streams.add({
    name: "CMD",
    subjects: ["f.cmd.>"],
    retention: RetentionPolicy.Workqueue,
  });
  await jsm.streams.add({ name: "JNL", subjects: ["f.jnl.>"] });
  await jsm.streams.add({ name: "SUM", subjects: ["f.sum.>"], max_msgs_per_subject: 1 });
  await jsm.consumers.add("CMD", {
    durable_name: "w",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: -1,
  });
  const consumer = await jetstream(server).consumers.get("CMD", "w");
  const messages = await consumer.consume({
    max_messages: 256,
    callback: (message) => {
      const [inbox = "", id = ""] = message.string().split(" ");
      void floorWorkflow(server, inbox, id).then(() => message.ack());
    },
  });
  const { inbox, waiting } = replies(client);
  const js = jetstream(client);
  return {
    name: "floor",
    run: async () => {
      const id = crypto.randomUUID();
      const done = new Promise<void>((resolve) => waiting.set(id, resolve));
      await js.publish(`f.cmd.${id}`, `${inbox}.${id} ${id}`, { msgID: id });
      await done;
    },
    close: async () => {
      await messages.close();
      await client.close();
      await server.close();
    },
  };
}

function replies(nc: NatsConnection) {
  const inbox = createInbox();
  const waiting = new Map<string, () => void>();
  nc.subscribe(`${inbox}.*`, {
    callback: (_error, message) => {
      const id = message.subject.slice(inbox.length + 1);
      waiting.get(id)?.();
      waiting.delete(id);
    },
  });
  return { inbox, waiting };
}

async function floorWorkflow(nc: NatsConnection, inbox: string, id: string): Promise<void> {
  const js = jetstream(nc);
  let last = 0;
  for (let record = 0; record <= STEPS; record++) {
    const body = JSON.stringify({ id, record, last, owner: "o", value: record });
    const expect = { lastSubjectSequence: last };
    const ack = await js.publish(`f.jnl.${id}`, body, { msgID: `${id}.${record}`, expect });
    last = ack.seq;
  }
  const summary = JSON.stringify({ id, status: "completed", last });
  await js.publish(`f.sum.${id}`, summary, { expect: { lastSubjectSequence: 0 } });
  nc.publish(inbox, summary);
}

interface Sample {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

async function measure({ run }: Contestant, concurrent: number): Promise<Sample> {
  const total = WORKFLOWS(concurrent);
  const latencies: number[] = [];
  let next = 0;
  const begin = performance.now();
  await Promise.all(Array.from({ length: concurrent }, async () => {
    while (next < total) {
      const startedAt = performance.now();
      await run(next++);
      latencies.push(performance.now() - startedAt);
    }
  }));
  const seconds = (performance.now() - begin) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (q: number) => latencies[Math.min(latencies.length - 1, Math.floor(q * total))] ?? 0;
  return { perSecond: total / seconds, p50: at(0.5), p99: at(0.99) };
}

function line(name: string, samples: readonly Sample[]): string {
  const rates = samples.map(({ perSecond }) => perSecond);
  const range = `${Math.floor(Math.min(...rates))}-${Math.floor(Math.max(...rates))}`;
  const p50 = median(samples.map((sample) => sample.p50)).toFixed(2);
  const p99 = median(samples.map((sample) => sample.p99)).toFixed(2);
  return `  ${name.padEnd(8)} ${
    Math.floor(median(rates))
  }/s (${range})  p50 ${p50} ms  p99 ${p99} ms`;
}

async function main(): Promise<void> {
  const server = await NatsServer.start();
  const contestants: Contestant[] = [];
  try {
    contestants.push(await engine(server.url));
    contestants.push(await floor(server.url));
    console.log(`nats-server ${server.version}, ${STEPS} steps, ${ROUNDS} interleaved rounds`);
    for (const contestant of contestants) await measure(contestant, 32);
    for (const concurrent of CONCURRENT) {
      const samples = new Map<Contestant, Sample[]>(contestants.map((one) => [one, []]));
      for (let round = 0; round < ROUNDS; round++) {
        for (const one of contestants) samples.get(one)?.push(await measure(one, concurrent));
      }
      console.log(`${concurrent} at a time`);
      for (const [one, list] of samples) console.log(line(one.name, list));
      const [ours = 0, theirs = 1] = [...samples.values()].map((list) =>
        median(list.map(({ perSecond }) => perSecond))
      );
      console.log(`  ratio    ${(Math.floor(ours / theirs * 1000) / 1000).toFixed(3)}`);
    }
  } finally {
    for (const contestant of contestants) await contestant.close();
    await server.close();
  }
}

await main();
