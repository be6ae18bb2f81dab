import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { startTestNats, type TestNats } from "../testing/test_nats.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { connect } from "./connect.ts";
import { type ClientCore, coreOf } from "./core.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import { publish } from "./publish.ts";
import { type BoundSubject, subject } from "./subject.ts";
import { subscribe } from "./subscribe.ts";

const Numbers: BoundSubject<number> = subject("numbers", json<number>());

async function withNats(use: (nats: TestNats, core: ClientCore) => Promise<void>): Promise<void> {
  const nats = await startTestNats({ preset: "minimal" });
  try {
    await use(nats, coreOf(nats.client));
  } finally {
    await nats.close();
  }
}

/** How many subscriptions the server knows of, those of its own aside. */
async function subscriptions({ server }: { server: NatsServer }): Promise<number> {
  const response = await fetch(`${server.monitorUrl}/connz`);
  const { connections } = await response.json() as { connections: { subscriptions: number }[] };
  return connections.reduce((sum, connection) => sum + connection.subscriptions, 0);
}

/** Something to wait for within a handler. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

async function publishAll(core: ClientCore, count: number): Promise<void> {
  for (let value = 0; value < count; value++) await publish(core, Numbers, value);
  await core.connection.flush();
}

test("unsubscribe ends at once: what waits is dropped, the handler at work goes on", async () => {
  await withNats(async (nats, core) => {
    const hold = gate();
    let aborted = false;
    const numbers = await subscribe(core, Numbers, async (_value, { signal }) => {
      await hold.opened;
      aborted = signal.aborted;
    });
    await publishAll(core, 5);
    await waitUntil(() => numbers.stats.received === 5, { what: "all have arrived" });
    numbers.unsubscribe();
    numbers.unsubscribe();
    assert.deepEqual([numbers.stats.pending, numbers.stats.dropped], [0, 4]);
    await publishAll(core, 1);
    assert.equal(await subscriptions(nats), 0);
    assert.equal(numbers.stats.received, 5);
    hold.open();
    assert.equal(await numbers.closed, undefined);
    assert.deepEqual([numbers.stats.handled, aborted], [1, false]);
    await numbers.drain();
    await numbers[Symbol.asyncDispose]();
  });
});

test("drain finishes what has arrived, even when its grace is long over for others", async () => {
  await withNats(async (nats, core) => {
    const hold = gate();
    const seen: number[] = [];
    const numbers = await subscribe(core, Numbers, async (value) => {
      await hold.opened;
      seen.push(value);
    });
    await publishAll(core, 5);
    const draining = Promise.all([numbers.drain(), numbers.drain({ graceMs: 60_000 })]);
    await waitUntil(async () => await subscriptions(nats) === 0, { what: "it has unsubscribed" });
    await publishAll(core, 3);
    hold.open();
    await draining;
    assert.deepEqual(seen, [0, 1, 2, 3, 4]);
    assert.equal(await numbers.closed, undefined);
  });
});

test("drain aborts what is not done within its grace", async () => {
  await withNats(async (_nats, core) => {
    const reasons: unknown[] = [];
    const errors: unknown[] = [];
    const numbers = await subscribe(
      core,
      Numbers,
      { onError: (error) => errors.push(error) },
      (_value, { signal }) =>
        new Promise<void>((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            reasons.push(signal.reason);
            reject(signal.reason);
          });
        }),
    );
    await publishAll(core, 3);
    await waitUntil(() => numbers.stats.received === 3, { what: "all have arrived" });
    await numbers.drain({ graceMs: 10 });
    assert.ok(isJsflowError(reasons[0], "connection_closed"));
    assert.deepEqual([reasons.length, errors.length], [1, 1]);
    const { handled, failed, dropped, active } = numbers.stats;
    assert.deepEqual([handled, failed, dropped, active], [0, 1, 2, 0]);
    for (const graceMs of [NaN, -1, 2 ** 31]) {
      await assert.rejects(numbers.drain({ graceMs }), RangeError);
    }
    await assert.rejects(numbers.drain({ grace: 5 } as never), TypeError);
  });
});

test("closing the client drains its subscriptions", async () => {
  await withNats(async (nats, core) => {
    const hold = gate();
    let handled = 0;
    const numbers = await subscribe(core, Numbers, async () => {
      await hold.opened;
      handled++;
    });
    await publishAll(core, 3);
    await waitUntil(() => numbers.stats.received === 3, { what: "all have arrived" });
    const closing = nats.client.close();
    hold.open();
    await closing;
    assert.equal(handled, 3);
    assert.equal(await numbers.closed, undefined);
    await assert.rejects(subscribe(core, Numbers, () => {}), { code: "connection_closed" });
  });
});

test("an aborted signal unsubscribes and aborts the handlers", async () => {
  await withNats(async (nats, core) => {
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error("enough");
    const seen = Promise.withResolvers<unknown>();
    const numbers = await subscribe(core, Numbers, { signal }, async (_value, context) => {
      await new Promise<void>((resolve) =>
        context.signal.addEventListener("abort", () => resolve())
      );
      seen.resolve(context.signal.reason);
    });
    await publishAll(core, 1);
    await waitUntil(() => numbers.stats.active === 1, { what: "it is at work" });
    controller.abort(reason);
    assert.equal(await seen.promise, reason);
    assert.equal(await numbers.closed, undefined);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    assert.equal(await subscriptions(nats), 0);
    await assert.rejects(subscribe(core, Numbers, { signal }, () => {}), reason);
  });
});

test("nothing is left behind by many subscriptions", async () => {
  await withNats(async (nats, core) => {
    const { signal } = new AbortController();
    for (let round = 0; round < 20; round++) {
      const one = await subscribe(core, Numbers, { signal }, () => {});
      if (round % 2 === 0) one.unsubscribe();
      else await one.drain();
      await one.closed;
    }
    await core.connection.flush();
    assert.equal(await subscriptions(nats), 0);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});

test("a subscription survives a restart of the server", async () => {
  await withNats(async (nats, core) => {
    const seen: number[] = [];
    const numbers = await subscribe(core, Numbers, (value) => void seen.push(value));
    await nats.server.kill();
    await waitUntil(() => nats.client.status === "reconnecting", { what: "the loss is noticed" });
    await assert.rejects(subscribe(core, Numbers, () => {}), { code: "not_connected" });
    await nats.server.restart();
    await waitUntil(() => nats.client.status === "connected", { what: "it is back" });
    await publishAll(core, 1);
    await waitUntil(() => seen.length === 1, { what: "it has arrived" });
    assert.equal(await subscriptions(nats), 1);
    await numbers.drain();
  });
});

test("a subscription that the server forbids is refused by name", async () => {
  const server = await NatsServer.start({
    config: {
      authorization: {
        users: [{ user: "a", password: "b", permissions: { subscribe: ["allowed.>"] } }],
      },
    },
  });
  try {
    const client = await connect({ servers: server.url, user: "a", pass: "b" });
    try {
      const core = coreOf(client);
      await assert.rejects(subscribe(core, Numbers, () => {}), { code: "permission_denied" });
      const allowed = await subscribe(core, subject("allowed.x", json<number>()), () => {});
      await allowed.drain();
      assert.equal(await subscriptions({ server }), 0);
    } finally {
      await client.close();
    }
  } finally {
    await server.close();
  }
});
