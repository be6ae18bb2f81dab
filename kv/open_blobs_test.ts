import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { startTestNats } from "../testing/test_nats.ts";
import type { BlobsOptions } from "./blob_options.ts";
import type { Blobs } from "./blobs.ts";
import { isNotFound } from "./errors.ts";
import { openBlobs } from "./open_blobs.ts";
import { BLOBS, code, counted, subjectCount, withBlobs } from "./testdata/with_blobs.ts";

test("contents of every size come back as they were", async () => {
  await withBlobs(async (blobs) => {
    for (const size of [0, 1, 1_023, 1_024, 1_025, 10_000]) {
      const content = new Uint8Array(randomBytes(size));
      const receipt = await blobs.put(`b${size}`, content);
      const hash = createHash("sha256").update(content).digest("base64");
      assert.equal(receipt.digest, `SHA-256=${hash.replaceAll("+", "-").replaceAll("/", "_")}`);
      assert.equal(receipt.sizeBytes, size);
      const blob = await blobs.getOrThrow(`b${size}`);
      assert.deepEqual(await blob.bytes(), content);
      assert.equal(blob.info.revision, receipt.revision);
      assert.ok(Math.abs(blob.info.time.getTime() - Date.now()) < 60_000);
    }
  });
});

test("a stream is cut into chunks, whatever its pieces are", async () => {
  await withBlobs(async (blobs, { client }) => {
    const whole = new Uint8Array(randomBytes(5_000));
    const sizes = [1, 0, 2_500, 3, 1_024, 1_472];
    let at = 0;
    const { stream } = counted(sizes.map((size) => whole.slice(at, at += size)));
    await blobs.put("s", stream);
    assert.equal(await subjectCount(client, "$O.files.C.>"), 5);
    assert.deepEqual(await (await blobs.getOrThrow("s")).bytes(), whole);
    await blobs.put("t", "Grüße");
    assert.equal(await (await blobs.getOrThrow("t")).text(), "Grüße");
  });
});

test("a put replaces the whole content, and what it replaced is removed", async () => {
  await withBlobs(async (blobs, { client }) => {
    await blobs.put("a", new Uint8Array(5_000));
    const { revision } = await blobs.put("a", "short", { description: "d", metadata: { k: "v" } });
    assert.equal(await subjectCount(client, "$O.files.C.>"), 1);
    assert.equal(await subjectCount(client, "$O.files.M.>"), 1);
    const info = await blobs.info("a");
    assert.equal(info?.revision, revision);
    assert.equal(info.description, "d");
    assert.deepEqual(info.metadata, { k: "v" });
    assert.equal(info.sizeBytes, 5);
  });
});

test("of puts at the same time one stays, and no chunks of the others", async () => {
  await withBlobs(async (blobs, { client }) => {
    const contents = Array.from({ length: 12 }, (_, index) => `${index}`.repeat(3_000));
    const receipts = await Promise.all(contents.map((text) => blobs.put("a", text)));
    const last = receipts.reduce((a, b) => a.revision > b.revision ? a : b);
    const winner = contents[receipts.indexOf(last)]!;
    assert.equal(await (await blobs.getOrThrow("a")).text(), winner);
    assert.equal(await subjectCount(client, "$O.files.C.>"), Math.ceil(winner.length / 1_024));
  });
});

test("what is deleted or never was is undefined, or a typed error", async () => {
  await withBlobs(async (blobs, { client }) => {
    assert.equal(await blobs.get("a"), undefined);
    assert.equal(await blobs.info("a"), undefined);
    assert.equal(await blobs.delete("a"), false);
    await assert.rejects(blobs.getOrThrow("a"), code("key_not_found"));
    await assert.rejects(blobs.getOrThrow("a"), isNotFound);
    await blobs.put("a", new Uint8Array(3_000));
    assert.equal(await blobs.delete("a"), true);
    assert.equal(await blobs.delete("a"), false);
    assert.equal(await blobs.get("a"), undefined);
    assert.equal(await subjectCount(client, "$O.files.C.>"), 0);
    await blobs.put("a", "again");
    assert.equal(await (await blobs.getOrThrow("a")).text(), "again");
  });
});

test("any text is a name, within bounds", async () => {
  await withBlobs(async (blobs, { connection }) => {
    const names = [
      "a.b c",
      " ",
      "\u0120",
      "日本/\u{1f600}",
      "__proto__",
      "*",
      ">",
      "ÿ",
      "x".repeat(1_024),
    ];
    for (const name of names) await blobs.put(name, `content of ${name}`);
    for (const name of names) {
      const blob = await blobs.getOrThrow(name);
      assert.equal(await blob.text(), `content of ${name}`);
      assert.equal(blob.info.name, name);
    }
    const listed: string[] = [];
    for await (const { name } of blobs.list()) listed.push(name);
    assert.deepEqual(listed.sort(), names.sort());
    const { streams } = await jetstreamManager(connection);
    // As the nats CLI writes it.
    assert.ok(await streams.getMessage("OBJ_files", { last_by_subj: "$O.files.M.w78=" }));
    await assert.rejects(blobs.get(""), TypeError);
    await assert.rejects(blobs.get("\ud800"), TypeError);
    await assert.rejects(blobs.get("é".repeat(513)), RangeError);
    await assert.rejects(blobs.put(1 as never, ""), TypeError);
  });
});

