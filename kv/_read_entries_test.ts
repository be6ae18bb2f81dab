import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { coreOf } from "../client/core.ts";
import { streamInfo } from "../client/streams.ts";
import { factsOf } from "./_ensure_bucket.ts";
import { escapedKeyNames } from "./_key_names.ts";
import { StreamBucket } from "./_stream_bucket.ts";
import { isJsflowError } from "../client/errors.ts";
import { withProxy } from "../client/testdata/server_ground.ts";
import type { Bucket, RawEntry } from "./_bucket.ts";
import { readEntries, type ReadEntriesOptions } from "./_read_entries.ts";
import { BUCKET, PREFIX, STREAM, withWatchGround } from "./testdata/watch_ground.ts";

const BOUNDS = { signal: undefined, timeoutMs: 5_000 };
const LAST: ReadEntriesOptions = { pattern: ">", from: "last", headersOnly: false };

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

const utf8 = new TextDecoder();

function brief({ bytes, name, operation, revision }: RawEntry): string {
  return `${revision} ${name} ${operation} ${utf8.decode(bytes)}`.trim();
}

async function all(entries: AsyncIterable<RawEntry>): Promise<string[]> {
  const seen: string[] = [];
  for await (const entry of entries) seen.push(brief(entry));
  return seen;
}

test("a listing gives what there is, and ends", async () => {
  await withWatchGround({ max_msgs_per_subject: 5 }, async (ground) => {
    await ground.withClient(async (client) => {
      const bucket = await bucketOf(client);
      assert.deepEqual(await all(readEntries(bucket, LAST, BOUNDS)), []);
      await ground.put("a", "1");
      await ground.put("b.x", "1");
      await ground.put("a", "2");
      await ground.mark("b.x", "DEL");
      const cases: [Partial<ReadEntriesOptions>, string[]][] = [
        [{}, ["3 a put 2", "4 b.x delete"]],
        [{ headersOnly: true }, ["3 a put", "4 b.x delete"]],
        [{ from: "all" }, ["1 a put 1", "2 b.x put 1", "3 a put 2", "4 b.x delete"]],
        [{ from: "all", pattern: "b.*" }, ["2 b.x put 1", "4 b.x delete"]],
        [{ pattern: "c" }, []],
      ];
      for (const [options, expected] of cases) {
        const entries = readEntries(bucket, { ...LAST, ...options }, BOUNDS);
        assert.deepEqual(await all(entries), expected);
      }
    });
    assert.deepEqual(await ground.consumers(), []);
  });
});

test("a listing that is left leaves nothing behind", async () => {
  await withWatchGround({}, async (ground) => {
    for (const key of ["a", "b", "c"]) await ground.put(key, "1");
    await ground.withClient(async (client) => {
      const bucket = await bucketOf(client);
      for await (const { name } of readEntries(bucket, LAST, BOUNDS)) {
        assert.equal(name, "a");
        break;
      }
      assert.deepEqual(await ground.consumers(), []);
      const controller = new AbortController();
      const bounds = { ...BOUNDS, signal: controller.signal };
      await assert.rejects(async () => {
        for await (const _ of readEntries(bucket, LAST, bounds)) {
          controller.abort(new Error("enough"));
        }
      }, /enough/);
      assert.deepEqual(await ground.consumers(), []);
      await assert.rejects(readEntries(bucket, LAST, bounds).next(), /enough/);
    });
  });
});

test("a listing is bounded in time, and names a bucket that is gone", async () => {
  await withWatchGround({}, async (ground) => {
    await withProxy({ target: { port: ground.server.port } }, async (proxy) => {
      await ground.withClient(async (client) => {
        const bucket = await bucketOf(client);
        proxy.stall({ direction: "toClient" });
        const stalled = all(readEntries(bucket, LAST, { ...BOUNDS, timeoutMs: 50 }));
        await assert.rejects(stalled, (error) => isJsflowError(error, "timeout"));
        proxy.heal();
        await ground.untilNoConsumers();
        await ground.remove();
        const gone = all(readEntries(bucket, LAST, BOUNDS));
        await assert.rejects(gone, (error) => isJsflowError(error, "bucket_not_found"));
      }, proxy.url);
    });
  });
});

test("the reader's own time does not count", async () => {
  await withWatchGround({}, async (ground) => {
    for (const key of ["a", "b", "c"]) await ground.put(key, "1");
    await ground.withClient(async (client) => {
      const bucket = await bucketOf(client);
      const startedAt = performance.now();
      let count = 0;
      for await (const _ of readEntries(bucket, LAST, { ...BOUNDS, timeoutMs: 2_000 })) {
        if (count++ === 0) { while (performance.now() - startedAt < 2_100); // busy
         }
      }
      assert.equal(count, 3);
    });
  });
});
