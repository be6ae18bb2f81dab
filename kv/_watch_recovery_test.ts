import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import process from "node:process";
import { test } from "node:test";
import { StorageType } from "@nats-io/jetstream";
import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { coreOf } from "../client/core.ts";
import { streamInfo } from "../client/streams.ts";
import { factsOf } from "./_ensure_bucket.ts";
import { escapedKeyNames } from "./_key_names.ts";
import { StreamBucket } from "./_stream_bucket.ts";
import { isJsflowError } from "../client/errors.ts";
import { untilLost, withClient, withProxy } from "../client/testdata/server_ground.ts";
import { text } from "../client/text.ts";
import type { FaultProxy } from "../testing/fault_proxy.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Bucket } from "./_bucket.ts";
import { RunningWatch } from "./_watch.ts";
import { parseWatchOptions } from "./_watch_options.ts";
import type { WatchTiming } from "./_watch_session.ts";
import {
  brief,
  BUCKET,
  PREFIX,
  STREAM,
  type WatchGround,
  withWatchGround,
} from "./testdata/watch_ground.ts";
import type { WatchOptions } from "./watch.ts";

const QUICK_TIMING: WatchTiming = { heartbeatMs: 100, auditMs: 3_000, absenceMs: 20_000 };

/** The bucket of a ground, through a client. */
async function bucketOf(client: Client): Promise<Bucket> {
  const core = coreOf(client);
  return new StreamBucket({
    core,
    name: BUCKET,
    stream: STREAM,
    subjectPrefix: PREFIX,
    keys: escapedKeyNames,
    facts: factsOf(await streamInfo(core, STREAM)),
    clock: systemClock,
    random: Math.random,
  });
}

/** A watch that is read all the time, unless its gate is shut, and what it has seen. */
class Reading {
  readonly watch: RunningWatch<string>;
  readonly seen: string[] = [];
  readonly revisions: number[] = [];
  error: unknown;
  readonly done: Promise<void>;
  #gate: PromiseWithResolvers<void> | undefined;

  constructor(bucket: Bucket, options: WatchOptions = {}, timing: WatchTiming = QUICK_TIMING) {
    const settings = parseWatchOptions(bucket, options);
    this.watch = new RunningWatch({ bucket, codec: text(), settings, timing });
    this.done = this.#read();
  }

  /** Reads no further than the change that comes next. */
  shut(): void {
    this.#gate = Promise.withResolvers<void>();
  }

  open(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  /** Waits for the changes, and that no other comes before them. */
  async sees(...expected: string[]): Promise<void> {
    const what = `${expected} are seen`;
    await waitUntil(() => this.seen.length >= expected.length, { what, timeoutMs: 30_000 }).catch(
      (error) => assert.fail(`${error.message}; seen: ${this.seen}; ended: ${this.error}`),
    );
    assert.deepEqual(this.seen, expected);
    assert.deepEqual(this.revisions, this.revisions.toSorted((a, b) => a - b));
  }

  /** Waits until it ends because of its bucket. */
  async losesBucket(): Promise<void> {
    await waitUntil(() => this.error, { what: "it ends", timeoutMs: 20_000 });
    assert.ok(isJsflowError(this.error, "bucket_not_found"), String(this.error));
    await assert.rejects(this.watch.closed, (error) => error === this.error);
  }

  async #read(): Promise<void> {
    try {
      for await (const change of this.watch) {
        this.seen.push(brief(change));
        this.revisions.push(change.revision);
        await this.#gate?.promise;
      }
    } catch (error) {
      this.error = error;
    }
  }
}

interface Scene {
  readonly ground: WatchGround;
  readonly bucket: Bucket;
  readonly client: Client;
  readonly proxy: FaultProxy;
}

/** Runs a test with a bucket that is reached by way of a proxy. */
async function withScene(
  config: Parameters<typeof withWatchGround>[0],
  use: (scene: Scene) => Promise<void>,
): Promise<void> {
  await withWatchGround(config, async (ground) => {
    await withProxy({ target: { port: ground.server.port } }, async (proxy) => {
      await ground.withClient(async (client) => {
        await use({ ground, bucket: await bucketOf(client), client, proxy });
      }, proxy.url);
    });
  });
}

