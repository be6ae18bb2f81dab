import assert from "node:assert/strict";
import { cp, rename, rm } from "node:fs/promises";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { coreOf } from "../client/core.ts";
import { isJsflowError } from "../client/errors.ts";
import { streamInfo } from "../client/streams.ts";
import { QUICK, withClient } from "../client/testdata/server_ground.ts";
import { text } from "../client/text.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import { factsOf } from "./_ensure_bucket.ts";
import { escapedKeyNames } from "./_key_names.ts";
import { StreamBucket } from "./_stream_bucket.ts";
import { listKeys } from "./_list_keys.ts";
import { RunningWatch } from "./_watch.ts";
import { parseWatchOptions } from "./_watch_options.ts";
import { WATCH_TIMING } from "./_watch_session.ts";
import { openStore } from "./open_store.ts";
import { collect } from "./testdata/store_ground.ts";
import {
  brief,
  BUCKET,
  PREFIX,
  STREAM,
  WatchGround,
  withWatchGround,
} from "./testdata/watch_ground.ts";

/** The bucket, as if it had replicas. */
async function replicated(client: Client, Kind = StreamBucket): Promise<Bucket> {
  const core = coreOf(client);
  return new Kind({
    core,
    name: BUCKET,
    stream: STREAM,
    subjectPrefix: PREFIX,
    keys: escapedKeyNames,
    facts: { ...factsOf(await streamInfo(core, STREAM)), replicas: 3 },
    clock: systemClock,
    random: Math.random,
  });
}

/** A bucket whose nearest replica has nothing yet. */
class BehindBucket extends StreamBucket {
  override lastOfMany(): Promise<Map<string, RawEntry>> {
    return Promise.resolve(new Map());
  }
}

function watchOf(bucket: Bucket, seen: string[], absenceMs?: number): RunningWatch<string> {
  return new RunningWatch({
    bucket,
    codec: text(),
    settings: parseWatchOptions(bucket, {}),
    onChange: (change) => void seen.push(brief(change)),
    timing: { ...WATCH_TIMING, absenceMs },
  });
}

test("a server that does not know a replicated bucket is not believed at once", async () => {
  await withWatchGround({}, async (ground) => {
    const { server } = ground;
    const aside = `${server.storeDir}_aside`;
    try {
      await ground.put("a", "1");
      await ground.withClient(async (client) => {
        const seen: string[] = [];
        const watch = watchOf(await replicated(client), seen);
        await watch.ready;
        let asked = 0;
        const { connection } = ground.observer;
        connection.subscribe("$JS.API.CONSUMER.CREATE.>", { callback: () => void asked++ });
        await server.stop();
        await cp(server.storeDir, aside, { recursive: true });
        await rm(server.storeDir, { recursive: true });
        asked = 0;
        await server.restart(); // as a leader that was cut off before the bucket was made
        await waitUntil(() => asked >= 6, { what: "it is asked again and again" });
        await server.stop();
        await rm(server.storeDir, { recursive: true });
        await rename(aside, server.storeDir);
        await server.restart();
        await ground.put("b", "1");
        await waitUntil(() => seen.length === 2, { what: "the watch goes on", timeoutMs: 20_000 });
        assert.deepEqual(seen, ["*a=1", "b=1"]);
        await watch.close();
      });
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  });
});

test("that a replicated bucket is gone is believed in the end", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.withClient(async (client) => {
      const watch = watchOf(await replicated(client), [], 1_500);
      await watch.ready;
      const startedAt = performance.now();
      await ground.remove();
      await assert.rejects(watch.closed, (error) => isJsflowError(error, "bucket_not_found"));
      const tookMs = performance.now() - startedAt;
      assert.ok(tookMs >= 1_500, `it has lasted ${tookMs} ms`);
    });
  });
});

