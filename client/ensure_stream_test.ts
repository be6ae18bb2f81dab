import assert from "node:assert/strict";
import { test } from "node:test";
import { ensureStream } from "./ensure_stream.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import type { StreamConfig } from "./stream_config.ts";
import { subject } from "./subject.ts";
import { failure } from "./testdata/failure.ts";
import { withCore, withCores } from "./testdata/nats_ground.ts";

const FULL: StreamConfig = {
  name: "ORDERS",
  subjects: ["orders", "orders.>"],
  description: "all orders",
  storage: "memory",
  retention: "limits",
  maxAgeMs: 60_000,
  maxBytes: 1_000_000,
  maxMessages: 1_000,
  maxMessagesPerSubject: 10,
  maxMessageBytes: 10_000,
  maxConsumers: 5,
  replicas: 1,
  duplicateWindowMs: 1_500,
  discard: "new",
  allowDirect: true,
  allowRollup: true,
  denyDelete: true,
  denyPurge: false,
};

test("a stream is created with all that was named, and is the same the second time", async () => {
  await withCore(async (core, nats) => {
    const created = await ensureStream(core, FULL);
    const { name: _, ...config } = FULL;
    for (const [key, value] of Object.entries(config)) {
      assert.deepEqual(created.config[key as keyof typeof created.config], value, key);
    }
    assert.equal(created.messages, 0);
    assert.ok(Math.abs(created.created.getTime() - Date.now()) < 60_000);
    await nats.client.jetstream.publish("orders", "x");
    const again = await ensureStream(core, FULL);
    assert.equal(again.messages, 1);
    assert.deepEqual(again.config, created.config);
  });
});

test("what is left out gets the documented defaults", async () => {
  await withCore(async (core) => {
    const Orders = subject("orders.{region}", json<string>());
    const { config } = await ensureStream(core, { name: "ORDERS", subjects: [Orders] });
    assert.deepEqual(config, {
      name: "ORDERS",
      subjects: ["orders.*"],
      description: "",
      storage: "file",
      retention: "limits",
      maxAgeMs: Infinity,
      maxBytes: Infinity,
      maxMessages: Infinity,
      maxMessagesPerSubject: Infinity,
      maxMessageBytes: Infinity,
      maxConsumers: Infinity,
      replicas: 1,
      duplicateWindowMs: 120_000,
      discard: "old",
      allowDirect: false,
      allowRollup: false,
      allowMessageTtl: false,
      denyDelete: false,
      denyPurge: false,
      compression: "none",
      metadata: {},
    });
    const unbounded = { maxAgeMs: Infinity, maxBytes: Infinity, maxMessages: Infinity };
    await ensureStream(core, { name: "ORDERS", subjects: ["orders.*"], ...unbounded });
  });
});

test("a stream that differs is an error that shows how", async () => {
  await withCore(async (core) => {
    await ensureStream(core, FULL);
    const wanted = { ...FULL, maxAgeMs: 90_000, subjects: ["orders.>"], maxBytes: Infinity };
    await assert.rejects(
      ensureStream(core, wanted),
      failure(
        "config_drift",
        "stream ORDERS",
        "\n  maxAgeMs: 60000 → 90000\n",
        '\n  subjects: ["orders","orders.>"] → ["orders.>"]\n',
        "\n  maxBytes: 1000000 → no bound\n",
        "onDrift",
      ),
    );
    // What is not named is not compared, and the order of subjects is nothing.
    await ensureStream(core, { name: "ORDERS", subjects: ["orders.>", "orders"] });
  });
});

test("onDrift ignore gives the stored stream, update changes it", async () => {
  await withCore(async (core) => {
    await ensureStream(core, FULL);
    const wanted = { ...FULL, maxAgeMs: 90_000 };
    const ignored = await ensureStream(core, wanted, { onDrift: "ignore" });
    assert.equal(ignored.config.maxAgeMs, 60_000);
    const updated = await ensureStream(core, wanted, { onDrift: "update" });
    assert.equal(updated.config.maxAgeMs, 90_000);
    assert.equal(updated.config.maxMessages, 1_000);
    await ensureStream(core, wanted);
  });
});

