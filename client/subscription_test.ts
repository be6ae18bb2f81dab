import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import { subject } from "./subject.ts";
import { subscribe } from "./subscribe.ts";
import { Numbers, publishNumbers } from "./testdata/messages.ts";
import { withMessaging } from "./testdata/nats_ground.ts";
import { subscriptionsOf, untilLost, withConnected } from "./testdata/server_ground.ts";

test("unsubscribe ends at once: what waits is dropped, the handler at work goes on", async () => {
  await withMessaging(async (core, nats) => {
    const hold = Promise.withResolvers<void>();
    let aborted = false;
    const numbers = await subscribe(core, Numbers, async (_value, { signal }) => {
      await hold.promise;
      aborted = signal.aborted;
    });
    await publishNumbers(core, 5);
    await waitUntil(() => numbers.stats.received === 5, { what: "all have arrived" });
    numbers.unsubscribe();
    numbers.unsubscribe();
    assert.deepEqual([numbers.stats.waiting, numbers.stats.dropped], [0, 4]);
    await publishNumbers(core, 1);
    assert.equal(await subscriptionsOf(nats.server), 0);
    assert.equal(numbers.stats.received, 5);
    hold.resolve();
    assert.equal(await numbers.closed, undefined);
    assert.deepEqual([numbers.stats.handled, aborted], [1, false]);
    await numbers.drain();
    await numbers[Symbol.asyncDispose]();
  });
});

test("drain finishes what has arrived, even when its grace is long over for others", async () => {
  await withMessaging(async (core, nats) => {
    const hold = Promise.withResolvers<void>();
    const seen: number[] = [];
    const numbers = await subscribe(core, Numbers, async (value) => {
      await hold.promise;
      seen.push(value);
    });
    await publishNumbers(core, 5);
    const draining = Promise.all([numbers.drain(), numbers.drain({ graceMs: 60_000 })]);
    await waitUntil(async () => await subscriptionsOf(nats.server) === 0, {
      what: "it has unsubscribed",
    });
    await publishNumbers(core, 3);
    hold.resolve();
    await draining;
    assert.deepEqual(seen, [0, 1, 2, 3, 4]);
    assert.equal(await numbers.closed, undefined);
  });
});

test("drain aborts what is not done within its grace", async () => {
  await withMessaging(async (core) => {
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
    await publishNumbers(core, 3);
    await waitUntil(() => numbers.stats.received === 3, { what: "all have arrived" });
    await numbers.drain({ graceMs: 10 });
    assert.ok(isJsflowError(reasons[0], "connection_closed"));
    assert.deepEqual([reasons.length, errors.length], [1, 1]);
    const { handled, failed, dropped, inFlight } = numbers.stats;
    assert.deepEqual([handled, failed, dropped, inFlight], [0, 1, 2, 0]);
    for (const graceMs of [NaN, -1, 2 ** 31]) {
      await assert.rejects(numbers.drain({ graceMs }), RangeError);
    }
    await assert.rejects(numbers.drain({ grace: 5 } as never), TypeError);
  });
});

test("closing the client drains its subscriptions", async () => {
  await withMessaging(async (core, nats) => {
    const hold = Promise.withResolvers<void>();
    let handled = 0;
    const numbers = await subscribe(core, Numbers, async () => {
      await hold.promise;
      handled++;
    });
    await publishNumbers(core, 3);
    await waitUntil(() => numbers.stats.received === 3, { what: "all have arrived" });
    const closing = nats.client.close();
    hold.resolve();
    await closing;
    assert.equal(handled, 3);
    assert.equal(await numbers.closed, undefined);
    await assert.rejects(subscribe(core, Numbers, () => {}), { code: "connection_closed" });
  });
});

test("an aborted signal unsubscribes and aborts the handlers", async () => {
  await withMessaging(async (core, nats) => {
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
    await publishNumbers(core, 1);
    await waitUntil(() => numbers.stats.inFlight === 1, { what: "it is at work" });
    controller.abort(reason);
    assert.equal(await seen.promise, reason);
    assert.equal(await numbers.closed, undefined);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    await core.connection.flush(); // the server knows of it only then
    assert.equal(await subscriptionsOf(nats.server), 0);
    await assert.rejects(subscribe(core, Numbers, { signal }, () => {}), reason);
  });
});

test("nothing is left behind by many subscriptions", async () => {
  await withMessaging(async (core, nats) => {
    const { signal } = new AbortController();
    for (let round = 0; round < 20; round++) {
      const one = await subscribe(core, Numbers, { signal }, () => {});
      if (round % 2 === 0) one.unsubscribe();
      else await one.drain();
      await one.closed;
    }
    await core.connection.flush();
    assert.equal(await subscriptionsOf(nats.server), 0);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});

test("a subscription survives a restart of the server", async () => {
  await withMessaging(async (core, nats) => {
    const seen: number[] = [];
    const numbers = await subscribe(core, Numbers, (value) => void seen.push(value));
    await nats.server.kill();
    await untilLost(nats.client);
    await assert.rejects(subscribe(core, Numbers, () => {}), { code: "not_connected" });
    await nats.server.restart();
    await waitUntil(() => nats.client.status === "connected", { what: "it is back" });
    await publishNumbers(core, 1);
    await waitUntil(() => seen.length === 1, { what: "it has arrived" });
    assert.equal(await subscriptionsOf(nats.server), 1);
    await numbers.drain();
  });
});

test("a subscription that the server forbids is refused by name", async () => {
  const users = [{ user: "a", password: "b", permissions: { subscribe: ["allowed.>"] } }];
  const server = { config: { authorization: { users } } };
  const client = { user: "a", pass: "b" };
  await withConnected({ server, client }, async ({ core, server }) => {
    await assert.rejects(subscribe(core, Numbers, () => {}), { code: "permission_denied" });
    const allowed = await subscribe(core, subject("allowed.x", json<number>()), () => {});
    await allowed.drain();
    assert.equal(await subscriptionsOf(server), 0);
  });
});
