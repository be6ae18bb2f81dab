import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedTestNats, startTestNats, type TestNats } from "./test_nats.ts";
import type { TestNatsOptions, TestNatsPreset } from "./test_nats_options.ts";

async function withNats(
  options: TestNatsOptions,
  run: (nats: TestNats) => Promise<void>,
): Promise<void> {
  const nats = await startTestNats(options);
  try {
    await run(nats);
  } finally {
    await nats.close();
  }
}

const presets: [TestNatsPreset, "file" | "memory"][] = [
  ["e2e", "file"],
  ["fast", "memory"],
  ["integration", "memory"],
  ["jetstream", "memory"],
  ["kv", "memory"],
  ["production", "file"],
];
for (const [preset, storage] of presets) {
  test(`preset ${preset}: what is created is in a ${storage} store`, async () => {
    await withNats({ preset, buckets: ["b"] }, async (nats) => {
      assert.ok(nats.isReady());
      const bucket = await nats.bucket("b");
      await bucket.put("k", "v");
      assert.equal((await bucket.get("k"))?.string(), "v");
      assert.equal(
        (await nats.createStream({ name: "S", subjects: ["s"] })).config.storage,
        storage,
      );
      assert.equal((await nats.stream("KV_b")).config.storage, storage);
    });
  });
}

test("preset minimal: publish and subscribe, no JetStream", async () => {
  await withNats({ preset: "minimal" }, async ({ connection, client, url }) => {
    assert.equal(connection, client.connection);
    assert.match(url, /^nats:\/\/127\.0\.0\.1:\d+$/);
    const subscription = connection.subscribe("greet", { max: 1 });
    connection.publish("greet", "hello");
    for await (const message of subscription) assert.equal(message.string(), "hello");
    await assert.rejects(client.manager(), { code: "jetstream_disabled" });
  });
});

test("preset kv brings a bucket", async () => {
  await withNats({ preset: "kv" }, async (nats) => {
    await (await nats.bucket("test")).put("k", "v");
  });
});

test("preset production needs a password", async () => {
  await withNats({ preset: "production" }, async ({ server }) => {
    assert.equal(server.connectOptions.user, "test");
    const bare = startTestNats({ server: { binary: "/no/such" } });
    await assert.rejects(bare);
  });
});

test("streams and buckets are made with the prefix, and missing ones are errors", async () => {
  const streams = [{ name: "ORDERS", subjects: ["orders.>"] }];
  const options = { streams, buckets: ["carts"], bucketPrefix: "one_", fileStorage: true };
  await withNats(options, async (nats) => {
    assert.equal(nats.bucketName("carts"), "one_carts");
    assert.equal((await nats.stream("KV_one_carts")).config.storage, "file");
    assert.deepEqual((await nats.stream("ORDERS")).config.subjects, ["orders.>"]);
    await assert.rejects(nats.bucket("none"), /not found/);
    await assert.rejects(nats.stream("NONE"), /not found/);
    await assert.rejects(nats.createBucket("a.b"), /must consist of/);
  });
});

test("close can be repeated and ends the server", async () => {
  const nats = await startTestNats({ preset: "fast" });
  await Promise.all([nats.close(), nats.close()]);
  assert.equal(nats.isReady(), false);
  assert.equal(nats.server.isRunning, false);
});

test("a shared server is one, its users are apart", async () => {
  const [one, two] = await Promise.all([
    sharedTestNats({ buckets: ["b"] }),
    sharedTestNats({ buckets: ["b"] }),
  ]);
  try {
    assert.equal(one.server, two.server);
    assert.notEqual(one.bucketName("b"), two.bucketName("b"));
    await (await one.bucket("b")).put("k", "v");
    assert.equal(await (await two.bucket("b")).get("k"), null);
    await one.close();
    assert.ok(two.isReady());
    assert.equal(one.isReady(), false);
  } finally {
    await one.close();
    await two.close();
    await one.server.close(); // for the sake of this test's process; others may leave it
  }
});

test("options that make no sense are refused before anything is started", async () => {
  await assert.rejects(
    startTestNats({ preset: "huge" as never }),
    /preset must be one of e2e, fast/,
  );
  await assert.rejects(startTestNats({ preset: "toString" as never }), /preset must be one of/);
  await assert.rejects(startTestNats({ preset: "minimal", buckets: ["b"] }), /need JetStream/);
  await assert.rejects(startTestNats({ buckets: ["a b"] }), TypeError);
  await assert.rejects(startTestNats({ connectTimeoutMs: 0 }), RangeError);
  await assert.rejects(startTestNats({ startTimeoutMs: -1 }), RangeError);
  await assert.rejects(startTestNats({ version: "latest" }), /must look like/);
  await assert.rejects(startTestNats({ bucket: "b" } as never), /does not know/);
  await assert.rejects(sharedTestNats({ preset: "fast" } as never), /does not know/);
});
