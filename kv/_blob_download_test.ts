import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import type { Client } from "../client/client.ts";
import { isJsflowError } from "../client/errors.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { BlobDamagedError } from "./blob_damaged_error.ts";
import type { Blobs } from "./blobs.ts";
import { openBlobs } from "./open_blobs.ts";
import { code, withBlobs } from "./testdata/with_blobs.ts";

const STREAM = "OBJ_files";
const CHUNKS = "$O.files.C.>";

/** Deletes the last chunk of the only blob, and returns its subject and content. */
async function dropLastChunk(client: Client): Promise<{ subject: string; data: Uint8Array }> {
  const { streams } = await jetstreamManager(client.connection);
  const found = await streams.getMessage(STREAM, { last_by_subj: CHUNKS });
  assert.ok(found);
  await streams.deleteMessage(STREAM, found.seq);
  return { subject: found.subject, data: found.data };
}

function damaged(part: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof BlobDamagedError, String(error));
    assert.equal(error.name, "BlobDamagedError");
    assert.equal(error.code, "decode_failed");
    assert.deepEqual([error.bucket, error.blob], ["files", "a"]);
    assert.ok(error.message.includes(part), error.message);
    return true;
  };
}

test("a chunk that was changed is noticed before the last one is handed out", async () => {
  await withBlobs(async (blobs, { client }) => {
    await blobs.put("a", new Uint8Array(3_000));
    const { subject, data } = await dropLastChunk(client);
    const other = data.slice();
    other[0] = 1;
    await client.jetstream.publish(subject, other);
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const chunk of (await blobs.getOrThrow("a")).body) seen.push(chunk.length);
    }, damaged("its digest is SHA-256="));
    assert.ok(seen.length <= 2, `${seen}`);
    await assert.rejects((await blobs.getOrThrow("a")).bytes(), damaged("digest"));
    await blobs.put("a", "mended");
    assert.equal(await (await blobs.getOrThrow("a")).text(), "mended");
  });
});

test("a chunk that is missing or too much is noticed", async () => {
  await withBlobs(async (blobs, { client }) => {
    await blobs.put("a", new Uint8Array(3_000));
    const { subject, data } = await dropLastChunk(client);
    await assert.rejects((await blobs.getOrThrow("a")).bytes(), damaged("952 of 3000 bytes"));
    await client.jetstream.publish(subject, new Uint8Array(data.length + 1));
    await assert.rejects((await blobs.getOrThrow("a")).bytes(), damaged("more than 3000"));
  });
});

test("where replicas don't answer for themselves the leader is asked", async () => {
  await withBlobs(async (blobs, { client }) => {
    const { streams } = await jetstreamManager(client.connection);
    await streams.update(STREAM, { allow_direct: false });
    const content = new Uint8Array(randomBytes(3_000));
    await blobs.put("a", content);
    const again = await openBlobs(client, { bucket: "files" });
    assert.deepEqual(await (await again.getOrThrow("a")).bytes(), content);
  });
});

test("a description that can't be read is a typed error, and can be replaced", async () => {
  await withBlobs(async (blobs, { client }) => {
    for (const text of ["", "nonsense", "[]", "null", '{"name":"a","size":-1}', '{"name":"a"}']) {
      await client.jetstream.publish("$O.files.M.YQ==", text);
      await assert.rejects(blobs.get("a"), damaged("description"));
    }
    for await (const { name } of blobs.list()) assert.fail(`${name} is listed`);
    const watch = blobs.watch();
    await assert.rejects(async () => {
      for await (const _ of watch);
    }, (error: Error) => isJsflowError(error, "decode_failed") && damaged("")(error.cause));
    await blobs.put("a", "mended");
    assert.equal(await (await blobs.getOrThrow("a")).text(), "mended");
    await client.jetstream.publish("$O.files.M.YQ==", "nonsense");
    assert.equal(await blobs.delete("a"), true);
    assert.equal(await blobs.get("a"), undefined);
  });
});

test("a digest of another kind is refused", async () => {
  await withBlobs(async (blobs, { client }) => {
    const meta = { name: "a", bucket: "files", nuid: "x", size: 1, chunks: 1, digest: "MD5=x" };
    await client.jetstream.publish("$O.files.M.YQ==", JSON.stringify(meta));
    await assert.rejects(blobs.get("a"), code("unsupported", "MD5"));
  });
});

