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
import { WATCH_TIMING, type WatchTiming } from "./_watch_session.ts";
import { openStore } from "./open_store.ts";
import { collect } from "./testdata/store_ground.ts";
import { altered, type Tap, tappedCore } from "./testdata/tapped_core.ts";
import {
  brief,
  BUCKET,
  PREFIX,
  STREAM,
  WatchGround,
  withWatchGround,
} from "./testdata/watch_ground.ts";

/** The bucket, as if it had replicas. */
async function replicated(client: Client, Kind = StreamBucket, tap: Tap = {}): Promise<Bucket> {
  const core = await tappedCore(coreOf(client), tap);
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

function watchOf(
  bucket: Bucket,
  seen: string[],
  timing: WatchTiming = WATCH_TIMING,
): RunningWatch<string> {
  return new RunningWatch({
    bucket,
    codec: text(),
    settings: parseWatchOptions(bucket, {}),
    onChange: (change) => void seen.push(brief(change)),
    timing,
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
      const watch = watchOf(await replicated(client), [], { ...WATCH_TIMING, absenceMs: 1_500 });
      await watch.ready;
      const startedAt = performance.now();
      await ground.remove();
      await assert.rejects(watch.closed, (error) => isJsflowError(error, "bucket_not_found"));
      const tookMs = performance.now() - startedAt;
      assert.ok(tookMs >= 1_500, `it has lasted ${tookMs} ms`);
    });
  });
});

test("looks between which nobody could look are not in a row", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    await ground.withClient(async (client) => {
      const findings = ["gone", "gone", "gone", "silence", "gone"];
      const answer: Tap["answer"] = async (subject, send) => {
        const finding = subject.includes(".CONSUMER.CREATE.") ? findings.shift() : undefined;
        if (finding === undefined) return await send();
        if (finding === "gone") return await client.connection.request("$JS.API.STREAM.INFO.NONE");
        throw Object.assign(new Error("no answer"), { name: "TimeoutError" });
      };
      const seen: string[] = [];
      const bucket = await replicated(client, StreamBucket, { answer });
      const watch = watchOf(bucket, seen, { ...WATCH_TIMING, absenceMs: 0 });
      await watch.ready;
      assert.deepEqual([seen, findings], [["*a=1"], []]);
      await watch.close();
    });
  });
});

test("a leader that was cut off does not tell that a state is complete", async () => {
  await withWatchGround({}, async (ground) => {
    await ground.put("a", "1");
    await ground.withClient(async (client) => {
      let looks = 0;
      const answer: Tap["answer"] = async (subject, send) => {
        if (subject.includes(".CONSUMER.INFO.")) looks++; // from now on a deposed leader answers
        const message = await send();
        if (looks > 0) return message;
        const isInfo = subject.includes(".STREAM.INFO.");
        if (isInfo) return altered(message, ({ state }) => void state.last_seq++);
        const isLast = subject.includes(".STREAM.MSG.GET.");
        return isLast ? altered(message, ({ message }) => void message.seq++) : message;
      };
      const seen: string[] = [];
      const bucket = await replicated(client, StreamBucket, { answer });
      const watch = watchOf(bucket, seen, { ...WATCH_TIMING, heartbeatMs: 100 });
      let isReady = false;
      watch.ready.then(() => isReady = true, () => {});
      await waitUntil(() => looks >= 3, { what: "it looks again and again" });
      assert.equal(isReady, false);
      await ground.put("b", "1");
      await watch.ready;
      assert.deepEqual(seen, ["*a=1", "*b=1"]);
      await watch.close();
    });
  });
});

test("what is removed before it was delivered is not waited for", async () => {
  for (const history of [1, 5]) {
    await withWatchGround({ max_msgs_per_subject: history }, async (ground) => {
      for (const keys of [["a", "b"], ["b"]]) {
        for (const key of keys) await ground.put(key, "1");
        await ground.withClient(async (client) => {
          const answer: Tap["answer"] = async (subject, send) => {
            const message = await send();
            if (subject.includes(".STREAM.MSG.GET.")) {
              await ground.manager.streams.purge(STREAM, { filter: `${PREFIX}b` });
            }
            return message;
          };
          const seen: string[] = [];
          const bucket = await replicated(client, StreamBucket, { answer });
          const watch = watchOf(bucket, seen, { ...WATCH_TIMING, heartbeatMs: 100 });
          await watch.ready;
          assert.deepEqual(seen, keys.length === 1 ? [] : ["*a=1"]);
          await watch.close();
        });
        await ground.remove();
        await ground.make();
      }
    });
  }
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
        const watch = watchOf(other, [], { ...WATCH_TIMING, absenceMs: 3_000 });
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