test("a change that the server refuses is told with the change and the reason", async () => {
  await withCore(async (core) => {
    await ensureStream(core, FULL);
    await assert.rejects(
      ensureStream(core, { ...FULL, storage: "file" }, { onDrift: "update" }),
      failure("config_drift", "refuses", '\n  storage: "memory" → "file"\n', /it says: .+storage/),
    );
  });
});

test("twenty clients that race create one stream", async () => {
  await withCores(20, async (cores) => {
    const race = (config: StreamConfig, onDrift?: "update") =>
      Promise.allSettled(cores.map((core) => ensureStream(core, config, { onDrift })));
    for (const result of await race(FULL)) assert.equal(result.status, "fulfilled");
    for (const result of await race({ ...FULL, maxAgeMs: 9_000 }, "update")) {
      assert.equal(result.status, "fulfilled");
    }
  });
});

test("clients that race with different wishes get the stream or the difference", async () => {
  await withCores(20, async (cores) => {
    for (let round = 0; round < 10; round++) {
      const name = `S${round}`;
      const results = await Promise.allSettled(cores.map((core, n) => {
        const config = { name, subjects: [`s${round}`], maxMessages: 1 + (n % 2) };
        return ensureStream(core, config);
      }));
      const failed = results.filter((result) => result.status === "rejected");
      assert.equal(failed.length, 10);
      for (const { reason } of failed) assert.equal(reason.code, "config_drift", reason.message);
    }
  });
});

test("what an old server would ignore is refused by it", async () => {
  await withCore(async (core, nats) => {
    const gated: [Partial<StreamConfig>, string][] = [
      [{ compression: "s2" }, "compression"],
      [{ metadata: { owner: "me" } }, "metadata"],
      [{ allowMessageTtl: true }, "message_ttl"],
      [{ native: { allow_atomic: true } }, "atomic_batch"],
    ];
    for (const [index, [extra, feature]] of gated.entries()) {
      const name = `S${index}`;
      const config = { name, subjects: [name], ...extra };
      if (nats.client.server.supports(feature as "compression")) {
        await ensureStream(core, config);
        await ensureStream(core, config);
      } else {
        await assert.rejects(ensureStream(core, config), failure("unsupported", feature));
        await assert.rejects(nats.stream(name), "nothing was created");
      }
    }
    await ensureStream(core, { name: "N", subjects: ["n"], compression: "none", metadata: {} });
  });
});

test("a setting that the server ignores is an error, however new it is", async () => {
  await withCore(async (core) => {
    const invented = { name: "S", subjects: ["s"], native: { not_yet_invented: true } as object };
    await assert.rejects(ensureStream(core, invented), (error) => {
      // Newer servers refuse the whole request.
      if (isJsflowError(error, "nats")) return true;
      return failure("unsupported", "native.not_yet_invented: not set → true")(error as Error);
    });
  });
});

test("metadata that was not named survives an update", async (t) => {
  await withCore(async (core, nats) => {
    if (!nats.client.server.supports("metadata")) return t.skip("needs nats-server 2.10");
    const base = { name: "S", subjects: ["s"] };
    await ensureStream(core, { ...base, metadata: { a: "1", b: "2" } });
    const wanted = { ...base, metadata: { b: "3" } };
    const info = await ensureStream(core, wanted, { onDrift: "update" });
    assert.deepEqual(info.config.metadata, { a: "1", b: "3" });
  });
});

test("an age below the duplicate window that nobody named shortens that window", async () => {
  await withCore(async (core) => {
    const base = { name: "S", subjects: ["s"] };
    assert.equal((await ensureStream(core, base)).config.duplicateWindowMs, 120_000);
    const short = await ensureStream(core, { ...base, maxAgeMs: 10_000 }, { onDrift: "update" });
    assert.deepEqual([short.config.maxAgeMs, short.config.duplicateWindowMs], [10_000, 10_000]);
    const long = await ensureStream(core, { ...base, maxAgeMs: 60_000 }, { onDrift: "update" });
    assert.deepEqual([long.config.maxAgeMs, long.config.duplicateWindowMs], [60_000, 10_000]);
  });
});

