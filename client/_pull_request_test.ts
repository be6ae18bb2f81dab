import assert from "node:assert/strict";
import { test } from "node:test";
import { headers, nanos } from "@nats-io/nats-core";
import { waitUntil } from "../testing/wait_until.ts";
import type { Client } from "./client.ts";
import {
  CAPACITY,
  checkFull,
  CONSUMER,
  REQUESTS,
  SHORT_ACK_WAIT_MS,
  STREAM,
  watchRequests,
  withGround,
  withPuller,
} from "./testdata/pull_ground.ts";
import { withProxy } from "./testdata/server_ground.ts";

// A process or a server that gets no processor for a moment passes for silence.
const HASTY = [
  { expiresMs: 300, restarts: true },
  { expiresMs: 300, heartbeatMs: 100, restarts: true },
];

for (const options of HASTY) {
  const how = options.heartbeatMs === undefined ? "" : ", with heartbeats of its own";

  test(`requests that expire are renewed in full, again and again${how}`, async () => {
    await withGround(async ({ server, observer, publish, info }) => {
      await withPuller(server.url, options, async (puller) => {
        const requests = await watchRequests(observer);
        puller.loop.start();
        const timeoutMs = 60_000;
        await waitUntil(() => requests.length > 20, { what: "20 requests expired", timeoutMs });
        assert.ok(requests.every(({ batch }) => batch === CAPACITY), JSON.stringify(requests));
        await publish(CAPACITY + 1);
        await checkFull(puller, info);
        puller.settle(CAPACITY);
        await puller.seesAtLeast(CAPACITY + 1);
        assert.equal(puller.mostHeld, CAPACITY);
        puller.checkNoTrouble();
      });
    }, SHORT_ACK_WAIT_MS);
  });

  test(`requests that expire half used leave the capacity as it is${how}`, async () => {
    await withGround(async ({ server, observer, publish, info }) => {
      await withPuller(server.url, options, async (puller) => {
        const requests = await watchRequests(observer);
        puller.loop.start();
        for (let round = 1; round <= 20; round++) {
          await publish(3);
          await puller.seesAtLeast(3 * round);
          const asked = requests.length;
          await waitUntil(() => requests.length > asked, { what: "a request has expired" });
          puller.settle(puller.held.length);
        }
        await publish(CAPACITY + 5);
        await checkFull(puller, info);
        puller.checkNoTrouble();
      });
    }, SHORT_ACK_WAIT_MS);
  });
}

test("a request counts until nothing can come of it, even if its end is never told", async () => {
  await withGround(async ({ server, observer, publish, info }) => {
    const options = { expiresMs: 2_400, apiPrefix: "LATE" };
    await withPuller(server.url, options, async (puller) => {
      const late = await answerLate(observer);
      try {
        puller.loop.start();
        await waitUntil(() => late.requests > 1, { what: "it has asked again" });
        await info(); // servers of the 2.9 line forget then who has gone
        await publish(CAPACITY + 1);
        await checkFull(puller, info);
        assert.equal(late.requests, 2);
        assert.deepEqual(puller.troubles, []);
      } finally {
        late.stop();
      }
    });
  });
});

/**
 * Passes requests on as if they had reached the server late: the client hears heartbeats for as long
 * as it expects, then nothing, and the server may still answer.
 */
async function answerLate(observer: Client): Promise<{ requests: number; stop(): void }> {
  const { connection } = observer;
  let timer: ReturnType<typeof setInterval> | undefined;
  const stop = () => clearInterval(timer);
  const late = { requests: 0, stop };
  connection.subscribe(`LATE.CONSUMER.MSG.NEXT.${STREAM}.${CONSUMER}`, {
    callback: (_error, message) => {
      late.requests++;
      const { batch, expires } = message.json<{ batch: number; expires: number }>();
      const reply = message.reply ?? "";
      const body = JSON.stringify({ batch, expires: nanos(60_000) });
      connection.publish(REQUESTS, body, { reply });
      stop();
      const endsAt = performance.now() + expires / nanos(1);
      timer = setInterval(() => {
        if (performance.now() > endsAt) return stop();
        connection.publish(reply, "", { headers: headers(100, "Idle Heartbeat") });
      }, 20);
    },
  });
  await connection.flush();
  return late;
}

test("what is on its way when silence makes the loop begin anew counts, too", async () => {
  await withGround(async ({ server, publish, info }) => {
    await withProxy({ target: { port: server.port } }, async (proxy) => {
      const options = { expiresMs: 60_000, heartbeatMs: 200, restarts: true };
      await withPuller(proxy.url, options, async (puller) => {
        await publish(3 * CAPACITY);
        proxy.stall({ direction: "toClient" });
        puller.loop.start();
        const isOut = async () => (await info()).num_ack_pending >= CAPACITY;
        await waitUntil(isOut, { what: "the server has sent what was asked for" });
        const hasBegun = () => puller.troubles.length > 1; // it says so again and again
        await waitUntil(hasBegun, { what: "the loop has begun anew" });
        assert.deepEqual(puller.seen, []);
        proxy.heal();
        await checkFull(puller, info);
        puller.settle(CAPACITY);
        await puller.seesAtLeast(2 * CAPACITY);
        assert.equal(puller.mostHeld, CAPACITY);
        puller.checkNoTrouble();
      });
    });
  }, SHORT_ACK_WAIT_MS);
});

test("a fractional life of requests is one that the server takes", async () => {
  await withGround(async ({ server, observer, publish }) => {
    const options = { expiresMs: 333.333_333_333, restarts: true };
    await withPuller(server.url, options, async (puller) => {
      const requests = await watchRequests(observer);
      puller.loop.start();
      await waitUntil(() => requests.length > 2, { what: "requests have expired" });
      assert.equal(requests[0]?.expires, 333_333_333);
      await publish(1);
      await puller.seesAtLeast(1);
      puller.checkNoTrouble();
    });
  }, SHORT_ACK_WAIT_MS);
});
