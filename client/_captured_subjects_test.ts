import assert from "node:assert/strict";
import { test } from "node:test";
import { ensureCaptured, forgetCaptured, isCaptured } from "./_captured_subjects.ts";
import type { StreamAutoCreate } from "./auto_create.ts";
import { json } from "./json.ts";
import { publishToStream } from "./publish_to_stream.ts";
import { subject } from "./subject.ts";
import { withCore } from "./testdata/nats_ground.ts";

const BOUNDS = { signal: undefined, timeoutMs: 5_000 };

test("options that are written anew for each message cost no lookup", async () => {
  await withCore(async (core, nats) => {
    const Order = subject("orders.eu", json<number>());
    const asked: string[] = [];
    nats.connection.subscribe("$JS.API.STREAM.>", {
      callback: (_, message) => void asked.push(message.subject),
    });
    const publish = () =>
      publishToStream(core, Order, 1, { autoCreate: { maxAgeMs: 60_000, subjects: ["orders.*"] } });
    await publish();
    await nats.connection.flush();
    assert.notEqual(asked.length, 0);
    asked.length = 0;
    for (let n = 0; n < 3; n++) await publish();
    await nats.connection.flush();
    assert.deepEqual(asked, []);
  });
});

test("options are the same when they ask for the same", async () => {
  await withCore(async (core) => {
    const Orders = subject("orders.{region}", json<number>());
    const given: StreamAutoCreate = { storage: "memory", subjects: [Orders], maxAgeMs: Infinity };
    await ensureCaptured(core, "orders.eu", { ...BOUNDS, autoCreate: given });
    const same: unknown[] = [
      given,
      { ...given },
      { maxAgeMs: Infinity, subjects: ["orders.*"], storage: "memory", stream: undefined },
    ];
    for (const options of same) {
      assert.ok(isCaptured(core, "orders.eu", options as StreamAutoCreate));
      assert.ok(!isCaptured(core, "orders.us", options as StreamAutoCreate));
    }
    const others: unknown[] = [
      true,
      {},
      { ...given, maxAgeMs: undefined },
      { ...given, maxAgeMs: "Infinity" },
      { ...given, maxAgeMs: null },
      { ...given, maxAgeMs: 60_000 },
      { ...given, subjects: ["orders.>"] },
      { ...given, stream: "MINE" },
      { ...given, nope: 1 },
    ];
    for (const options of others) {
      assert.ok(!isCaptured(core, "orders.eu", options as StreamAutoCreate));
    }
    forgetCaptured(core, "orders.eu");
    assert.ok(!isCaptured(core, "orders.eu", given));
  });
});
