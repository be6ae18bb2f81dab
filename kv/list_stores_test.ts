import assert from "node:assert/strict";
import { test } from "node:test";
import { Kvm } from "@nats-io/kv";
import { withConnected } from "../client/testdata/server_ground.ts";
import { deleteStore, listStores } from "./list_stores.ts";
import { collect, openAny } from "./testdata/store_ground.ts";

test("buckets are listed, whoever made them, and other streams are not", async () => {
  await withConnected({}, async ({ client }) => {
    assert.deepEqual(await collect(listStores(client)), []);
    const store = await openAny(client, {
      bucket: "ours",
      history: 3,
      ttlMs: 60_000,
      storage: "memory",
      maxBytes: 1_000_000,
      description: "for people",
    });
    await new Kvm(client.jetstream).create("theirs");
    await client.ensureStream({ name: "ORDERS", subjects: ["orders"] });
    await store.put("k", 1);
    const last = await store.put("k", 2);
    const found = await collect(listStores(client));
    assert.deepEqual(found.map(({ bucket }) => bucket).sort(), ["ours", "theirs"]);
    const { created, bytes, ...ours } = found.find(({ bucket }) => bucket === "ours")!;
    assert.ok(created instanceof Date && bytes > 0);
    assert.deepEqual(ours, {
      bucket: "ours",
      revisions: 2,
      lastRevision: last,
      history: 3,
      ttlMs: 60_000,
      perKeyTtl: false,
      replicas: 1,
      storage: "memory",
      maxBytes: 1_000_000,
      compression: false,
      description: "for people",
    });
  });
});

test("a bucket is deleted with what it holds", async () => {
  await withConnected({}, async ({ client }) => {
    const store = await openAny(client, { bucket: "ours" });
    await store.put("k", 1);
    assert.equal(await deleteStore(client, "ours"), true);
    assert.equal(await deleteStore(client, "ours"), false);
    const again = await openAny(client, { bucket: "ours" });
    assert.equal(await again.get("k"), undefined);
  });
});

test("what makes no sense is refused before anything is sent", async () => {
  await withConnected({}, async ({ client, server }) => {
    await server.stop();
    for (const name of ["", "a.b", "*", 1, undefined]) {
      await assert.rejects(deleteStore(client, name as string), TypeError);
    }
    await assert.rejects(deleteStore(client, "x".repeat(300)), RangeError);
    await assert.rejects(deleteStore(client, "b", { timeoutMs: 0 }), RangeError);
    assert.throws(() => listStores(client, { timeoutMs: NaN }), RangeError);
    assert.throws(() => listStores(client, { prefix: "a" } as never), TypeError);
    assert.throws(() => listStores({} as never), TypeError);
  });
});
