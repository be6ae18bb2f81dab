/** What tests of pull loops stand on: a consumer, and loops that pull from it. */
import assert from "node:assert/strict";
import { AckPolicy, type ConsumerInfo, jetstream, type JetStreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import type { NatsServer } from "../../testing/nats_server.ts";
import { waitUntil } from "../../testing/wait_until.ts";
import type { Client } from "../client.ts";
import type { Delivery } from "../delivery.ts";
import { PullLoop, type PullTrouble } from "../pull_loop.ts";
import { withClient, withConnected } from "./server_ground.ts";

export const STREAM = "S";
export const CONSUMER = "C";
/** Where requests go. */
export const REQUESTS: string = `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${CONSUMER}`;
/** What a loop may hold, unless it is told otherwise. */
export const CAPACITY = 8;

/** A server with a stream and a consumer, seen by a client that the loop does not share. */
export interface Ground {
  readonly server: NatsServer;
  readonly observer: Client;
  readonly manager: JetStreamManager;
  publish(count: number): Promise<void>;
  info(): Promise<ConsumerInfo>;
}

/** A message that is on its way to a loop that begins anew may come after that time only. */
export const SHORT_ACK_WAIT_MS = 3_000;

/** Runs a test with a server, a stream and a consumer of its own. */
export async function withGround(
  use: (ground: Ground) => Promise<void>,
  ackWaitMs = 120_000,
): Promise<void> {
  await withConnected({}, async ({ server, client: observer }) => {
    const manager = await observer.manager();
    await manager.streams.add({ name: STREAM, subjects: ["s"] });
    await addConsumer(manager, ackWaitMs);
    const info = () => manager.consumers.info(STREAM, CONSUMER);
    const publish = async (count: number) => {
      for (let n = 0; n < count; n++) await observer.jetstream.publish("s", `${n}`);
    };
    await use({ server, observer, manager, publish, info });
  });
}

/** Makes the consumer. */
export async function addConsumer(manager: JetStreamManager, ackWaitMs = 120_000): Promise<void> {
  await manager.consumers.add(STREAM, {
    durable_name: CONSUMER,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    max_ack_pending: -1,
  });
}

/** How a loop pulls. */
export interface PullerOptions {
  readonly expiresMs: number;
  /** As the loop's. */
  readonly heartbeatMs?: number;
  /** @default CAPACITY */
  readonly capacity?: number;
  /** Where its requests go. @default the server's own API */
  readonly apiPrefix?: string;
  /** Whether silence of the server makes the loop start anew. */
  readonly restarts?: boolean;
}

/** A loop, what it holds and what it was told. */
export class Puller {
  readonly client: Client;
  readonly loop: PullLoop;
  readonly seen: number[] = [];
  readonly troubles: PullTrouble[] = [];
  held: Delivery[] = [];
  mostHeld = 0;

  constructor(client: Client, options: PullerOptions) {
    this.client = client;
    const { apiPrefix, expiresMs, heartbeatMs, capacity = CAPACITY } = options;
    const { connection } = client;
    this.loop = new PullLoop({
      connection,
      jetstream: apiPrefix === undefined ? client.jetstream : jetstream(connection, { apiPrefix }),
      stream: STREAM,
      consumer: CONSUMER,
      capacity,
      expiresMs,
      heartbeatMs,
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

  /** Waits for exactly so many messages. */
  async sees(count: number): Promise<void> {
    const what = `${count} messages have come, ${this.troubles.join() || "no trouble"}`;
    await waitUntil(() => this.seen.length >= count, { what, intervalMs: 1 });
    assert.equal(this.seen.length, count);
  }

  /** Where silence may make the loop begin anew, some messages come twice, and some late. */
  async seesAtLeast(count: number): Promise<void> {
    const what = `${count} different messages have come`;
    const timeoutMs = 10 * SHORT_ACK_WAIT_MS;
    await waitUntil(() => new Set(this.seen).size >= count, { what, timeoutMs, intervalMs: 5 });
  }

  /** Servers of the 2.9 line drop some requests without a word, which passes for silence, too. */
  checkNoTrouble(): void {
    assert.deepEqual(this.troubles.filter((trouble) => trouble !== "silent"), []);
  }

  /** Waits for exactly this trouble. */
  async meets(...troubles: PullTrouble[]): Promise<void> {
    const what = `trouble: ${troubles.join()}`;
    await waitUntil(() => this.troubles.length >= troubles.length, { what });
    assert.deepEqual(this.troubles, troubles);
  }
}

/** Runs a test, or a part of it, with a loop on a client of its own. */
export async function withPuller(
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
export async function serverCounts(
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
export async function watchRequests(
  observer: Client,
): Promise<{ batch: number; expires: number }[]> {
  const requests: { batch: number; expires: number }[] = [];
  observer.connection.subscribe(REQUESTS, {
    callback: (_error, message) => void requests.push(message.json()),
  });
  await observer.connection.flush();
  return requests;
}

/** All that was asked for has come, while more waits at the server: never more than fits. */
export async function checkFull(puller: Puller, info: Ground["info"]): Promise<void> {
  const timeoutMs = 10 * SHORT_ACK_WAIT_MS;
  await waitUntil(() => puller.held.length >= CAPACITY, { what: "it is full", timeoutMs });
  const isAnswered = async () => (await info()).num_waiting === 0;
  await waitUntil(isAnswered, { what: "no request is open" });
  await puller.client.connection.flush();
  assert.equal(puller.mostHeld, CAPACITY);
}
