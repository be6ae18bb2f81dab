import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { AckPolicy, type ConsumerInfo, type JetStreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import type { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Client } from "./client.ts";
import type { Delivery } from "./delivery.ts";
import { PullLoop, type PullTrouble } from "./pull_loop.ts";
import { withClient, withConnected, withProxy } from "./testdata/server_ground.ts";

const STREAM = "S";
const CONSUMER = "C";
const REQUESTS = `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${CONSUMER}`;
const CAPACITY = 8;

/** A server with a stream and a consumer, seen by a client that the loop does not share. */
interface Ground {
  readonly server: NatsServer;
  readonly observer: Client;
  readonly manager: JetStreamManager;
  publish(count: number): Promise<void>;
  info(): Promise<ConsumerInfo>;
}

async function withGround(use: (ground: Ground) => Promise<void>): Promise<void> {
  await withConnected({}, async ({ server, client: observer }) => {
    const manager = await observer.manager();
    await manager.streams.add({ name: STREAM, subjects: ["s"] });
    await addConsumer(manager);
    const info = () => manager.consumers.info(STREAM, CONSUMER);
    const publish = async (count: number) => {
      for (let n = 0; n < count; n++) await observer.jetstream.publish("s", `${n}`);
    };
    await use({ server, observer, manager, publish, info });
  });
}

async function addConsumer(manager: JetStreamManager): Promise<void> {
  await manager.consumers.add(STREAM, {
    durable_name: CONSUMER,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(120_000),
    max_ack_pending: -1,
  });
}

interface PullerOptions {
  readonly expiresMs: number;
  readonly capacity?: number;
  /** Whether silence of the server makes the loop start anew. */
  readonly restarts?: boolean;
}

/** A loop, what it holds and what it was told. */
class Puller {
  readonly loop: PullLoop;
  readonly seen: number[] = [];
  readonly troubles: PullTrouble[] = [];
  held: Delivery[] = [];
  mostHeld = 0;

  constructor(client: Client, options: PullerOptions) {
    const { expiresMs, capacity = CAPACITY } = options;
    this.loop = new PullLoop({
      connection: client.connection,
      jetstream: client.jetstream,
      stream: STREAM,
      consumer: CONSUMER,
      capacity,
      expiresMs,
      onMessage: (delivery) => {
        this.seen.push(delivery.streamSeq);
        this.held.push(delivery);
        this.mostHeld = Math.max(this.mostHeld, this.held.length);
      },
      onTrouble: (trouble) => {
        this.troubles.push(trouble);
        if (trouble === "silent" && options.restarts) this.loop.start();
      },
    });
  }

  /** Settles up to `count` of the messages that it holds, the oldest first. */
  settle(count: number): void {
    for (const delivery of this.held.splice(0, count)) {
      delivery.ack();
      this.loop.release();
    }
  }

  async sees(count: number): Promise<void> {
    const what = `${count} messages have come, ${this.troubles.join() || "no trouble"}`;
    await waitUntil(() => this.seen.length >= count, { what, intervalMs: 1 });
    assert.equal(this.seen.length, count);
  }

  async meets(...troubles: PullTrouble[]): Promise<void> {
    const what = `trouble: ${troubles.join()}`;
    await waitUntil(() => this.troubles.length >= troubles.length, { what });
    assert.deepEqual(this.troubles, troubles);
  }
}

async function withPuller(
  url: string,
  options: PullerOptions,
  use: (puller: Puller) => Promise<void>,
): Promise<void> {
  await withClient({ servers: url }, async (client) => {
    const puller = new Puller(client, options);
    try {
      await use(puller);
    } finally {
      puller.loop.stop();
    }
  });
}

/** The server counts what a publish has stored a moment after it has acknowledged it. */
async function serverCounts(
  info: () => Promise<ConsumerInfo>,
  ackPending: number,
  pending: number,
): Promise<void> {
  let last = "";
  const what = `${ackPending} messages are out and ${pending} wait at the server`;
  await waitUntil(async () => {
    const { num_ack_pending, num_pending } = await info();
    last = `${num_ack_pending} and ${num_pending}`;
    return num_ack_pending === ackPending && num_pending === pending;
  }, { what }).catch((error) => {
    throw new Error(`${error.message}; last seen: ${last}`, { cause: error });
  });
}

/** The pull requests that reach the server from now on. */
async function watchRequests(observer: Client): Promise<{ batch: number; expires: number }[]> {
  const requests: { batch: number; expires: number }[] = [];
  observer.connection.subscribe(REQUESTS, {
    callback: (_error, message) => void requests.push(message.json()),
  });
  await observer.connection.flush();
  return requests;
}

test("every message is delivered once, and never more are held than fit", async () => {
  await withGround(async ({ server, publish, info }) => {
    await withPuller(server.url, { expiresMs: 30_000 }, async (puller) => {
      await publish(100);
      puller.loop.start();
      await puller.sees(CAPACITY);
      await serverCounts(info, CAPACITY, 100 - CAPACITY);
      for (let round = 1; puller.seen.length < 100; round++) {
        const before = puller.held.length;
        puller.settle(1 + round % CAPACITY);
        const want = Math.min(before, 1 + round % CAPACITY);
        assert.equal(puller.held.length, before - want);
        // Requests go out once a quarter of the capacity is free.
        const more = () => puller.held.length > CAPACITY * 3 / 4 || puller.seen.length === 100;
        await waitUntil(more, { what: "it is full again", intervalMs: 1 });
      }
      assert.deepEqual(puller.seen, Array.from({ length: 100 }, (_, index) => index + 1));
      assert.equal(puller.mostHeld, CAPACITY);
      assert.deepEqual(puller.troubles, []);
    });
  });
});

test("while everything is held, nothing is asked for", async () => {
  await withGround(async ({ server, observer, publish, info }) => {
    await withPuller(server.url, { expiresMs: 30_000, capacity: 3 }, async (puller) => {
      const requests = await watchRequests(observer);
      await publish(5);
      puller.loop.start();
      await puller.sees(3);
      assert.deepEqual(requests.map(({ batch }) => batch), [3]);
      assert.equal((await info()).num_waiting, 0);
      puller.settle(1);
      await puller.sees(4);
      assert.deepEqual(requests.map(({ batch }) => batch), [3, 1]);
    });
  });
});

test("requests that expire are renewed in full, again and again", async () => {
  await withGround(async ({ server, observer, publish }) => {
    // A process or a server that gets no processor for a moment passes for silence.
    await withPuller(server.url, { expiresMs: 300, restarts: true }, async (puller) => {
      const requests = await watchRequests(observer);
      puller.loop.start();
      const timeoutMs = 30_000;
      await waitUntil(() => requests.length > 20, { what: "20 requests have expired", timeoutMs });
      assert.ok(requests.every(({ batch }) => batch === CAPACITY), JSON.stringify(requests));
      await publish(CAPACITY + 1);
      await puller.sees(CAPACITY);
      puller.settle(CAPACITY);
      await puller.sees(CAPACITY + 1);
      assert.equal(puller.mostHeld, CAPACITY);
      assert.deepEqual(puller.troubles.filter((trouble) => trouble !== "silent"), []);
    });
  });
});

test("requests that expire half used leave the capacity as it is", async () => {
  await withGround(async ({ server, observer, publish, info }) => {
    await withPuller(server.url, { expiresMs: 300, restarts: true }, async (puller) => {
      const requests = await watchRequests(observer);
      puller.loop.start();
      for (let round = 1; round <= 20; round++) {
        await publish(3);
        await puller.sees(3 * round);
        const asked = requests.length;
        await waitUntil(() => requests.length > asked, { what: "a request has expired" });
        puller.settle(3);
      }
      await publish(CAPACITY + 5);
      await waitUntil(() => puller.held.length >= CAPACITY, { what: "it is full" });
      // A message on its way to a loop that begins anew is lost until its ack wait is over.
      await serverCounts(info, CAPACITY, 5).catch((error) => {
        if (puller.troubles.length === 0) throw error;
      });
      assert.equal(puller.mostHeld, CAPACITY);
      // Servers of the 2.9 line drop some requests without a word, which passes for silence, too.
      assert.deepEqual(puller.troubles.filter((trouble) => trouble !== "silent"), []);
    });
  });
});

test("a fractional life of requests is one that the server takes", async () => {
  await withGround(async ({ server, observer, publish }) => {
    await withPuller(server.url, { expiresMs: 333.333_333_333 }, async (puller) => {
      const requests = await watchRequests(observer);
      puller.loop.start();
      await waitUntil(() => requests.length > 2, { what: "requests have expired" });
      assert.equal(requests[0]?.expires, 333_333_333);
      await publish(1);
      await puller.sees(1);
      assert.deepEqual(puller.troubles, []);
    });
  });
});

test("a consumer that is deleted is reported once, and the loop can start anew", async () => {
  await withGround(async ({ server, observer, manager, publish }) => {
    await withPuller(server.url, { expiresMs: 30_000 }, async (puller) => {
      const requests = await watchRequests(observer);
      puller.loop.start();
      await waitUntil(() => requests.length > 0, { what: "the request is at the server" });
      await manager.consumers.delete(STREAM, CONSUMER);
      await puller.meets("consumer_gone");
      await addConsumer(manager);
      await publish(1);
      assert.deepEqual(puller.seen, [], "it rests until it is started again");
      puller.loop.start();
      await puller.sees(1);
      await puller.meets("consumer_gone");
    });
  });
});

test("a consumer that never was is reported", async () => {
  await withGround(async ({ server, manager }) => {
    await manager.consumers.delete(STREAM, CONSUMER);
    await withPuller(server.url, { expiresMs: 1_500 }, async (puller) => {
      puller.loop.start();
      // Servers of the 2.9 line leave a request to no consumer without any answer.
      await puller.meets(server.version.startsWith("2.9.") ? "silent" : "consumer_gone");
    });
  });
});

test("a server that falls silent is reported, and one that is merely idle is not", {
  skip: process.platform === "win32" && "Windows can't pause a process",
}, async () => {
  await withGround(async ({ server, observer, publish }) => {
    await withPuller(server.url, { expiresMs: 1_500 }, async (puller) => {
      const requests = await watchRequests(observer);
      puller.loop.start();
      await waitUntil(() => requests.length > 2, { what: "two idle requests have expired" });
      assert.deepEqual(puller.troubles, []);
      server.pause();
      try {
        await puller.meets("silent");
      } finally {
        server.continue();
      }
      puller.loop.start();
      await publish(1);
      await puller.sees(1);
      await puller.meets("silent");
    });
  });
});

test("drain hands over what is on its way, and asks for nothing more", async () => {
  await withGround(async ({ server, publish, info }) => {
    await withProxy({ target: { port: server.port } }, async (proxy) => {
      await withPuller(proxy.url, { expiresMs: 60_000 }, async (puller) => {
        await publish(CAPACITY + 1);
        proxy.stall({ direction: "toClient" });
        puller.loop.start();
        const isOut = async () => (await info()).num_ack_pending === CAPACITY;
        await waitUntil(isOut, { what: "the server has sent what was asked for" });
        assert.deepEqual(puller.seen, []);
        const draining = puller.loop.drain();
        proxy.heal();
        await draining;
        assert.equal(puller.seen.length, CAPACITY);
        puller.settle(CAPACITY);
        await serverCounts(info, 0, 1);
        assert.equal((await info()).num_waiting, 0);
        assert.equal(puller.seen.length, CAPACITY);
      });
    });
  });
});
