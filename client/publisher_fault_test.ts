import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { connect } from "./connect.ts";
import { coreOf } from "./core.ts";
import { ensureStream } from "./ensure_stream.ts";
import { createPublisher } from "./publisher.ts";
import { createStreams } from "./streams.ts";
import { failure } from "./testdata/failure.ts";
import { numbers, S, stored, STREAM, withGround } from "./testdata/publisher_ground.ts";
import { QUICK, untilLost, withConnected } from "./testdata/server_ground.ts";

test("acks that are lost are retried by their id, and stored once", async () => {
  await withGround(async ({ nats, proxy, publisher }) => {
    const it = publisher({ timeoutMs: 200, retry: { attempts: 100, initialMs: 20, maxMs: 50 } });
    await it.publish(S, "warm");
    let attempts = 0;
    nats.connection.subscribe("s.1", { callback: () => void attempts++ });
    await nats.connection.flush();
    proxy.drop({ direction: "toClient" });
    const all = Promise.all(
      Array.from({ length: 100 }, (_, n) => it.publish(S, n, { id: `${n}` })),
    );
    await waitUntil(() => attempts > 200, { what: "all have been tried again" });
    proxy.heal();
    for (const ack of await all) assert.equal(ack.duplicate, true);
    assert.equal(await stored(nats), 101);
    assert.deepEqual([it.stats.published, it.stats.failed], [101, 0]);
  });
});

test("without an id nothing is sent twice, and the error says what may be", async () => {
  await withGround(async ({ nats, proxy, publisher }) => {
    const it = publisher({ timeoutMs: 150, retry: { attempts: 100, initialMs: 10, maxMs: 10 } });
    await it.publish(S, "warm");
    proxy.drop({ direction: "toClient" });
    const late = it.publish(S, 1);
    await assert.rejects(late, failure("timeout", "150 ms", "may have been stored", "an id"));
    const cut = it.publish(S, 2, { timeoutMs: 20_000 });
    const withId = it.publish(S, 3, { timeoutMs: 20_000, id: "a", retry: { attempts: 1 } });
    const results = Promise.allSettled([cut, withId]);
    await waitUntil(async () => await stored(nats) === 4, { what: "all are stored" });
    proxy.heal(); // resets the connection
    for (const result of await results) {
      if (result.status === "fulfilled") assert.fail();
      failure("not_connected", "may have been stored")(result.reason);
    }
    await waitUntil(() => it.publish(S, 4), { what: "the connection is back" });
    assert.equal(await stored(nats), 5);
  });
});

test("a restart of the server loses no message that has an id", async () => {
  const client = { ...QUICK, breaker: false } as const;
  await withConnected({ client }, async ({ server, client, core }) => {
    await ensureStream(core, STREAM);
    const it = createPublisher(core, {
      maxMessages: 64,
      timeoutMs: 5_000,
      retry: { attempts: 50, initialMs: 20, maxMs: 100 },
    });
    const total = 3_000;
    let next = 0;
    const work = async () => {
      while (next < total) {
        const n = next++;
        await it.publish(S, n, { id: `m-${n}` });
      }
    };
    const workers = Promise.all(Array.from({ length: 128 }, work));
    workers.catch(() => {});
    for (const at of [500, 1_500]) {
      await waitUntil(() => it.stats.published > at, { what: `${at} are stored`, intervalMs: 1 });
      await server.restart();
    }
    await workers;
    assert.equal(it.stats.published, total);
    const info = await createStreams(core).info("S");
    assert.equal(info.messages, total);
    const found = new Set(await numbers({ client }, info.lastSequence));
    assert.equal(found.size, total);
  });
});

test("while the connection is down new messages fail at once, unless they are retried", async () => {
  await withGround(async ({ client, nats, proxy, publisher }) => {
    const it = publisher({ timeoutMs: 10_000 });
    await it.publish(S, 0);
    proxy.cut();
    await untilLost(client);
    await assert.rejects(it.publish(S, 1), failure("not_connected"));
    const retry = { attempts: 100, initialMs: 10, maxMs: 50 };
    const kept = [2, 3, 4].map((n) => it.publish(S, n, { id: `${n}`, retry }));
    proxy.heal();
    await Promise.all(kept);
    assert.deepEqual(await numbers(nats, 4), [0, 2, 3, 4]);
  });
});

test("a connection that does not come back ends in an error", async () => {
  await withGround(async ({ client, proxy, publisher }) => {
    const it = publisher({ timeoutMs: 100, retry: { delaysMs: [10, 10] } });
    await it.publish(S, 0);
    proxy.cut();
    await untilLost(client);
    await assert.rejects(it.publish(S, 1, { id: "a" }), failure("not_connected"));
    assert.equal(it.stats.inFlight, 0);
  });
});

test("closing the client sends what waits, and tells what it had to give up", async () => {
  await withGround(async ({ client, nats, proxy, publisher }) => {
    const it = publisher({ maxMessages: 2 });
    const all = Promise.all(Array.from({ length: 50 }, (_, n) => it.publish(S, n)));
    await client.close();
    await all;
    assert.equal(await stored(nats), 50);
    const other = await connect({ servers: proxy.url, drainTimeoutMs: 200 });
    const stuck = createPublisher(coreOf(other));
    proxy.stall({ direction: "toClient" });
    const lost = stuck.publish(S, 1);
    lost.catch(() => {});
    const { abandoned } = await other.close();
    assert.deepEqual(abandoned, [{ what: "publisher", count: 1 }]);
    await assert.rejects(lost, failure("connection_closed", "may have been stored"));
    assert.equal(stuck.stats.inFlight, 0);
  });
});
