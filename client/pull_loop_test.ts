import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import {
  addConsumer,
  CAPACITY,
  CONSUMER,
  serverCounts,
  STREAM,
  watchRequests,
  withGround,
  withPuller,
} from "./testdata/pull_ground.ts";
import { withProxy } from "./testdata/server_ground.ts";

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
      await waitUntil(() => requests.length > 0, { what: "the observer has it, too" });
      assert.deepEqual(requests.map(({ batch }) => batch), [3]);
      assert.equal((await info()).num_waiting, 0);
      puller.settle(1);
      await puller.sees(4);
      await waitUntil(() => requests.length > 1, { what: "the observer has it, too" });
      assert.deepEqual(requests.map(({ batch }) => batch), [3, 1]);
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
