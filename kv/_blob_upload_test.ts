import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { connect } from "../client/connect.ts";
import { coreOf } from "../client/core.ts";
import { withDeadline } from "../client/deadline.ts";
import { streamInfo } from "../client/streams.ts";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { startTestNats, type TestNats } from "../testing/test_nats.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { BlobStream } from "./_blob_stream.ts";
import { factsOf } from "./_ensure_bucket.ts";
import type { Blobs } from "./blobs.ts";
import { RevisionConflictError } from "./errors.ts";
import { openBlobs } from "./open_blobs.ts";
import { BLOBS, code, counted, subjectCount, withBlobs } from "./testdata/with_blobs.ts";

const CHUNKS = "$O.files.C.>";

/** Pieces of one chunk each, for ever. */
function* endless(onPiece: (index: number) => void = () => {}): Generator<Uint8Array> {
  for (let index = 0;; index++) {
    onPiece(index);
    yield new Uint8Array(1_024).fill(index);
  }
}

async function content(blobs: Blobs, name: string): Promise<Uint8Array | undefined> {
  return await (await blobs.get(name))?.bytes();
}

test("a content that is too large is refused, and no more of it is read than that takes", async () => {
  await withBlobs(async (blobs, { client }) => {
    const { stream, state } = counted(endless());
    await assert.rejects(blobs.put("a", stream), code("payload_too_large", "maxBlobBytes"));
    assert.ok(state.taken <= 5, `${state.taken}`);
    assert.equal(state.cancelled.length, 1);
    await assert.rejects(blobs.put("a", new Uint8Array(4_001)), code("payload_too_large"));
    await assert.rejects(blobs.put("a", "é".repeat(2_001)), code("payload_too_large"));
    assert.equal(await subjectCount(client, CHUNKS), 0);
    await blobs.put("a", new Uint8Array(4_000));
    assert.equal((await blobs.info("a"))?.sizeBytes, 4_000);
  }, { maxBlobBytes: 4_000 });
});

test("an abort ends the put with its reason, and the old content stays", async () => {
  await withBlobs(async (blobs, { client }) => {
    await blobs.put("a", "old");
    const controller = new AbortController();
    const reason = new Error("enough");
    const { stream, state } = counted(endless((index) => index === 4 && controller.abort(reason)));
    await assert.rejects(blobs.put("a", stream, { signal: controller.signal }), reason);
    assert.deepEqual(state.cancelled, [reason]);
    assert.equal(stream.locked, false);
    const only = async () => await subjectCount(client, CHUNKS) === 1;
    await waitUntil(only, { what: "what was stored of it is gone" });
    assert.equal(await (await blobs.getOrThrow("a")).text(), "old");
  });
});

test("an abort does not wait for the cleaning up, but closing does", async () => {
  const nats = await startTestNats();
  const proxy = await FaultProxy.start({ target: { port: nats.server.port } });
  const client = await connect({ servers: proxy.url, requestTimeoutMs: 60_000 });
  try {
    const blobs = await openBlobs(client, BLOBS);
    const controller = new AbortController();
    const { stream } = counted(endless((index) => {
      if (index < 3) return;
      proxy.stall();
      controller.abort(new Error("enough"));
    }));
    const putting = blobs.put("a", stream, { signal: controller.signal });
    await withDeadline({ timeoutMs: 20_000, onTimeout: () => new Error("it waits") }, () => {
      return assert.rejects(putting, /enough/);
    });
    let isClosed = false;
    const closing = blobs.close().then(() => isClosed = true);
    assert.equal(await subjectCount(nats.client, CHUNKS), 3);
    assert.equal(isClosed, false);
    proxy.heal();
    await closing;
    assert.equal(await subjectCount(nats.client, CHUNKS), 0);
  } finally {
    proxy.heal();
    await client.close();
    await proxy.close();
    await nats.close();
  }
});

