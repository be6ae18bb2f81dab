import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConsumerInfo } from "@nats-io/jetstream";
import { waitUntil } from "../testing/wait_until.ts";
import { ConsumerProgress } from "./_consumer_progress.ts";
import { ConsumerRecovery } from "./_consumer_recovery.ts";
import { parseConsumeOptions } from "./_consumer_settings.ts";
import { openConsumer } from "./_consumer_setup.ts";
import type { ConsumeOptions } from "./consume_options.ts";
import type { StreamDelivery } from "./delivery.ts";
import { json } from "./json.ts";
import { subject } from "./subject.ts";
import { QUICK, withConnected } from "./testdata/server_ground.ts";

interface Ground {
  readonly recovery: ConsumerRecovery;
  readonly errors: unknown[];
  /** For each consumer that took another's place, whether its stream was the same. */
  readonly replaced: boolean[];
  deleteConsumer(): Promise<unknown>;
  deleteStream(): Promise<unknown>;
  endConnection(): Promise<void>;
  restored(): Promise<void>;
}

async function withRecovery(
  options: ConsumeOptions<unknown>,
  use: (ground: Ground) => Promise<void>,
): Promise<void> {
  await withConnected({ client: QUICK }, async ({ server, client, core }) => {
    const settings = parseConsumeOptions(subject("n.{part}", json()), {
      name: "c",
      autoCreate: true,
      ...options,
    }) as never;
    const found = await openConsumer(core, settings, "c");
    const progress = new ConsumerProgress();
    progress.reset(found.info);
    const errors: unknown[] = [];
    const replaced: boolean[] = [];
    let isRestored = false;
    const recovery = new ConsumerRecovery({
      core,
      settings,
      found,
      progress,
      onRestored: () => isRestored = true,
      onEvent: () => {},
      onReplaced: (_info: ConsumerInfo, isSameStream) => void replaced.push(isSameStream),
      onError: (error) => void errors.push(error),
      onFatal: (error) => void errors.push(error),
    });
    const manager = await client.manager();
    try {
      await use({
        recovery,
        errors,
        replaced,
        deleteConsumer: () => manager.consumers.delete(found.stream, "c").catch(() => {}),
        deleteStream: () => manager.streams.delete(found.stream),
        endConnection: () => server.stop(),
        restored: async () => {
          await waitUntil(() => isRestored, { what: "it is restored", timeoutMs: 30_000 });
          isRestored = false;
        },
      });
    } finally {
      await recovery.close();
    }
  });
}

test("who uses the consumer is told whether a new one belongs to the same stream", async () => {
  await withRecovery({}, async (ground) => {
    await ground.deleteConsumer();
    ground.recovery.trouble("consumer_gone", "deleted");
    await ground.restored();
    assert.deepEqual(ground.replaced, [true]);
    await ground.deleteStream();
    ground.recovery.trouble("consumer_gone", "deleted");
    await ground.restored();
    assert.deepEqual(ground.replaced, [true, false]);
    await ground.deleteConsumer();
    ground.recovery.trouble("consumer_gone", "deleted");
    await ground.restored();
    assert.deepEqual(ground.replaced, [true, false, true]);
  });
});

test("once the connection is back, the pauses between looks are short again", async () => {
  await withRecovery({}, async (ground) => {
    const { errors, recovery } = ground;
    await ground.endConnection();
    recovery.trouble("silent", "nothing heard");
    const fails = (count: number) =>
      waitUntil(() => errors.length >= count, { what: `${count} looks fail`, intervalMs: 1 });
    await fails(1);
    for (let count = 2; count <= 9; count++) {
      await waitUntil(() => (recovery.hurry(), errors.length >= count), { what: `${count}` });
    }
    // One look is at once; after nine failures the next would take a quarter of a minute at least.
    await fails(errors.length + 3);
  });
});

test("with nothing open at the server, a position that others moved is certain again", () => {
  const delivery = (consumerSeq: number, streamSeq: number) =>
    ({ consumerSeq, streamSeq }) as StreamDelivery;
  const position = (consumerSeq: number, floor: number, open: number) => ({
    num_ack_pending: open,
    ack_floor: { stream_seq: floor },
    delivered: { consumer_seq: consumerSeq, stream_seq: consumerSeq },
  });
  const progress = new ConsumerProgress();
  progress.reset(position(0, 0, 0));
  progress.received(delivery(2, 2), true); // somebody else got the first
  assert.equal(progress.resumeAt, 1);
  progress.refresh(position(4, 1, 2));
  assert.equal(progress.resumeAt, 2);
  progress.received(delivery(5, 5), true);
  progress.refresh(position(4, 4, 0)); // said before the fifth was sent
  progress.received(delivery(6, 6), false);
  assert.equal(progress.resumeAt, 5);
  progress.refresh(position(6, 6, 0));
  assert.equal(progress.resumeAt, 7);
  progress.received(delivery(7, 9), true);
  assert.equal(progress.resumeAt, 9);
});