test("other clients read what is put, and what they put is read", async () => {
  await withBlobs(async (blobs, { connection }) => {
    const native = await new Objm(connection).open("files");
    const content = new Uint8Array(randomBytes(5_000));
    await blobs.put("ours", content, { description: "d", metadata: { k: "v" } });
    assert.deepEqual(await native.getBlob("ours"), content);
    const info = await native.info("ours");
    assert.equal(info?.description, "d");
    assert.deepEqual(info?.metadata, { k: "v" });
    await native.putBlob({ name: "theirs", description: "t" }, content);
    const theirs = await blobs.getOrThrow("theirs");
    assert.equal(theirs.info.description, "t");
    assert.deepEqual(await theirs.bytes(), content);
    await native.delete("ours");
    assert.equal(await blobs.info("ours"), undefined);
    await blobs.delete("theirs");
    assert.equal(await native.getBlob("theirs"), null);
    const latin = btoa("\xe9t\xe9"); // as it writes names beyond ASCII
    const { streams } = await jetstreamManager(connection);
    await native.putBlob({ name: "\xe9t\xe9" }, content);
    assert.ok(await streams.getMessage("OBJ_files", { last_by_subj: `$O.files.M.${latin}` }));
    const listed: string[] = [];
    for await (const { name } of blobs.list()) listed.push(name);
    assert.deepEqual(listed, ["\xe9t\xe9"]);
    await native.link("link", info!);
    assert.deepEqual((await blobs.info("link"))?.link, { bucket: "files", name: "ours" });
    await assert.rejects(blobs.get("link"), code("unsupported", "ours"));
  });
});

test("a bucket that other clients made is opened; one that differs is refused", async () => {
  const nats = await startTestNats();
  try {
    await new Objm(nats.connection).create("files", { storage: "memory" } as never);
    await openBlobs(nats.client, { bucket: "files" });
    await openBlobs(nats.client, BLOBS);
    await assert.rejects(
      openBlobs(nats.client, { bucket: "files", ttlMs: 60_000 }),
      code("config_drift", "maxAgeMs"),
    );
    await openBlobs(nats.client, { bucket: "files", ttlMs: 60_000, onDrift: "update" });
    const { config } = await nats.stream("OBJ_files");
    assert.equal(config.max_age, 60_000_000_000);
    assert.equal(config.discard, "new");
    await openBlobs(nats.client, { bucket: "files", ttlMs: 5_000, onDrift: "ignore" });
  } finally {
    await nats.close();
  }
});

test("options that make no sense are refused before any I/O", async () => {
  const nats = await startTestNats();
  try {
    const { client } = nats;
    const open = (options: unknown) => openBlobs(client, options as BlobsOptions);
    await assert.rejects(open(undefined), TypeError);
    await assert.rejects(open({ bucket: "a.b" }), TypeError);
    await assert.rejects(open({ bucket: "a", chunks: 1 }), TypeError);
    await assert.rejects(open({ bucket: "a", chunkBytes: 1_023 }), RangeError);
    await assert.rejects(open({ bucket: "a", maxBlobBytes: -1 }), RangeError);
    await assert.rejects(open({ bucket: "a", timeoutMs: 0 }), RangeError);
    await assert.rejects(open({ bucket: "a", compression: "s2" }), TypeError);
    await assert.rejects(open({ bucket: "a", storage: "disk" }), TypeError);
    await assert.rejects(open({ bucket: "a", onDrift: "maybe" }), TypeError);
    const aborted = AbortSignal.abort(new Error("no"));
    await assert.rejects(open({ bucket: "a", signal: aborted }), /no/);
    const blobs = await open(BLOBS);
    await assert.rejects(blobs.put("a", 1 as never), TypeError);
    await assert.rejects(blobs.put("a", "", { metadata: { a: 1 } as never }), TypeError);
    await assert.rejects(blobs.put("a", "", { ttlMs: 1 } as never), TypeError);
    await assert.rejects(blobs.get("a", { timeoutMs: NaN }), RangeError);
    const locked = new ReadableStream<Uint8Array>();
    locked.getReader();
    await assert.rejects(blobs.put("a", locked), TypeError);
    await assert.rejects(blobs.put("a", "", { signal: aborted }), /no/);
    assert.throws(() => blobs.watch({ from: "later" as never }), TypeError);
    assert.throws(() => blobs.watch({ removals: 1 as never }), TypeError);
  } finally {
    await nats.close();
  }
});