/** Cuts the connection, does something meanwhile, and lets it come back. */
async function whileCut({ client, proxy }: Scene, work: () => Promise<unknown>): Promise<void> {
  proxy.cut();
  await untilLost(client);
  await work();
  proxy.heal();
}

test("a consumer that is deleted is replaced, without a gap or a repetition", async () => {
  await withScene({}, async ({ bucket, ground }) => {
    await ground.put("a", "1");
    const reading = new Reading(bucket);
    await reading.sees("*a=1");
    for (let n = 2; n <= 4; n++) {
      await ground.deleteConsumers();
      await ground.put("a", `${n}`);
      await waitUntil(() => reading.seen.length === n, { what: `${n} is seen` });
    }
    await reading.sees("*a=1", "a=2", "a=3", "a=4");
    await reading.watch.close();
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("what was written while the connection was lost comes afterwards", async () => {
  await withScene({ max_msgs_per_subject: 3 }, async (scene) => {
    const { bucket, ground } = scene;
    await ground.put("a", "1");
    const reading = new Reading(bucket);
    await reading.sees("*a=1");
    await whileCut(scene, async () => {
      for (let n = 2; n <= 6; n++) await ground.put("a", `${n}`);
      await ground.put("b", "1");
      await ground.mark("b", "DEL");
    });
    // 2 and 3 were overwritten meanwhile: the bucket keeps three revisions of a key.
    await reading.sees("*a=1", "a=4", "a=5", "a=6", "b=1", "b delete");
    await ground.put("a", "7");
    await reading.sees("*a=1", "a=4", "a=5", "a=6", "b=1", "b delete", "a=7");
    await reading.watch.close();
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("a delivery that is lost with its connection comes again", async () => {
  await withScene({}, async (scene) => {
    const { bucket, client, ground, proxy } = scene;
    const reading = new Reading(bucket);
    await reading.watch.ready;
    const [consumer = ""] = await ground.consumers();
    proxy.drop({ direction: "toClient" });
    await ground.put("a", "1");
    await waitUntil(async () => {
      const { delivered } = await ground.manager.consumers.info("KV_b", consumer);
      return delivered.consumer_seq === 1;
    }, { what: "it is on its way" });
    proxy.heal(); // resets the connection
    await reading.sees("a=1");
    assert.equal(client.status, "connected");
    await reading.watch.close();
  });
});

/** Takes a message from the consumer of a watch, as nobody should. */
async function steal({ manager, observer }: WatchGround, value: string): Promise<void> {
  const [{ name = "" } = {}] = await manager.consumers.list("KV_b").next();
  const thief = await observer.jetstream.consumers.get("KV_b", name);
  assert.equal((await thief.next({ expires: 1_000 }))?.string(), value);
}

for (const later of [["4"], []]) {
  const where = later.length === 0 ? "the last" : "another";
  test(`${where} delivery that somebody else took comes again`, async () => {
    await withScene({ max_msgs_per_subject: 64 }, async ({ bucket, ground }) => {
      const reading = new Reading(bucket, { maxPending: 1 }, {
        ...QUICK_TIMING,
        heartbeatMs: 1_000,
        auditMs: 100,
      });
      await reading.watch.ready;
      reading.shut();
      const [consumer = ""] = await ground.consumers();
      await ground.put("a", "1");
      await ground.put("a", "2");
      await waitUntil(async () => {
        const { delivered } = await ground.manager.consumers.info("KV_b", consumer);
        return reading.seen.length === 1 && delivered.consumer_seq === 2;
      }, { what: "there is no more room" });
      await ground.put("a", "3");
      for (const value of later) await ground.put("a", value);
      await steal(ground, "3");
      reading.open();
      await reading.sees(...["1", "2", "3", ...later].map((value) => `a=${value}`));
      await reading.watch.close();
    });
  });
}

for (const history of [1, 5]) {
  test(`a cut within the state, with ${history} revisions kept: each key comes once`, async () => {
    await withScene({ max_msgs_per_subject: history }, async (scene) => {
      const { bucket, ground } = scene;
      await ground.put("a", "1");
      for (const key of ["b", "c", "d", "e"]) {
        await ground.put(key, "old");
        await ground.put(key, "1");
      }
      const reading = new Reading(bucket, { maxPending: 1 });
      reading.shut();
      await waitUntil(() => reading.seen.length === 1, { what: "the first is read" });
      await whileCut(scene, async () => {
        await ground.put("c", "2");
        await ground.put("c", "3");
      });
      reading.open();
      await waitUntil(() => reading.seen.includes("c=3"), { what: "the last one is seen" });
      const expected = ["*a=1", "*b=1", "*d=1", "*e=1", "c=3"];
      // With more than one revision kept, what is overwritten after the state is complete comes too.
      assert.deepEqual(reading.seen.filter((one) => one !== "c=2" && one !== "*c=1"), expected);
      await reading.watch.ready;
      await reading.watch.close();
    });
  });
}

test("a cut within the history: each revision comes once", async () => {
  await withScene({ max_msgs_per_subject: 64 }, async (scene) => {
    const { bucket, ground } = scene;
    for (let n = 1; n <= 9; n++) await ground.put("a", `${n}`);
    const reading = new Reading(bucket, { from: "history", maxPending: 2 });
    reading.shut();
    await waitUntil(() => reading.seen.length === 1, { what: "the first is read" });
    await whileCut(scene, () => ground.put("a", "10"));
    reading.open();
    const expected = Array.from({ length: 9 }, (_, index) => `*a=${index + 1}`);
    await reading.sees(...expected, "a=10");
    await reading.watch.close();
  });
});

test("a watch for what is new misses nothing, even before the first change", async () => {
  await withScene({}, async (scene) => {
    const { bucket, ground } = scene;
    await ground.put("a", "1");
    const reading = new Reading(bucket, { from: "new" });
    await reading.watch.ready;
    await whileCut(scene, () => ground.put("b", "1"));
    await reading.sees("b=1");
    await reading.watch.close();
  });
});

test("a watch that has found nothing misses nothing of what comes then", async () => {
  await withScene({ max_msgs_per_subject: 64 }, async (scene) => {
    const { bucket, ground } = scene;
    await ground.put("other", "1");
    const reading = new Reading(bucket, { key: "a" });
    await reading.watch.ready;
    await whileCut(scene, async () => {
      await ground.put("a", "1");
      await ground.put("a", "2");
    });
    await reading.sees("a=1", "a=2");
    await reading.watch.close();
  });
});

test("a watch begins as soon as there is a connection", async () => {
  await withScene({}, async (scene) => {
    const { bucket, ground } = scene;
    let reading: Reading | undefined;
    await whileCut(scene, async () => {
      reading = new Reading(bucket);
      await ground.put("a", "1");
    });
    await reading!.sees("*a=1");
    await reading!.watch.close();
  });
});

test("a server that stands still is noticed, and watched again when it goes on", {
  skip: process.platform === "win32" && "Windows can't pause a process",
}, async () => {
  await withScene({}, async ({ bucket, ground }) => {
    await ground.put("a", "1");
    const reading = new Reading(bucket);
    await reading.sees("*a=1");
    const before = await ground.consumers();
    ground.server.pause();
    const startedAt = performance.now();
    await waitUntil(() => performance.now() - startedAt > 500, { what: "it is silent" });
    ground.server.continue();
    await ground.put("a", "2");
    await reading.sees("*a=1", "a=2");
    await waitUntil(async () => {
      const consumers = await ground.consumers();
      return consumers.length === 1 && consumers[0] !== before[0];
    }, { what: "the consumer was replaced" });
    await reading.watch.close();
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("a server that is killed and started again is watched on", async () => {
  await withScene({}, async ({ bucket, client, ground }) => {
    const reading = new Reading(bucket);
    await reading.watch.ready;
    const expected: string[] = [];
    for (let n = 1; n <= 3; n++) {
      await ground.put("a", `${n}`);
      expected.push(`a=${n}`);
      await reading.sees(...expected);
      await ground.server.kill();
      await untilLost(client);
      await ground.server.restart();
    }
    await ground.put("a", "4");
    await reading.sees(...expected, "a=4");
    await reading.watch.close();
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("when the bucket is deleted, what had come is handed out, then the watch ends", async () => {
  await withScene({}, async ({ bucket, ground }) => {
    const reading = new Reading(bucket);
    await reading.watch.ready;
    reading.shut();
    for (const key of ["a", "b", "c"]) await ground.put(key, "1");
    const [consumer = ""] = await ground.consumers();
    await waitUntil(async () => {
      return (await ground.manager.consumers.info("KV_b", consumer)).delivered.consumer_seq === 3;
    }, { what: "all is delivered" });
    await ground.remove();
    await assert.rejects(reading.watch.closed, (error) => isJsflowError(error, "bucket_not_found"));
    reading.open();
    await reading.losesBucket();
    assert.equal(reading.seen.at(-1), "c=1");
  });
});

test("a bucket that is not there ends a watch before it begins", async () => {
  await withScene({}, async ({ bucket, ground }) => {
    await ground.remove();
    const reading = new Reading(bucket);
    await reading.losesBucket();
    await assert.rejects(reading.watch.ready, (error) => isJsflowError(error, "bucket_not_found"));
  });
});

test("a bucket that was made again under the same name is another one", async () => {
  await withScene({}, async (scene) => {
    const { bucket, ground } = scene;
    await ground.put("a", "1");
    const [near, far] = [new Reading(bucket), new Reading(bucket, { from: "new" })];
    await near.sees("*a=1");
    await far.watch.ready;
    await whileCut(scene, async () => {
      await ground.remove();
      await ground.make();
      for (const value of ["2", "3", "4"]) await ground.put("a", value);
    });
    await near.losesBucket();
    await far.losesBucket();
    await near.sees("*a=1");
    await ground.untilNoConsumers();
  });
});

test("a bucket that forgot what it held ends the watch", async () => {
  await withScene({ storage: StorageType.Memory }, async ({ bucket, client, ground }) => {
    for (const key of ["a", "b", "c"]) await ground.put(key, "1");
    const reading = new Reading(bucket);
    await reading.sees("*a=1", "*b=1", "*c=1");
    await ground.server.kill();
    await untilLost(client);
    await ground.server.restart();
    await reading.losesBucket();
  });
});

for (const writes of [0, 2]) {
  test(`an older copy of the bucket, with ${writes} new revisions, ends the watch`, async () => {
    await withScene({}, async (scene) => {
      const { bucket, ground: { server }, ground } = scene;
      const copy = `${server.storeDir}_copy`;
      try {
        await ground.put("a", "1");
        await server.stop();
        await cp(server.storeDir, copy, { recursive: true });
        await server.restart();
        await ground.put("b", "1");
        const reading = new Reading(bucket);
        await reading.sees("*a=1", "*b=1");
        await whileCut(scene, async () => {
          await server.stop();
          await rm(server.storeDir, { recursive: true });
          await cp(copy, server.storeDir, { recursive: true });
          await server.restart();
          // The first of them is revision 2, which was b.
          for (let n = 0; n < writes; n++) await ground.put(`c${n}`, "1");
        });
        await reading.losesBucket();
        await reading.sees("*a=1", "*b=1");
      } finally {
        await rm(copy, { recursive: true, force: true });
      }
    });
  });
}

test("a watch that the server forbids ends", async () => {
  const password = "secret";
  const users = [
    { user: "all", password },
    { user: "few", password, permissions: { publish: { deny: ["$JS.API.CONSUMER.CREATE.>"] } } },
  ];
  const server = {
    config: { authorization: { users } },
    credentials: { user: "all", pass: password },
  };
  await withWatchGround({ server }, async (ground) => {
    const credentials = { user: "few", pass: password };
    await withClient({ servers: ground.server.url, ...credentials }, async (client) => {
      const reading = new Reading(await bucketOf(client));
      await reading.done;
      assert.ok(isJsflowError(reading.error, "permission_denied"), String(reading.error));
    });
  });
});
