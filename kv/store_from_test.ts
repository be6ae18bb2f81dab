import assert from "node:assert/strict";
import { test } from "node:test";
import { type KV, Kvm } from "@nats-io/kv";
import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { withConnected } from "../client/testdata/server_ground.ts";
import { headers } from "@nats-io/nats-core";
import { storeFrom } from "./store_from.ts";
import type { StoreFromOptions } from "./store_options.ts";
import { collect } from "./testdata/store_ground.ts";

const coded = (code: JsflowErrorCode) => (error: unknown) => isJsflowError(error, code);
const codec = json<unknown>();

test("a native bucket's keys are taken as they are", async () => {
  await withConnected({}, async ({ client }) => {
    const native = await new Kvm(client.jetstream).create("theirs", { history: 5 });
    const store = await storeFrom(client, native, { codec });
    assert.equal(store.bucket, "theirs");
    for (const key of ["a.b", "a=b", "=", "a/b", "_-"]) {
      await native.put(key, JSON.stringify(key));
      assert.equal(await store.get(key), key);
      await store.update(key, (value) => `${value}!`);
      assert.equal((await native.get(key))?.json(), `${key}!`);
    }
    assert.deepEqual((await collect(store.keys())).sort(), ["=", "_-", "a.b", "a/b", "a=b"]);
    assert.deepEqual(await collect(store.keys({ filter: "a.*" })), ["a.b"]);
    assert.equal((await store.history("a.b")).length, 2);
    for (const key of ["", "a b", "é", "a..b", ".a", "*"]) {
      await assert.rejects(store.get(key), TypeError, key);
      await assert.rejects(store.put(key, 1), TypeError, key);
    }
    await native.delete("a.b");
    assert.equal(await store.get("a.b"), undefined);
    await store.create("a.b", 1);
    await store.close();
    assert.equal((await native.get("a.b"))?.json(), 1);
  });
});

test("what nobody can address is not listed", async () => {
  await withConnected({}, async ({ client }) => {
    const native = await new Kvm(client.jetstream).create("theirs");
    const store = await storeFrom(client, native, { codec });
    await client.jetstream.publish("$KV.theirs.é", "1", { headers: headers() });
    await store.put("k", 1);
    assert.deepEqual(await collect(store.keys()), ["k"]);
  });
});

test("what is no bucket", async () => {
  await withConnected({}, async ({ client, server }) => {
    const kvm = new Kvm(client.jetstream);
    const missing = await kvm.open("missing");
    await assert.rejects(storeFrom(client, missing, { codec }), coded("bucket_not_found"));
    await kvm.create("origin");
    const mirror = await kvm.create("mirror", { mirror: { name: "origin" } });
    await assert.rejects(storeFrom(client, mirror, { codec }), coded("unsupported"));
    const native = await kvm.create("theirs");
    await server.stop();
    const misuse: [unknown, unknown][] = [
      [undefined, { codec }],
      ["theirs", { codec }],
      [{}, { codec }],
      [native, undefined],
      [native, {}],
      [native, { codec, history: 5 }],
      [native, { codec, signal: 1 }],
    ];
    for (const [kv, options] of misuse) {
      const opening = storeFrom(client, kv as KV, options as StoreFromOptions<unknown>);
      await assert.rejects(opening, TypeError);
    }
    const signal = AbortSignal.abort(new Error("enough"));
    await assert.rejects(storeFrom(client, native, { codec, signal }), /enough/);
  });
});
