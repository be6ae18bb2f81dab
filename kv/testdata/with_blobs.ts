import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import type { Client } from "../../client/client.ts";
import { isJsflowError } from "../../client/errors.ts";
import { startTestNats, type TestNats } from "../../testing/test_nats.ts";
import type { BlobsOptions } from "../blob_options.ts";
import type { Blobs } from "../blobs.ts";
import { openBlobs } from "../open_blobs.ts";

export const BLOBS: BlobsOptions = { bucket: "files", storage: "memory", chunkBytes: 1_024 };

export async function withBlobs(
  use: (blobs: Blobs, nats: TestNats) => Promise<void>,
  options: Partial<BlobsOptions> = {},
): Promise<void> {
  const nats = await startTestNats();
  try {
    const blobs = await openBlobs(nats.client, { ...BLOBS, ...options });
    try {
      await use(blobs, nats);
    } finally {
      await blobs.close();
    }
  } finally {
    await nats.close();
  }
}

export function code(expected: string, part = ""): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isJsflowError(error), String(error));
    assert.equal(error.code, expected, error.message);
    assert.ok(error.message.includes(part), error.message);
    return true;
  };
}

/** A stream that counts what was taken from it. */
export function counted(
  pieces: Iterable<Uint8Array>,
): { stream: ReadableStream<Uint8Array>; state: { taken: number; cancelled: unknown[] } } {
  const state = { taken: 0, cancelled: [] as unknown[] };
  const iterator = pieces[Symbol.iterator]();
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) return controller.close();
      state.taken++;
      controller.enqueue(value);
    },
    cancel(reason) {
      state.cancelled.push(reason);
    },
  }, { highWaterMark: 0 });
  return { stream, state };
}

export async function subjectCount(client: Client, filter: string): Promise<number> {
  const { streams } = await jetstreamManager(client.connection);
  const { state } = await streams.info("OBJ_files", { subjects_filter: filter });
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
}
