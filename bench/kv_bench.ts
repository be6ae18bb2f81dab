// What the store costs: writes, reads, contended updates, watches and mirrors through jsflow and
// through @nats-io/kv, on one server, in interleaved rounds: deno task bench kv
import { type KV, Kvm } from "@nats-io/kv";
import { connect as rawConnect } from "@nats-io/transport-node";
import { bytes, connect, json } from "@x/jsflow";
import { openStore, type Store } from "@x/jsflow/kv";
import { NatsServer } from "@x/jsflow/testing";
import { atATime, contest } from "./_contest.ts";

const PAYLOAD = new Uint8Array(128).fill(120);
const KEYS = 1_000;
const WRITERS = 8;
const READERS = 10;

const numbers = new TextEncoder();
const texts = new TextDecoder();

/** What many write by hand: read, add, write, and again at once when somebody was faster. */
async function naiveIncrement(kv: KV): Promise<void> {
  for (;;) {
    const entry = await kv.get("hot");
    const next = numbers.encode(`${entry ? Number(texts.decode(entry.value)) + 1 : 1}`);
    try {
      if (entry) await kv.update("hot", next, entry.revision);
      else await kv.create("hot", next);
      return;
    } catch {
      // Somebody else was faster.
    }
  }
}

async function increment(store: Store<number>): Promise<void> {
  await store.update("hot", (count) => (count ?? 0) + 1, {
    retry: { attempts: 1_000, initialMs: 1, maxMs: 50 },
    timeoutMs: 60_000,
  });
}

async function rawFanOut(kv: KV, count: number): Promise<void> {
  const watches = await Promise.all(
    Array.from({ length: READERS }, () => kv.watch({ key: "fan.*", include: "updates" as never })),
  );
  const seen = watches.map(async (watch) => {
    let left = count;
    for await (const _ of watch) if (--left === 0) break;
  });
  let n = 0;
  await atATime(32, count, async () => void await kv.put(`fan.${n++ % KEYS}`, PAYLOAD));
  await Promise.all(seen);
}

async function fanOut(store: Store<Uint8Array>, count: number): Promise<void> {
  const watches = Array.from(
    { length: READERS },
    () => store.watch({ filter: "fan.*", from: "new" }),
  );
  const seen = watches.map(async (watch) => {
    let left = count;
    for await (const _ of watch) if (--left === 0) break;
  });
  await Promise.all(watches.map((watch) => watch.ready));
  let n = 0;
  await atATime(32, count, async () => void await store.put(`fan.${n++ % KEYS}`, PAYLOAD));
  await Promise.all(seen);
}

async function main(): Promise<void> {
  const server = await NatsServer.start();
  const nc = await rawConnect({ servers: server.url });
  const telemetry = { tracing: false, metrics: false };
  const clients = await Promise.all(
    Array.from({ length: WRITERS }, () => connect({ servers: server.url, telemetry })),
  );
  const connections = await Promise.all(
    Array.from({ length: WRITERS }, () => rawConnect({ servers: server.url })),
  );
  try {
    const kv = await new Kvm(nc).create("raw");
    const store = await openStore(clients[0]!, { bucket: "ours", codec: bytes() });
    let n = 0;
    const key = () => `key.${n++ % KEYS}`;
    await contest({
      what: "put, one after the other",
      count: 5_000,
      runs: {
        raw: (count) => atATime(1, count, async () => void await kv.put(key(), PAYLOAD)),
        jsflow: (count) => atATime(1, count, async () => void await store.put(key(), PAYLOAD)),
      },
    });
    await contest({
      what: "put, 32 at a time",
      count: 20_000,
      runs: {
        raw: (count) => atATime(32, count, async () => void await kv.put(key(), PAYLOAD)),
        jsflow: (count) => atATime(32, count, async () => void await store.put(key(), PAYLOAD)),
      },
    });
    await contest({
      what: "get, one after the other",
      count: 5_000,
      runs: {
        raw: (count) => atATime(1, count, async () => void await kv.get(key())),
        jsflow: (count) => atATime(1, count, async () => void await store.get(key())),
      },
    });
    await contest({
      what: "get, 32 at a time",
      count: 20_000,
      runs: {
        raw: (count) => atATime(32, count, async () => void await kv.get(key())),
        jsflow: (count) => atATime(32, count, async () => void await store.get(key())),
      },
    });
    await contest({
      what: "update without contention: read, then compare-and-set",
      count: 3_000,
      runs: {
        raw: (count) =>
          atATime(1, count, async () => {
            const entry = await kv.get("cold");
            if (entry) await kv.update("cold", PAYLOAD, entry.revision);
            else await kv.create("cold", PAYLOAD);
          }),
        jsflow: (count) =>
          atATime(1, count, async () => void await store.update("cold", () => PAYLOAD)),
      },
    });
    const hot = await Promise.all(
      clients.map((client) => openStore(client, { bucket: "hot", codec: json<number>() })),
    );
    const rawHot = await Promise.all(connections.map((one) => new Kvm(one).create("raw_hot")));
    await contest({
      what: `${WRITERS} connections increment one key; naive is a retry without pause`,
      count: 800,
      runs: {
        naive: async (count) => {
          const each = Math.ceil(count / WRITERS);
          await Promise.all(
            rawHot.map((one) => atATime(1, each, async () => await naiveIncrement(one))),
          );
        },
        jsflow: async (count) => {
          const each = Math.ceil(count / WRITERS);
          await Promise.all(hot.map((one) => atATime(1, each, async () => await increment(one))));
        },
      },
    });
    const local = hot[0]!;
    await contest({
      what: `${WRITERS} writers on one connection increment one key`,
      count: 2_000,
      runs: {
        naive: (count) => atATime(WRITERS, count, async () => await naiveIncrement(rawHot[0]!)),
        jsflow: (count) => atATime(WRITERS, count, async () => await increment(local)),
      },
    });
    await contest({
      what: `watch: ${READERS} watches see each of the writes`,
      count: 5_000,
      runs: {
        raw: (count) => rawFanOut(kv, count),
        jsflow: (count) => fanOut(store, count),
      },
    });
    const mirror = await store.mirror();
    const map = new Map([...mirror.keys()].map((name) => [name, PAYLOAD]));
    await contest({
      what: "read from a mirror; raw is a Map",
      count: 1_000_000,
      runs: {
        raw: (count) => {
          for (let i = 0; i < count; i++) map.get(key());
          return Promise.resolve();
        },
        jsflow: (count) => {
          for (let i = 0; i < count; i++) mirror.get(key());
          return Promise.resolve();
        },
      },
    });
    await mirror.close();
  } finally {
    for (const client of clients) await client.close();
    for (const connection of [...connections, nc]) await connection.close();
    await server.close();
  }
}

await main();
