import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../client/connect.ts";
import { json } from "../client/json.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { counter } from "./counter.ts";
import { lock } from "./lock.ts";
import { onceFor } from "./once_for.ts";
import { openCoordination } from "./open_coordination.ts";
import { openStore } from "./open_store.ts";
import { coordinationGround, hasCode, patchStore } from "./testdata/coordination_ground.ts";
import { waitGroup } from "./wait_group.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });

test("a coordination opens the bucket that it is told, or its own, and again", async () => {
  await withCoordination(async ({ nats, client, coordination }) => {
    assert.equal(coordination.bucket, "jsflow_coordination");
    const again = await openCoordination(client);
    const other = await openCoordination(client, { bucket: "jobs", storage: "memory" });
    assert.equal(other.bucket, "jobs");
    const info = await nats.stream("KV_jobs");
    assert.equal(info.config.storage, "memory");
    assert.equal(info.config.max_msgs_per_subject, 1);
    const both = await Promise.all([lock(other, "x"), lock(coordination, "x")]);
    assert.deepEqual(both.map(({ token }) => token), [1, 1]);
    const drift = openCoordination(client, { bucket: "jobs", storage: "file" });
    await assert.rejects(drift, hasCode("config_drift"));
    await (await openStore(client, { bucket: "past", codec: json(), history: 5 })).close();
    const past = openCoordination(client, { bucket: "past" });
    await assert.rejects(past, hasCode("config_drift"), "what is renewed for ever has no history");
    await Promise.all([again.close(), other.close()]);
  });
});

test("a bucket in which states expire is refused: tokens would begin again", async () => {
  await withCoordination(async ({ client }) => {
    const options = { bucket: "brief", codec: json<unknown>(), history: 1, ttlMs: 60_000 };
    await (await openStore(client, options)).close();
    await assert.rejects(openCoordination(client, { bucket: "brief" }), hasCode("config_drift"));
  });
});

test("misuse is refused before anything is asked", async () => {
  await withCoordination(async ({ client }) => {
    const misuse: [unknown, typeof TypeError | typeof RangeError][] = [
      [{ bucket: "" }, TypeError],
      [{ bucket: "a.b" }, TypeError],
      [{ timeoutMs: 0 }, RangeError],
      [{ timeoutMs: "1" }, TypeError],
      [{ replicas: 6 }, RangeError],
      [{ storage: "tape" }, TypeError],
      [{ allowUnsafeCas: 1 }, TypeError],
      [{ onDrift: "x" }, TypeError],
      [{ codec: {} }, TypeError],
    ];
    for (const [options, type] of misuse) {
      await assert.rejects(openCoordination(client, options as object), type);
    }
    await assert.rejects(openCoordination({} as never), TypeError);
    assert.throws(() => spaceOf({}), TypeError);
  });
});

test("keys are told apart by kind and name", async () => {
  await withCoordination(({ space }) => {
    assert.equal(space.keyOf("lock", "a.b"), "lock.a.b");
    assert.notEqual(space.keyOf("leader", "x"), space.keyOf("lock", "x"));
    assert.throws(() => space.keyOf("lock", ""), TypeError);
    return Promise.resolve();
  });
});

test("a name whose key would be too long is refused before anything is asked", async () => {
  await withCoordination(async ({ coordination, space }) => {
    patchStore(space, () => ({
      entry: () => assert.fail("it was asked"),
      update: () => assert.fail("it was asked"),
    }));
    const name = "日".repeat(200);
    const isClear = (error: unknown) =>
      error instanceof RangeError &&
      /must take at most 101\d bytes once encoded, got 200/.test(`${error}`);
    assert.throws(() => waitGroup(coordination, name), isClear);
    assert.throws(() => counter(coordination, name), isClear);
    await assert.rejects(lock(coordination, name), isClear);
    await assert.rejects(onceFor(coordination, { name }, () => 1), isClear);
    assert.equal(space.keyOf("lock", "日".repeat(113)), `lock.${"日".repeat(113)}`);
    assert.throws(() => space.keyOf("lock", "日".repeat(114)), /1019 bytes/);
    assert.equal(space.keyOf("lock", "a".repeat(200)).length, 205);
  });
});

test("a wait for a state sees the present one first, then each change", async () => {
  await withCoordination(async ({ space }) => {
    const seen: unknown[] = [];
    const waiting = space.waitUntilState("counter.x", ({ value, revision }) => {
      seen.push([value, revision > 0]);
      return value === 2;
    }, { what: "wait" });
    await waitUntil(() => seen.length === 1);
    await space.store.put("counter.x", 1);
    await waitUntil(() => seen.length === 2);
    await space.store.delete("counter.x");
    await waitUntil(() => seen.length === 3);
    const revision = await space.store.put("counter.x", 2);
    assert.deepEqual(await waiting, { value: 2, revision });
    assert.deepEqual(seen, [[undefined, false], [1, true], [undefined, true], [2, true]]);
    const found = await space.waitUntilState("counter.x", () => true, { what: "wait" });
    assert.deepEqual(found, { value: 2, revision });
  });
});

