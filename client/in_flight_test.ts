import assert from "node:assert/strict";
import { test } from "node:test";
import { METRIC_NAMES } from "../trace/metric_names.ts";
import { type MemoryMetrics, memoryMetrics } from "../trace/testdata/in_memory_sdk.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Client } from "./client.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { json } from "./json.ts";
import { type Subject, subject } from "./subject.ts";
import { type Connected, withConnected } from "./testdata/server_ground.ts";

interface Order {
  readonly n: number;
}

const Orders: Subject<Order, "region"> = subject("orders.{region}", json<Order>());
const Events: Subject<Order, "region"> = subject("events.{region}", json<Order>());
const Quote: Endpoint<Order, Order, "region"> = endpoint("quote.{region}", {
  request: json<Order>(),
  reply: json<Order>(),
});
const order: Order = { n: 1 };

/** Takes messages by a handler that waits until it is told how to end, or its signal aborts. */
interface Intake {
  readonly name: "consume" | "serve" | "subscribe";
  readonly operation: "process" | "serve";
  readonly template: string;
  begin(client: Client, work: Work): Promise<AsyncDisposable>;
  send(client: Client): Promise<unknown>;
}

type Work = (signal: AbortSignal) => Promise<void>;

const timeoutMs = 1_000;

const intakes: readonly Intake[] = [
  {
    name: "consume",
    operation: "process",
    template: "orders.{region}",
    begin: (client, work) =>
      client.consume(
        Orders,
        { name: "billing", autoCreate: true, concurrency: 4, timeoutMs, errorDelayMs: 3_600_000 },
        (_, { signal }) => work(signal),
      ),
    send: (client) => client.publishToStream(Orders.with({ region: "eu" }), order),
  },
  {
    name: "subscribe",
    operation: "process",
    template: "events.{region}",
    begin: (client, work) => {
      const options = { queue: "billing", concurrency: 4, timeoutMs };
      return client.subscribe(Events, options, (_, { signal }) => work(signal));
    },
    send: (client) => client.publish(Events.with({ region: "eu" }), order),
  },
  {
    name: "serve",
    operation: "serve",
    template: "quote.{region}",
    begin: (client, work) => {
      const options = { queue: "billing", concurrency: 4, timeoutMs };
      return client.serve(Quote, options, async (_, { signal }) => {
        await work(signal);
        return order;
      });
    },
    send: (client) =>
      client.request(Quote.with({ region: "eu" }), order, { timeoutMs: 60_000 }).catch(() => {}),
  },
];

interface Ground extends Connected {
  readonly metrics: MemoryMetrics;
  /** What the gauge says of an intake; undefined before its first message. */
  inFlight(intake: Intake): Promise<unknown>;
  /** Waits until the gauge says so. */
  reaches(intake: Intake, count: number): Promise<void>;
}

async function withGround(use: (ground: Ground) => Promise<void>): Promise<void> {
  const metrics = memoryMetrics();
  try {
    const telemetry = { tracing: false, meterProvider: metrics.provider };
    const client = { telemetry, name: "shop" };
    const inFlight = async ({ operation, template }: Intake) => {
      const points = await metrics.points(METRIC_NAMES.inFlight);
      return points.find(({ attributes }) =>
        attributes["messaging.operation.name"] === operation &&
        attributes["messaging.destination.template"] === template
      )?.value;
    };
    const reaches = async (intake: Intake, count: number) => {
      const what = `${count} messages are in flight of ${intake.name}`;
      await waitUntil(async () => await inFlight(intake) === count, { what });
    };
    await withConnected({ client, closing: { graceMs: 0 } }, async (connected) => {
      await use({ ...connected, metrics, inFlight, reaches });
    });
  } finally {
    await metrics.close();
  }
}

/** Sends without waiting for answers, which the handlers hold up. */
function send(intake: Intake, client: Client): void {
  intake.send(client).catch(() => {}); // the connection may go first
}

for (const intake of intakes) {
  test(`messages that ${intake.name} works on are in flight until their handlers end`, async () => {
    await withGround(async ({ client, inFlight, metrics, reaches }) => {
      const works: PromiseWithResolvers<void>[] = [];
      const taking = await intake.begin(client, () => {
        const work = Promise.withResolvers<void>();
        works.push(work);
        return work.promise;
      });
      for (let index = 0; index < 3; index++) send(intake, client);
      await reaches(intake, 3);
      const points = await metrics.points(METRIC_NAMES.inFlight);
      assert.deepEqual(points.map(({ attributes }) => attributes), [{
        "messaging.system": "nats",
        "messaging.client.id": "shop",
        "messaging.operation.name": intake.operation,
        "messaging.operation.type": "process",
        "messaging.destination.template": intake.template,
        "messaging.consumer.group.name": "billing",
      }]);
      works[0]?.resolve();
      await reaches(intake, 2);
      works[1]?.reject(new Error("thrown"));
      await reaches(intake, 1);
      works[2]?.resolve();
      await reaches(intake, 0);
      await taking[Symbol.asyncDispose]();
      assert.equal(await inFlight(intake), 0);
    });
  });

  test(`an overdue handler of ${intake.name} is in flight until it minds its signal`, async () => {
    await withGround(async ({ client, reaches }) => {
      const aborted = Promise.withResolvers<void>();
      const last = Promise.withResolvers<void>();
      await intake.begin(client, async (signal) => {
        signal.addEventListener("abort", () => aborted.resolve());
        await last.promise;
      });
      send(intake, client);
      await aborted.promise;
      await reaches(intake, 1);
      last.resolve();
      await reaches(intake, 0);
    });
  });

  test(`nothing of ${intake.name} stays in flight when the client closes`, async () => {
    await withGround(async ({ client, inFlight, metrics, reaches }) => {
      await intake.begin(client, () => new Promise(() => {})); // minds nothing
      send(intake, client);
      await reaches(intake, 1);
      await client.close({ graceMs: 0 });
      assert.equal(await inFlight(intake), 0);
      for (const name of ["activeConsumers", "activeSubscriptions"] as const) {
        for (const { value } of await metrics.points(METRIC_NAMES[name])) assert.equal(value, 0);
      }
    });
  });

  test(`a lost connection leaves nothing of ${intake.name} in flight`, async () => {
    await withGround(async ({ client, reaches, server }) => {
      const release = Promise.withResolvers<void>();
      await intake.begin(client, () => release.promise);
      send(intake, client);
      await reaches(intake, 1);
      await server.kill();
      await reaches(intake, 1);
      release.resolve();
      await reaches(intake, 0);
      await server.restart();
      await client.waitForConnection({ timeoutMs: 30_000 });
    });
  });
}

test("a handler that returns or throws at once, and a payload that does not decode", async () => {
  await withGround(async ({ client, reaches }) => {
    let calls = 0;
    const handler = () => {
      if (++calls === 1) throw new Error("at once");
    };
    const options = { name: "billing", autoCreate: true, errorDelayMs: 0, onError: () => {} };
    await client.consume(Orders, options, handler);
    await client.jetstream.publish("orders.eu", "{");
    await client.publishToStream(Orders.with({ region: "eu" }), order);
    await waitUntil(() => calls === 2, { what: "it came again" });
    await reaches(intakes[0] as Intake, 0);
  });
});
