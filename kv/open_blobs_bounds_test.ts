import assert from "node:assert/strict";
import { test } from "node:test";
import { coreOf } from "../client/core.ts";
import {
  QUICK,
  untilLost,
  withClient,
  withProxiedClient,
  withServer,
} from "../client/testdata/server_ground.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import type { BlobsOptions } from "./blob_options.ts";
import { openBlobs } from "./open_blobs.ts";
import { BLOBS, code } from "./testdata/with_blobs.ts";

test("blobs on replicas need a server that fences", async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    await withClient({ servers: cluster.urls }, async (client) => {
      const open = (options: Partial<BlobsOptions>) =>
        openBlobs(client, { ...BLOBS, timeoutMs: 30_000, ...options });
      if (coreOf(client).connection.info?.version.startsWith("2.9.")) {
        await assert.rejects(open({ replicas: 3 }), code("unsafe_cas", "3 replicas"));
        const manager = await client.manager();
        await assert.rejects(manager.streams.info("OBJ_files"), "nothing was made");
        await open({ replicas: 3, allowUnsafeCas: true });
        await assert.rejects(open({}), code("unsafe_cas"), "it is replicated, whatever is named");
      }
      const blobs = await open({ replicas: 3, allowUnsafeCas: true });
      await blobs.put("a", "1");
      assert.equal(await (await blobs.getOrThrow("a")).text(), "1");
    });
  } finally {
    await cluster.close();
  }
});

test("opening has one time for all that it asks, and wrong options ask nothing", async () => {
  await withServer({}, async (server) => {
    await withProxiedClient(server, QUICK, async (client, proxy) => {
      await openBlobs(client, BLOBS);
      proxy.delay(400, { direction: "toClient" });
      // Each of its two questions would have had its answer in time.
      await assert.rejects(openBlobs(client, { ...BLOBS, timeoutMs: 600 }), code("timeout"));
      proxy.heal();
      const wrong = [
        { storage: "disk" },
        { ttlMs: 50 },
        { replicas: 9 },
        { maxBytes: 0 },
        { description: 1 },
      ];
      for (const options of wrong) {
        const opening = openBlobs(client, { ...BLOBS, ...options } as BlobsOptions);
        await assert.rejects(opening, {
          message: new RegExp(`^openBlobs: ${Object.keys(options)}`),
        });
      }
      proxy.cut();
      await untilLost(client);
      const late = openBlobs(client, { ...BLOBS, timeoutMs: 200 });
      await assert.rejects(late, { message: /open bucket files/ });
    });
  });
});