test("native settings pass through and are compared", async () => {
  await withCore(async (core) => {
    const base = { name: "S", subjects: ["s"] };
    const info = await ensureStream(core, { ...base, native: { no_ack: true } });
    assert.equal(info.native.config.no_ack, true);
    await assert.rejects(
      ensureStream(core, { ...base, native: { no_ack: false } }),
      failure("config_drift", "native.no_ack: true → false"),
    );
  });
});

test("nothing that is passed is changed", async () => {
  await withCore(async (core) => {
    const native = Object.freeze({ republish: Object.freeze({ src: "s", dest: "copy.s" }) });
    const config = Object.freeze({ name: "S", subjects: Object.freeze(["s"]), native });
    await ensureStream(core, config);
    assert.deepEqual(Object.keys(native), ["republish"]);
  });
});

test("hostile configurations are refused before any I/O", async () => {
  await withCore(async (core) => {
    await core.connection.close(); // whatever asked the server now would fail otherwise
    const base = { name: "S", subjects: ["s"] };
    const types: unknown[] = [undefined, null, 5, [], { ...base, nope: 1 }, { name: "S" }];
    for (const name of ["", "a b", "a.b", "a*", ">", "a/b", "a\\b", "a\n", "a\0", 5, null]) {
      types.push({ ...base, name });
    }
    for (const subjects of ["s", [], [""], ["a b"], ["a..b"], ["a", "a"], ["a.*", "a.b"], [5]]) {
      types.push({ ...base, subjects });
    }
    for (const subjects of [[">"], ["$JS.API.>"], ["*.API.x"], ["$SYS.>"]]) {
      types.push({ ...base, subjects });
    }
    types.push({ ...base, storage: "disk" }, { ...base, retention: "work_queue" });
    types.push({ ...base, compression: "zstd" }, { ...base, native: { max_age: 1 } });
    types.push({ ...base, metadata: { a: 1 } }, { ...base, metadata: { _nats: "x" } });
    types.push({ ...base, allowDirect: 1 }, { ...base, maxAgeMs: "1s" });
    for (const config of types) {
      await assert.rejects(ensureStream(core, config as StreamConfig), TypeError);
    }
    for (const value of [NaN, -1, 0, 1.5, 2 ** 60]) {
      for (const field of ["maxBytes", "maxMessages", "maxMessageBytes", "replicas"]) {
        await assert.rejects(ensureStream(core, { ...base, [field]: value }), RangeError, field);
      }
    }
    for (const maxAgeMs of [NaN, -1, 0, 99, 1e13]) {
      await assert.rejects(ensureStream(core, { ...base, maxAgeMs }), RangeError);
    }
    const window = { ...base, maxAgeMs: 1_000, duplicateWindowMs: 2_000 };
    await assert.rejects(ensureStream(core, window), RangeError);
    for (const options of [{ onDrift: "merge" }, { timeoutMs: "1" }, { signal: 1 }, { nope: 1 }]) {
      await assert.rejects(ensureStream(core, base, options as object), TypeError);
    }
    for (const timeoutMs of [NaN, -1, 0, 2 ** 31]) {
      await assert.rejects(ensureStream(core, base, { timeoutMs }), RangeError);
    }
  });
});

test("events about JetStream can be captured", async () => {
  await withCore(async (core) => {
    await ensureStream(core, { name: "EVENTS", subjects: ["$JS.EVENT.ADVISORY.>"] });
  });
});

test("a server that stands still ends in a timeout, an abort in its reason", async () => {
  await withCore(async (core, nats) => {
    await core.manager();
    nats.server.pause();
    try {
      await assert.rejects(ensureStream(core, FULL, { timeoutMs: 200 }), failure("timeout"));
      const reason = new Error("enough");
      const controller = new AbortController();
      const pending = ensureStream(core, FULL, { signal: controller.signal });
      controller.abort(reason);
      await assert.rejects(pending, (error) => error === reason);
    } finally {
      nats.server.continue();
    }
  });
});