test("a slow reader keeps no more than a few chunks waiting", async () => {
  await withBlobs(async (blobs, { connection }) => {
    await blobs.put("a", new Uint8Array(100 * 1_024));
    const readBytes = () => connection.stats().inBytes;
    const start = readBytes();
    const reader = (await blobs.getOrThrow("a")).body.getReader();
    for (let chunks = 1; chunks <= 5; chunks++) {
      await reader.read();
      let before = -1;
      await waitUntil(() => before === (before = readBytes()), { what: "reading stops" });
      const bound = (chunks + 3) * 1_400; // a chunk and its headers
      assert.ok(before - start < bound, `${before - start} after ${chunks}`);
    }
    await reader.cancel();
  });
});

test("nothing is read before the body is looked at", async () => {
  await withBlobs(async (blobs, { connection }) => {
    await blobs.put("a", new Uint8Array(2_000));
    const blob = await blobs.getOrThrow("a");
    await connection.flush();
    const before = connection.stats().inMsgs;
    assert.equal(blob.info.sizeBytes, 2_000);
    await connection.flush();
    assert.equal(connection.stats().inMsgs, before);
    assert.equal(blob.body, blob.body);
    await blob.body.cancel();
  });
});

test("an abort ends the reading with its reason, at any time", async () => {
  await withBlobs(async (blobs) => {
    await blobs.put("a", new Uint8Array(20 * 1_024));
    const controller = new AbortController();
    const blob = await blobs.getOrThrow("a", { signal: controller.signal });
    const reader = blob.body.getReader();
    await reader.read();
    controller.abort(new Error("enough"));
    await assert.rejects(reader.read(), /enough/);
    const other = new AbortController();
    const late = await blobs.getOrThrow("a", { signal: other.signal });
    other.abort(new Error("before"));
    await assert.rejects(late.bytes(), /before/);
  });
});

test("break and cancel end the reading, and leave no listener", async () => {
  await withBlobs(async (blobs) => {
    await blobs.put("a", new Uint8Array(20 * 1_024));
    const { signal } = new AbortController();
    let added = 0;
    const listeners = new Set<unknown>();
    const { addEventListener: add, removeEventListener: remove } = signal;
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      added++;
      listeners.add(args[1]);
      add.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners.delete(args[1]);
      remove.apply(signal, args);
    };
    for await (const _ of (await blobs.getOrThrow("a", { signal })).body) break;
    await (await blobs.getOrThrow("a", { signal })).body.cancel();
    await (await blobs.getOrThrow("a", { signal })).bytes();
    await waitUntil(() => listeners.size === 0, { what: "the listeners are gone" });
    assert.ok(added >= 3);
  });
});

test("a blob that is replaced or deleted while it is read says so", async () => {
  await withBlobs(async (blobs) => {
    const readers = async (name: string) => {
      await blobs.put(name, new Uint8Array(50 * 1_024));
      const reader = (await blobs.getOrThrow(name)).body.getReader();
      await reader.read();
      return reader;
    };
    const drain = async (reader: ReadableStreamDefaultReader<Uint8Array>) => {
      while (!(await reader.read()).done);
    };
    const replaced = await readers("a");
    await blobs.put("a", "new");
    await assert.rejects(drain(replaced), code("revision_conflict", "read it again"));
    const deleted = await readers("b");
    await blobs.delete("b");
    await assert.rejects(drain(deleted), code("revision_conflict"));
    await assertGone(blobs);
  });
});

async function assertGone(blobs: Blobs): Promise<void> {
  await blobs.put("c", new Uint8Array(50 * 1_024));
  const reader = (await blobs.getOrThrow("c")).body.getReader();
  await reader.read();
  await blobs.destroy();
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
  }, code("bucket_not_found"));
}

test("what is collected is bounded", async () => {
  await withBlobs(async (blobs) => {
    await blobs.put("a", new Uint8Array(2_000));
    const blob = await blobs.getOrThrow("a");
    await assert.rejects(blob.bytes({ maxBytes: 1_999 }), code("payload_too_large", "maxBytes"));
    await assert.rejects(blob.bytes({ maxBytes: -1 }), RangeError);
    assert.equal((await blob.bytes({ maxBytes: 2_000 })).length, 2_000);
    await assert.rejects(blob.bytes(), TypeError); // it can be read once
    await blobs.put("b", new Uint8Array([0xff]));
    await assert.rejects((await blobs.getOrThrow("b")).text(), code("decode_failed", "UTF-8"));
  });
});

test("when replicas stop answering for themselves the leader is asked", async () => {
  await withBlobs(async (blobs, { client }) => {
    const content = new Uint8Array(randomBytes(3_000));
    await blobs.put("a", content);
    const { streams } = await jetstreamManager(client.connection);
    await streams.update(STREAM, { allow_direct: false }); // behind the back of what is open
    const blob = await blobs.getOrThrow("a", { timeoutMs: 1_000 });
    assert.deepEqual(await blob.bytes(), content);
  });
});