test("a conflict names the blob, not what stands for it in the subject", async () => {
  await withBlobs(async (_blobs, { client }) => {
    const core = coreOf(client);
    const info = await streamInfo(core, "OBJ_files");
    const parts = { core, clock: systemClock, bucket: "files", stream: info.name };
    const stream = new BlobStream({ ...parts, facts: factsOf(info) });
    const nothing = { sizeBytes: 0, chunks: 0, chunkBytes: 1_024, digest: "", description: "" };
    const draft = { bucket: "files", name: "a b.txt", chunksId: "c", metadata: {}, ...nothing };
    const bounds = { signal: undefined, timeoutMs: 5_000 };
    await stream.writeMeta(draft, undefined, bounds);
    await assert.rejects(stream.writeMeta(draft, undefined, bounds), (error) => {
      assert.ok(error instanceof RevisionConflictError, `${error}`);
      assert.equal(error.key, "a b.txt");
      return true;
    });
    const chunk = { blob: "a b.txt", bytes: new Uint8Array(1), behind: undefined };
    await stream.writeChunk("c", chunk, bounds);
    const again = stream.writeChunk("c", chunk, bounds);
    await assert.rejects(again, { name: "RevisionConflictError", key: "a b.txt" });
  });
});

test("an abort ends the wait for a source that gives nothing", async () => {
  await withBlobs(async (blobs) => {
    const controller = new AbortController();
    const stream = new ReadableStream<Uint8Array>({
      pull: () => new Promise(() => controller.abort(new Error("enough"))),
      cancel: () => new Promise(() => {}), // which never ends
    });
    await assert.rejects(blobs.put("a", stream, { signal: controller.signal }), /enough/);
    assert.equal(await blobs.get("a"), undefined);
  });
});

test("a source that fails, or gives no bytes, fails the put", async () => {
  await withBlobs(async (blobs, { client }) => {
    const fails = counted(endless((index) => {
      if (index === 3) throw new Error("disk is gone");
    }));
    await assert.rejects(blobs.put("a", fails.stream), /disk is gone/);
    const texts = counted(["text" as never]);
    await assert.rejects(blobs.put("a", texts.stream), TypeError);
    assert.equal(texts.state.cancelled.length, 1);
    assert.equal(await subjectCount(client, CHUNKS), 0);
    assert.equal(await blobs.get("a"), undefined);
  });
});

test("a full bucket fails the put, and keeps nothing of it", async () => {
  await withBlobs(async (blobs, { client }) => {
    await blobs.put("a", "old");
    await assert.rejects(blobs.put("a", counted(endless()).stream), code("nats"));
    assert.equal(await subjectCount(client, CHUNKS), 1);
    assert.equal(await (await blobs.getOrThrow("a")).text(), "old");
  }, { maxBytes: 20_000 });
});

/** A client behind a proxy, besides the one that looks at the server directly. */
async function withProxy(
  use: (blobs: Blobs, proxy: FaultProxy, nats: TestNats, client: Client) => Promise<void>,
): Promise<void> {
  const nats = await startTestNats();
  const proxy = await FaultProxy.start({ target: { port: nats.server.port } });
  const client = await connect({ servers: proxy.url });
  try {
    await use(await openBlobs(client, BLOBS), proxy, nats, client);
  } finally {
    proxy.heal();
    await client.close();
    await proxy.close();
    await nats.close();
  }
}

test("a chunk whose answer is lost is stored once", async () => {
  await withProxy(async (blobs, proxy, nats) => {
    const whole = new Uint8Array(randomBytes(6 * 1_024));
    const pieces = Array.from({ length: 6 }, (_, at) => whole.slice(at * 1_024, (at + 1) * 1_024));
    const { stream } = counted((function* () {
      for (const [index, piece] of pieces.entries()) {
        if (index === 3) proxy.drop({ direction: "toClient" });
        yield piece;
      }
    })());
    const put = blobs.put("a", stream, { timeoutMs: 20_000 });
    await waitUntil(async () => await subjectCount(nats.client, CHUNKS) === 4, {
      what: "the fourth chunk is stored",
    });
    proxy.heal(); // the connection is reset: the answer never comes
    await put;
    assert.equal(await subjectCount(nats.client, CHUNKS), 6);
    assert.deepEqual(await content(blobs, "a"), whole);
  });
});

test("a put goes on after a restart of the server", async () => {
  const nats = await startTestNats();
  try {
    const blobs = await openBlobs(nats.client, { ...BLOBS, storage: "file" });
    const whole = new Uint8Array(randomBytes(8 * 1_024));
    let at = 0;
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (at === 4 * 1_024) await nats.server.restart();
        if (at === whole.length) return controller.close();
        controller.enqueue(whole.slice(at, at += 1_024));
      },
    }, { highWaterMark: 0 });
    await blobs.put("a", stream, { timeoutMs: 30_000 });
    assert.deepEqual(await content(blobs, "a"), whole);
    assert.equal(await subjectCount(nats.client, CHUNKS), 8);
  } finally {
    await nats.close();
  }
});