/** Makes two nodes lead, one the bucket and one the cluster, and returns them and the third. */
async function placeLeaders(cluster: NatsCluster, observer: Client) {
  return await waitUntil(async () => {
    const [own, meta] = [await cluster.leaderOf(STREAM), await cluster.metaLeader()];
    if (own !== meta) {
      return {
        own,
        meta,
        third: cluster.nodes.find((n) => n !== own && n !== meta)!,
      };
    }
    await observer.connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${STREAM}`, "");
    return undefined;
  }, { what: "the leaders are two", timeoutMs: 30_000, intervalMs: 200 });
}

test("an older bucket of the name may be what a leader remembers; a newer one is another", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.withClient(async (client) => {
      const bucket = await replicated(client);
      const { createdMs } = bucket.facts;
      const madeAt = (ms: number) => ({ ...bucket.facts, createdMs: ms });
      const startedAt = performance.now();
      const lasted = async (ms: number) => {
        const other = Object.assign(await replicated(client), { facts: madeAt(ms) });
        const watch = watchOf(other, [], 3_000);
        await assert.rejects(watch.closed, (error) => isJsflowError(error, "bucket_not_found"));
        return performance.now() - startedAt;
      };
      const [older, newer] = await Promise.all([lasted(createdMs + 60_000), lasted(createdMs - 1)]);
      assert.ok(older >= 3_000 && newer < older, `${older} ms, ${newer} ms`);
    });
  });
});

test("who may not ask the leader watches all the same", async () => {
  const password = "secret";
  const users = [
    { user: "all", password },
    { user: "few", password, permissions: { publish: { deny: ["$JS.API.STREAM.MSG.GET.>"] } } },
  ];
  const server = {
    config: { authorization: { users } },
    credentials: { user: "all", pass: password },
  };
  await withWatchGround({ server }, async (ground) => {
    await ground.put("a", "1");
    const credentials = { user: "few", pass: password };
    await withClient({ servers: ground.server.url, ...credentials }, async (client) => {
      const seen: string[] = [];
      const watch = watchOf(await replicated(client), seen);
      await watch.ready;
      assert.deepEqual(seen, ["*a=1"]);
      await watch.close();
    });
  });
});

test("what is written while keys are listed is looked up at the leader", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    await ground.withClient(async (client) => {
      const bucket = await replicated(client, BehindBucket);
      const bounds = { signal: undefined, timeoutMs: 10_000 };
      const keys: string[] = [];
      for await (const key of listKeys(bucket, bucket.keys.filter({}), bounds)) {
        keys.push(key);
        if (key === "a") await ground.put("b", "1");
      }
      assert.deepEqual(keys, ["a", "b"]);
    });
  });
});

/** The server chooses where a consumer lives: one of three times on the replica that is behind. */
const ROUNDS = 6;

test("a replica that is behind hides nothing that was there before", async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    await withClient({ servers: cluster.urls, ...QUICK }, async (observer) => {
      const manager = await observer.manager();
      const ground = new WatchGround({ server: cluster.nodes[0]!, observer, manager }, {
        num_replicas: 3,
      });
      await ground.make();
      const { own, meta, third } = await placeLeaders(cluster, observer);
      await withClient({ servers: meta.url, ...QUICK }, async (client) => {
        const options = { bucket: BUCKET, codec: text(), allowUnsafeCas: true, timeoutMs: 20_000 };
        const store = await openStore(client, options);
        for (let round = 0; round < ROUNDS; round++) await ground.mark(`d${round}`, "DEL");
        await waitUntil(async () => {
          const { cluster } = await manager.streams.info(STREAM);
          return cluster?.replicas?.every(({ current, lag }) => current && !lag);
        }, { what: "all replicas have it" });
        for (const link of [cluster.link(own, third), cluster.link(third, own)]) link.delay(1_000);
        const expected: string[] = [];
        for (let round = 0; round < ROUNDS; round++) {
          for (const key of [`d${round}`, `k${round}`]) {
            await store.put(key, "1");
            expected.push(key);
          }
          expected.sort();
          const [keys, mirror] = await Promise.all([collect(store.keys()), store.mirror()]);
          assert.deepEqual(keys.toSorted(), expected);
          assert.deepEqual([...mirror.keys()].toSorted(), expected);
          await mirror.close();
        }
        cluster.heal(third);
      });
    });
  } finally {
    await cluster.close();
  }
});