test("a wait misses no change, however early it comes", async () => {
  await withCoordination(async ({ space }) => {
    patchStore(space, (store) => ({
      watch: ((...args: Parameters<typeof store.watch>) => {
        const handle = store.watch(...args);
        void store.put("counter.x", "done");
        return handle;
      }) as typeof store.watch,
    }));
    const isDone = ({ value }: { value: unknown }) => value === "done";
    await space.waitUntilState("counter.x", isDone, { what: "wait", timeoutMs: 10_000 });
  });
});

test("a wait ends by its signal, its time, its predicate, the space, and leaves no watch", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const wait = (options: object, predicate = () => false) =>
      space.waitUntilState("counter.x", predicate, { what: "wait for x", ...options });
    const stop = new AbortController();
    const stopped = assert.rejects(wait({ signal: stop.signal }), /enough/);
    const ended = assert.rejects(wait({}), hasCode("connection_closed"));
    await ground.untilWatches(2);
    stop.abort(new Error("enough"));
    await stopped;
    await assert.rejects(
      wait({ timeoutMs: 30 }),
      /cannot wait for x: that takes longer than 30 ms/,
    );
    const broken = () => {
      throw new Error("the predicate failed");
    };
    await assert.rejects(wait({}, broken), /the predicate failed/);
    await ground.untilWatches(1);
    await coordination.close();
    await ended;
    await assert.rejects(wait({}), hasCode("connection_closed"));
    await ground.untilWatches(0);
  });
});

test("a wait ends when the bucket goes", async () => {
  await withCoordination(async (ground) => {
    const waiting = ground.space.waitUntilState("counter.x", () => false, { what: "wait" });
    await ground.untilWatches(1);
    await (await ground.client.manager()).streams.delete("KV_jsflow_coordination");
    await assert.rejects(waiting, hasCode("bucket_not_found"));
  });
});

test("closing gives back what is held, once its holder knows, and ends waits", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const other = await ground.another();
    const held = await lock(coordination, "x", { leaseMs: 600_000 });
    const inLine = lock(coordination, "x");
    const waiting = lock(other, "x", { timeoutMs: 10_000 });
    await ground.untilWatches(2);
    const closing = coordination.close();
    assert.equal(held.signal.aborted, true);
    assert.ok(hasCode("lease_lost")(held.signal.reason));
    await assert.rejects(inLine, hasCode("connection_closed"));
    assert.equal((await waiting).token, 2);
    await closing;
    await coordination.close();
    await assert.rejects(lock(coordination, "x"), hasCode("connection_closed"));
    await assert.rejects(held.release(), hasCode("lease_lost"));
  });
});

test("a client that closes leaves holders its grace to give back", async () => {
  await withCoordination(async (ground) => {
    const client = await connect({ servers: ground.nats.url });
    const held = await lock(await openCoordination(client), "x", { leaseMs: 600_000 });
    const closing = client.close({ graceMs: 30_000 });
    await new Promise((resolve) => setTimeout(resolve, 20)); // it has begun
    assert.equal(held.isHeld, true);
    await held.release();
    assert.deepEqual((await closing).abandoned, []);
    assert.equal((await ground.lockState("x")).owner, null);
  });
});

test("a client that closes gives back what its holder keeps, and reports it", async () => {
  await withCoordination(async (ground) => {
    const client = await connect({ servers: ground.nats.url });
    const held = await lock(await openCoordination(client), "x", { leaseMs: 600_000 });
    const { abandoned } = await client.close({ graceMs: 50 });
    assert.deepEqual(abandoned, [{ what: "coordination jsflow_coordination", count: 1 }]);
    assert.equal(held.signal.aborted, true);
    assert.equal((await ground.lockState("x")).owner, null);
  });
});

test("a wait ends when the client closes", async () => {
  await withCoordination(async (ground) => {
    const held = await lock(ground.coordination, "x");
    const client = await connect({ servers: ground.nats.url });
    const coordination = await openCoordination(client);
    const waiting = [lock(coordination, "x"), lock(coordination, "x")];
    const ended = waiting.map((wait) => assert.rejects(wait, hasCode("connection_closed")));
    await ground.untilWatches(1);
    await client.close();
    await Promise.all(ended);
    await held.release();
  });
});

test("compare-and-set on replicas is refused where the server does not fence it", async (t) => {
  await withCoordination(async ({ client }) => {
    if (client.server.supports("replicated_cas")) return t.skip("this server fences");
    await assert.rejects(
      openCoordination(client, { bucket: "three", replicas: 3 }),
      hasCode("unsafe_cas"),
    );
  });
});