test("a watch tells of the state, then of every change", async () => {
  await withBlobs(async (blobs) => {
    await blobs.put("a", "1");
    await blobs.put("b", "1");
    await blobs.put("gone", "1");
    await blobs.delete("gone");
    const seen: string[] = [];
    const watch = blobs.watch();
    const reading = (async () => {
      for await (const { operation, info, initial } of watch) {
        seen.push(`${initial ? "initial " : ""}${operation} ${info.name} ${info.sizeBytes}`);
        if (info.name === "end") break;
      }
    })();
    await watch.ready;
    await blobs.put("a", "22");
    await blobs.delete("b");
    await blobs.put("end", "");
    await reading;
    assert.deepEqual(seen, [
      "initial put a 1",
      "initial put b 1",
      "initial delete gone 0",
      "put a 2",
      "delete b 0",
      "put end 0",
    ]);
    await watch.closed; // break has ended it
    const narrow = blobs.watch({ prefix: "e", removals: false });
    for await (const { info } of narrow) {
      assert.equal(info.name, "end");
      break;
    }
    const { revision } = (await blobs.info("a"))!;
    for await (const { operation, info } of blobs.watch({ from: { afterRevision: revision } })) {
      assert.deepEqual([operation, info.name], ["delete", "b"]);
      break;
    }
    const listed: string[] = [];
    for await (const { name } of blobs.list({ prefix: "a" })) listed.push(name);
    assert.deepEqual(listed, ["a"]);
  });
});

test("blobs that are replaced while they are listed are listed all the same", async () => {
  await withBlobs(async (blobs) => {
    const names = Array.from({ length: 40 }, (_, index) => `b${index}`).sort();
    await Promise.all(names.map((name) => blobs.put(name, "1")));
    let isOver = false;
    const writing = Promise.all(
      names.slice(0, 4).map(async (name) => {
        while (!isOver) await blobs.put(name, "2");
      }),
    );
    try {
      for (let round = 0; round < 10; round++) {
        const listed: string[] = [];
        for await (const { name } of blobs.list()) listed.push(name);
        assert.deepEqual(listed.sort(), names);
      }
    } finally {
      isOver = true;
      await writing;
    }
  });
});

test("a description that can't be read hides no other blob", async () => {
  await withBlobs(async (blobs, { connection }) => {
    await blobs.put("a", "1");
    await connection.request(`$O.files.M.${btoa("broken")}`, "{ nonsense");
    await blobs.put("z", "1");
    const listed: string[] = [];
    for await (const { name } of blobs.list()) listed.push(name);
    assert.deepEqual(listed.sort(), ["a", "z"]);
    await assert.rejects(blobs.info("broken"), code("decode_failed", '"broken"'));
  });
});

test("a watch ends with its signal, and with the bucket", async () => {
  await withBlobs(async (blobs) => {
    const controller = new AbortController();
    const aborted = blobs.watch({ signal: controller.signal });
    const next = aborted[Symbol.asyncIterator]().next();
    controller.abort(new Error("enough"));
    await assert.rejects(next, /enough/);
    const watch = blobs.watch();
    await watch.ready;
    const end = assert.rejects(watch.closed, code("bucket_not_found"));
    const other = await blobs.list()[Symbol.asyncIterator]().next();
    assert.equal(other.done, true);
    await deleteBucketOf(blobs);
    await end;
    await assert.rejects(blobs.get("a"), code("bucket_not_found", "openBlobs"));
    await assert.rejects(blobs.put("a", "x"), code("bucket_not_found", "openBlobs"));
    const listing = blobs.list()[Symbol.asyncIterator]().next();
    await assert.rejects(listing, code("bucket_not_found", "open it again"));
  });
});

/** Behind the back of the watches. */
async function deleteBucketOf(blobs: Blobs): Promise<void> {
  const { destroy } = blobs;
  const close = blobs.close;
  blobs.close = () => Promise.resolve();
  await destroy.call(blobs);
  blobs.close = close;
}

test("closing ends the watches and refuses further calls; destroying deletes the bucket", async () => {
  await withBlobs(async (blobs, nats) => {
    const watch = blobs.watch();
    await watch.ready;
    await blobs.close();
    await blobs.close();
    await watch.closed;
    await assert.rejects(blobs.get("a"), code("connection_closed"));
    assert.throws(() => blobs.watch(), code("connection_closed"));
    assert.equal(nats.client.status, "connected");
    const again = await openBlobs(nats.client, BLOBS);
    await again.destroy();
    await assert.rejects(nats.stream("OBJ_files"));
  });
});
