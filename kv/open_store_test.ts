import assert from "node:assert/strict";
import { test } from "node:test";
import type { JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { Client } from "../client/client.ts";
import { coreOf } from "../client/core.ts";
import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { withClient, withConnected } from "../client/testdata/server_ground.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { openStore } from "./open_store.ts";
import type { StoreOptions } from "./store_options.ts";
import { isAtLeast, openAny } from "./testdata/store_ground.ts";

const coded = (code: JsflowErrorCode) => (error: unknown) => isJsflowError(error, code);

async function configOf(client: Client, bucket: string): Promise<StreamConfig> {
  const manager: JetStreamManager = await client.manager();
  return (await manager.streams.info(`KV_${bucket}`)).config;
}

test("a bucket is made as other clients make it", async () => {
  await withConnected({}, async ({ client }) => {
    await openAny(client, { bucket: "ours" });
    await new Kvm(client.jetstream).create("theirs");
    const { ours, theirs } = {
      ours: await configOf(client, "ours"),
      theirs: await configOf(client, "theirs"),
    };
    const own = { name: "", subjects: [], metadata: {} };
    // The tool and the Go client protect revisions from being deleted singly, as we do.
    assert.deepEqual({ ...ours, ...own }, { ...theirs, ...own, deny_delete: true });
    assert.deepEqual(ours.subjects, ["$KV.ours.>"]);
    assert.equal(ours.max_msgs_per_subject, 1);
  });
});

test("what the options name is how it is stored", async () => {
  await withConnected({}, async ({ client, server }) => {
    const compression = isAtLeast(server, 2, 10);
    await openAny(client, {
      bucket: "named",
      history: 7,
      ttlMs: 60_000,
      storage: "memory",
      maxBytes: 1_000_000,
      maxValueBytes: 1_000,
      description: "for people",
      ...(compression ? { compression } : {}),
    });
    const config = await configOf(client, "named");
    assert.equal(config.max_msgs_per_subject, 7);
    assert.equal(config.max_age, 60_000_000_000);
    assert.equal(config.duplicate_window, 60_000_000_000);
    assert.equal(config.storage, "memory");
    assert.equal(config.max_bytes, 1_000_000);
    assert.ok(config.max_msg_size > 1_000);
    assert.equal(config.description, "for people");
    if (compression) assert.equal(config.compression, "s2");
    else await assert.rejects(openAny(client, { compression: true }), coded("unsupported"));
  });
});

test("a bucket that differs in what is named is not used", async () => {
  await withConnected({}, async ({ client }) => {
    const store = await openAny(client, { history: 5, description: "old" });
    await store.put("k", 1);
    await openAny(client);
    await openAny(client, { history: 5 });
    await assert.rejects(openAny(client, { history: 6 }), (error) => {
      assert.ok(coded("config_drift")(error));
      return (error as Error).message.includes("5") && (error as Error).message.includes("6");
    });
    await assert.rejects(openAny(client, { ttlMs: 60_000 }), coded("config_drift"));
    await assert.rejects(openAny(client, { maxValueBytes: 10 }), coded("config_drift"));
    await openAny(client, { history: 6, onDrift: "ignore" });
    assert.equal((await configOf(client, "b")).max_msgs_per_subject, 5);
    await openAny(client, { history: 6, ttlMs: 3_600_000, onDrift: "update" });
    const config = await configOf(client, "b");
    assert.equal(config.max_msgs_per_subject, 6);
    assert.equal(config.description, "old");
    assert.equal(await store.get("k"), 1);
    const unchangeable = openAny(client, { storage: "memory", onDrift: "update" });
    await assert.rejects(unchangeable, coded("config_drift"));
  });
});

test("buckets of other clients open without drift", async () => {
  await withConnected({}, async ({ client, server }) => {
    const kvm = new Kvm(client.jetstream);
    const history = isAtLeast(server, 2, 11) ? { markerTTL: 5_000 } : { history: 4 };
    const native = await kvm.create("theirs", history);
    await native.put("a.b", JSON.stringify({ n: 1 }));
    const store = await openAny(client, { bucket: "theirs" });
    assert.deepEqual(await store.get("a.b"), { n: 1 });
    await store.put("c", 2);
    assert.equal((await native.get("c"))?.string(), "2");
    await store.delete("c");
    assert.equal((await native.get("c"))?.operation, "DEL");
    await store.purge("a.b");
    assert.equal((await native.get("a.b"))?.operation, "PURGE");
    await native.delete("d");
    assert.equal((await store.entry("d"))?.operation, "delete");
    await native.purge("d");
    assert.equal((await store.entry("d"))?.operation, "purge");
    if (isAtLeast(server, 2, 11)) await openAny(client, { bucket: "theirs", perKeyTtl: true });
    const manager = await client.manager();
    await manager.streams.add({
      name: "KV_plain",
      subjects: ["$KV.plain.>"],
      max_msgs_per_subject: 3,
      allow_rollup_hdrs: true,
    });
    const plain = await openAny(client, { bucket: "plain" });
    await plain.put("k", 1); // which is read at the leader, since direct reads are off
    assert.equal(await plain.get("k"), 1);
    assert.deepEqual(await plain.getMany(["k", "l"]), new Map([["k", 1]]));
    assert.equal((await plain.history("k")).length, 1);
  });
});

test("callers that race all open it", async () => {
  await withConnected({}, async ({ client, server }) => {
    await withClient({ servers: server.url }, async (other) => {
      const kvm = new Kvm(other.jetstream);
      const opening = Array.from(
        { length: 20 },
        (_, n) =>
          n % 5 === 0 ? kvm.create("raced") : openAny(n % 2 ? client : other, { bucket: "raced" }),
      );
      await Promise.all(opening);
    });
  });
});

test("direct reads that are switched off meanwhile", async () => {
  await withConnected({}, async ({ client }) => {
    const store = await openAny(client);
    await store.put("k", 1);
    const manager = await client.manager();
    await manager.streams.update("KV_b", { allow_direct: false });
    assert.equal(await store.get("k"), 1);
    assert.equal((await store.getMany(["k", "l"])).size, 1);
  });
});

test("options that make no sense are refused before anything is sent", async () => {
  await withConnected({}, async ({ client, server }) => {
    await server.stop();
    const codec = json<unknown>();
    const refused = async (kind: typeof TypeError | typeof RangeError, wrong: object[]) => {
      for (const options of wrong) {
        const given = { bucket: "b", codec, ...options } as unknown as StoreOptions<unknown>;
        await assert.rejects(openStore(client, given), kind, JSON.stringify(options));
      }
    };
    await refused(TypeError, [
      { bucket: undefined },
      { bucket: "" },
      { bucket: "a.b" },
      { bucket: "a b" },
      { bucket: "é" },
      { bucket: "*" },
      { codec: undefined },
      { codec: {} },
      { history: "1" },
      { storage: "disk" },
      { compression: "s2" },
      { perKeyTtl: 1 },
      { allowUnsafeCas: 1 },
      { onDrift: "merge" },
      { description: 1 },
      { signal: {} },
      { retry: 3 },
      { timeout: 1 },
    ]);
    await refused(RangeError, [
      { bucket: "x".repeat(251) },
      { history: 0 },
      { history: 65 },
      { history: 1.5 },
      { replicas: 0 },
      { replicas: 6 },
      { ttlMs: 99 },
      { ttlMs: NaN },
      { maxBytes: 0 },
      { maxValueBytes: 0 },
      { timeoutMs: 0 },
      { historyCacheKeys: 0 },
      { historyCacheMs: -1 },
      { perKeyTtl: true, history: 2 },
    ]);
    await assert.rejects(openStore(client, undefined as never), TypeError);
    await assert.rejects(openStore({} as never, { bucket: "b", codec }), TypeError);
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await assert.rejects(openStore(client, { bucket: "b", codec, signal }), (e) => e === reason);
  });
});

test("replicas need a server that fences", async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    await withClient({ servers: cluster.urls }, async (client) => {
      const open = (options: Partial<StoreOptions<unknown>>) =>
        openAny(client, { timeoutMs: 30_000, ...options });
      if (coreOf(client).connection.info?.version.startsWith("2.9.")) {
        const unsafe = coded("unsafe_cas");
        await assert.rejects(open({ replicas: 3 }), unsafe);
        const manager = await client.manager();
        await assert.rejects(manager.streams.info("KV_b"), "nothing was made");
        await open({ replicas: 3, allowUnsafeCas: true });
        await assert.rejects(open({}), unsafe, "it is replicated, whatever is named");
      }
      const store = await open({ replicas: 3, allowUnsafeCas: true });
      const { value } = await store.update("k", () => 1);
      assert.equal(value, 1);
    });
  } finally {
    await cluster.close();
  }
});
