import assert from "node:assert/strict";
import { test } from "node:test";
import { autoCreateConfig, ensureStreamFor, type StreamAutoCreate } from "./auto_create.ts";
import { json } from "./json.ts";
import { createStreams } from "./streams.ts";
import { subject } from "./subject.ts";
import { failure } from "./testdata/failure.ts";
import { withCore, withCores } from "./testdata/nats_ground.ts";

test("the stream is named after the first token and has that token as well", async () => {
  await withCore(async (core, nats) => {
    const info = await ensureStreamFor(core, "order-lines.created.eu", true);
    assert.equal(info.name, "ORDER_LINES");
    assert.deepEqual(info.config.subjects, ["order-lines", "order-lines.>"]);
    const { storage, retention, maxAgeMs, maxBytes, maxMessages, replicas } = info.config;
    assert.deepEqual(
      [storage, retention, maxAgeMs, maxBytes, maxMessages, replicas],
      ["file", "limits", 604_800_000, Infinity, Infinity, 1],
    );
    await nats.client.jetstream.publish("order-lines", "x");
    const again = await ensureStreamFor(core, subject("order-lines.{x}", json()));
    assert.equal(again.messages, 1);
  });
});

test("what is asked for is stored", async () => {
  await withCore(async (core) => {
    const options: StreamAutoCreate = {
      stream: "MINE",
      storage: "memory",
      retention: "workqueue",
      maxAgeMs: 5_000,
      maxBytes: 1_000_000,
      maxMessages: 100,
      replicas: 1,
    };
    const { name, config } = await ensureStreamFor(core, "a.b", options);
    assert.equal(name, "MINE");
    assert.deepEqual(config.subjects, ["a.b", "a.b.>"]);
    assert.deepEqual(
      [config.storage, config.retention, config.maxAgeMs, config.maxBytes, config.maxMessages],
      ["memory", "workqueue", 5_000, 1_000_000, 100],
    );
    const other = await ensureStreamFor(core, "c.*.x", { stream: "C", subjects: ["c.>", "d"] });
    assert.deepEqual(other.config.subjects, ["c.>", "d"]);
  });
});

test("a stream that captures the subject is used, whatever its name and settings", async () => {
  await withCore(async (core, nats) => {
    await nats.createStream({ name: "ALL", subjects: ["orders.*"] });
    assert.equal((await ensureStreamFor(core, "orders.created", { maxAgeMs: 1_000 })).name, "ALL");
    await assert.rejects(
      ensureStreamFor(core, "orders.created", { stream: "OWN" }),
      failure("config_drift", "stream OWN", "stream ALL captures"),
    );
  });
});

test("a stream of the name that does not capture the subject is never used", async () => {
  await withCore(async (core, nats) => {
    await nats.createStream({ name: "ORDERS", subjects: ["other"] });
    await assert.rejects(
      ensureStreamFor(core, "orders.created"),
      failure("config_drift", "stream ORDERS for orders.created", "captures other"),
    );
    assert.deepEqual((await nats.stream("ORDERS")).config.subjects, ["other"]);
  });
});

test("a stream that captures a part of it is an error that names it", async () => {
  await withCore(async (core, nats) => {
    await nats.createStream({ name: "PART", subjects: ["orders.eu"] });
    await assert.rejects(
      ensureStreamFor(core, "orders.us"),
      failure("config_drift", "cannot create stream ORDERS", "orders, orders.>", "PART"),
    );
    await assert.rejects(ensureStreamFor(core, "orders.*"), failure("config_drift", "PART"));
    await ensureStreamFor(core, "orders.us", { subjects: ["orders.us"] });
  });
});

test("callers that race get the same stream", async () => {
  await withCores(20, async (cores) => {
    for (let round = 0; round < 20; round++) {
      const infos = await Promise.all(cores.map((core) => ensureStreamFor(core, `r${round}.x`)));
      assert.deepEqual(new Set(infos.map(({ name }) => name)), new Set([`R${round}`]));
    }
  });
});

test("a plan needs no server", () => {
  const { config, filter } = autoCreateConfig("it", "a.>", { stream: "S" });
  assert.deepEqual([filter, config.name, config.subjects], ["a.>", "S", ["a", "a.>"]]);
  const whole = autoCreateConfig("it", "orders.*.x");
  assert.deepEqual([whole.config.name, whole.config.subjects], ["ORDERS", ["orders", "orders.>"]]);
});

test("misuse is refused before any I/O", async () => {
  await withCore(async (core, nats) => {
    await nats.connection.close();
    for (const filter of ["*.a", ">", "", "a..b", "a b", "a/b", 5]) {
      await assert.rejects(ensureStreamFor(core, filter as string), TypeError, `${filter}`);
    }
    await assert.rejects(ensureStreamFor(core, ">", { stream: "S" }), TypeError);
    await assert.rejects(ensureStreamFor(core, "$JS.API.x"), TypeError);
    for (const options of [false, null, "S", { nope: 1 }, { stream: "a b" }, { subjects: "a" }]) {
      await assert.rejects(ensureStreamFor(core, "a", options as true), TypeError);
    }
    await assert.rejects(ensureStreamFor(core, "a.b", { subjects: ["c"] }), TypeError);
    for (const maxAgeMs of [0, -1, NaN]) {
      await assert.rejects(ensureStreamFor(core, "a", { maxAgeMs }), RangeError);
    }
    for (const replicas of [0, 6, 1.5]) {
      await assert.rejects(ensureStreamFor(core, "a", { replicas }), RangeError);
    }
  });
});

test("the time for everything is bounded", async () => {
  await withCore(async (core, nats) => {
    await core.manager();
    nats.server.pause();
    try {
      await assert.rejects(ensureStreamFor(core, "a", true, { timeoutMs: 200 }), {
        code: "timeout",
      });
    } finally {
      nats.server.continue();
    }
    assert.equal(await createStreams(core).find("b"), undefined);
  });
});