test("when nobody can tell whether the description was stored, its chunks stay", async () => {
  await withProxy(async (blobs, proxy, nats, client) => {
    const { connection } = client;
    const request = connection.request;
    connection.request = (subject, ...rest) => {
      // Its answer is lost, and all that would settle it.
      if (subject.startsWith("$O.files.M.")) proxy.drop({ direction: "toClient" });
      return request.call(connection, subject, ...rest);
    };
    const put = blobs.put("a", new Uint8Array(3_000), { timeoutMs: 800 });
    await assert.rejects(put, code("outcome_unknown"));
    connection.request = request;
    assert.equal(await subjectCount(nats.client, CHUNKS), 3);
    const others = await openBlobs(nats.client, BLOBS);
    assert.equal((await content(others, "a"))?.length, 3_000);
  });
});

test("a description whose answer is lost is settled", async () => {
  await withProxy(async (blobs, proxy, nats, client) => {
    await blobs.put("a", "old");
    const { connection } = client;
    const request = connection.request;
    let revision: number | undefined;
    connection.request = (subject, ...rest) => {
      if (subject.startsWith("$O.files.M.") && revision === undefined) {
        revision = 0;
        proxy.drop({ direction: "toClient" });
      }
      return request.call(connection, subject, ...rest);
    };
    const put = blobs.put("a", new Uint8Array(3_000), { timeoutMs: 20_000 });
    const others = await openBlobs(nats.client, BLOBS);
    await waitUntil(async () => (await others.info("a"))?.sizeBytes === 3_000);
    proxy.heal();
    const receipt = await put;
    assert.equal(receipt.revision, (await others.info("a"))?.revision);
    assert.equal(await subjectCount(nats.client, CHUNKS), 3); // the old chunk is gone
    assert.equal((await content(blobs, "a"))?.length, 3_000);
  });
});

test("without a connection calls fail as the client was told", async () => {
  await withProxy(async (blobs, proxy, _nats, client) => {
    proxy.cut();
    await waitUntil(() => client.status === "reconnecting");
    await assert.rejects(blobs.put("a", "x"), code("not_connected"));
    await assert.rejects(blobs.get("a"), code("not_connected"));
    await assert.rejects(blobs.delete("a"), code("not_connected"));
  });
});

test("reading goes on after the connection was lost", async () => {
  await withProxy(async (blobs, proxy) => {
    const whole = new Uint8Array(randomBytes(10 * 1_024));
    await blobs.put("a", whole);
    const reader = (await blobs.getOrThrow("a", { timeoutMs: 20_000 })).body.getReader();
    const pieces: Uint8Array[] = [];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      if (pieces.length !== 3) continue;
      proxy.cut();
      proxy.heal();
    }
    assert.deepEqual(new Uint8Array(Buffer.concat(pieces)), whole);
  });
});

test("chunks fit into what the server takes; a description that doesn't is refused", async () => {
  const nats = await startTestNats({ server: { config: { max_payload: 8_192 } } });
  try {
    const blobs = await openBlobs(nats.client, { bucket: "files", storage: "memory" });
    const whole = new Uint8Array(randomBytes(20_000));
    await blobs.put("a", whole, { metadata: { note: "x".repeat(4_000) } });
    assert.deepEqual(await content(blobs, "a"), whole);
    await assert.rejects(
      blobs.put("a", "x", { metadata: { note: "x".repeat(8_000) } }),
      code("payload_too_large", "metadata"),
    );
    assert.deepEqual(await content(blobs, "a"), whole);
    assert.equal(nats.client.status, "connected");
  } finally {
    await nats.close();
  }
});

test("replacing or deleting what others wrote removes no chunks but its own", async () => {
  await withBlobs(async (blobs, { client }) => {
    await blobs.put("kept", new Uint8Array(3_000));
    const link = { name: "a", nuid: ">", options: { link: { bucket: "files", name: "kept" } } };
    const lost = { name: "a", nuid: "*", size: 1, chunks: 1, digest: "SHA-256=x" };
    for (const meta of [link, lost, { ...lost, deleted: true }]) {
      await client.jetstream.publish("$O.files.M.YQ==", JSON.stringify(meta));
      await blobs.put("a", "1");
      assert.equal((await content(blobs, "kept"))?.length, 3_000);
      await client.jetstream.publish("$O.files.M.YQ==", JSON.stringify(meta));
      await blobs.delete("a");
      assert.equal((await content(blobs, "kept"))?.length, 3_000);
    }
  });
});
