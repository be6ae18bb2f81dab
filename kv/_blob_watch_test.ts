import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import { systemClock } from "../client/clock.ts";
import { coreOf } from "../client/core.ts";
import { streamInfo } from "../client/streams.ts";
import { BlobStream } from "./_blob_stream.ts";
import { listBlobs } from "./_blob_watch.ts";
import { factsOf } from "./_ensure_bucket.ts";
import { tappedCore } from "./testdata/tapped_core.ts";
import { withBlobs } from "./testdata/with_blobs.ts";

const STREAM = "OBJ_files";

test("blobs that the nearest replica does not have yet are listed", async () => {
  await withBlobs(async (blobs, { client }) => {
    const { streams } = await jetstreamManager(client.connection);
    const empty = { subjects: ["behind"], storage: StorageType.Memory, allow_direct: true };
    await streams.add({ name: "BEHIND", ...empty });
    let asked = 0;
    const reroute = (subject: string) => {
      if (!subject.includes(`.DIRECT.GET.${STREAM}`)) return subject;
      asked++;
      return subject.replace(STREAM, "BEHIND");
    };
    const core = await tappedCore(coreOf(client), { reroute });
    const facts = { ...factsOf(await streamInfo(core, STREAM)), replicas: 3 };
    const settings = { core, clock: systemClock, bucket: "files", stream: STREAM, facts };
    const bounds = { signal: undefined, timeoutMs: 10_000 };
    for (const count of [1, 3]) {
      const names = Array.from({ length: count }, (_, index) => `b${index}`);
      await Promise.all(names.map((name) => blobs.put(name, "1")));
      const listed: string[] = [];
      for await (const { name } of listBlobs(new BlobStream(settings), { ...bounds, prefix: "" })) {
        listed.push(name);
      }
      assert.deepEqual(listed.sort(), names);
    }
    assert.ok(asked >= 2, "the replica was asked");
  });
});
