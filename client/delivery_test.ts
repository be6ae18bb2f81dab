import assert from "node:assert/strict";
import { test } from "node:test";
import { AckPolicy, StorageType } from "@nats-io/jetstream";
import { type Msg, nanos } from "@nats-io/nats-core";
import { waitUntil } from "../testing/wait_until.ts";
import { parseDelivery } from "./delivery.ts";
import { withConnected } from "./testdata/server_ground.ts";

/** A message as it would arrive; the server lets nobody else publish with such a reply subject. */
function arrived(reply: string | undefined): Msg {
  const message: Partial<Msg> = { subject: "orders.1", data: new TextEncoder().encode("text") };
  return { ...message, ...(reply === undefined ? {} : { reply }) } as Msg;
}

test("both forms of ack subjects are read, and answered there", async () => {
  await withConnected({ server: { jetstream: false } }, async ({ client }) => {
    const answers: string[] = [];
    const subscription = client.connection.subscribe("$JS.ACK.>", {
      callback: (_error, message) => void answers.push(`${message.subject} ${message.string()}`),
    });
    const forms = [
      "$JS.ACK.S.C.3.17.5.1700000000000000000.9",
      "$JS.ACK._.hash.S.C.3.17.5.1700000000000000000.9",
      "$JS.ACK.hub.hash.S.C.3.17.5.1700000000000000000.9.token",
    ];
    for (const form of forms) {
      const delivery = parseDelivery(client.connection, arrived(form));
      assert.deepEqual([delivery?.deliveryCount, delivery?.streamSeq], [3, 17]);
      assert.equal(delivery?.subject, "orders.1");
      assert.equal(new TextDecoder().decode(delivery.data), "text");
      delivery.working();
      delivery.nak(100.3);
      delivery.ack();
    }
    await client.connection.flush();
    subscription.unsubscribe();
    const expected = ["+WPI", '-NAK {"delay":100300000}', "+ACK"];
    assert.deepEqual(answers, forms.flatMap((form) => expected.map((text) => `${form} ${text}`)));
  });
});

test("a message without a sound ack subject is no delivery", async () => {
  // deno-lint-ignore require-await -- nothing is sent
  await withConnected({ server: { jetstream: false } }, async ({ client }) => {
    const replies = [
      undefined,
      "_INBOX.x",
      "$JS.ACK",
      "$JS.ACK.S.C.3.17.5.1700000000000000000",
      "$JS.ACK.hub.S.C.3.17.5.1700000000000000000.9",
      "$JS.NAK.S.C.3.17.5.1700000000000000000.9",
      "$JS.ACK.S.C.three.17.5.1700000000000000000.9",
      "$JS.ACK.S.C.3.1-7.5.1700000000000000000.9",
      "$JS.ACK.S.C.0.17.5.1700000000000000000.9",
      "$JS.ACK.S.C.3.99999999999999999.5.1700000000000000000.9",
    ];
    for (const reply of replies) {
      assert.equal(parseDelivery(client.connection, arrived(reply)), undefined, `${reply}`);
    }
  });
});

test("the server takes the answers: ack, and nak with a fractional delay", async () => {
  await withConnected({}, async ({ client }) => {
    const { connection } = client;
    const { streams, consumers } = await client.manager();
    await streams.add({ name: "S", subjects: ["orders.*"], storage: StorageType.Memory });
    const wait = { ack_wait: nanos(60_000), ack_policy: AckPolicy.Explicit };
    await consumers.add("S", { durable_name: "C", ...wait });
    await client.jetstream.publish("orders.1", "text");
    const next = async () => {
      const body = JSON.stringify({ batch: 1, expires: nanos(10_000) });
      const subject = "$JS.API.CONSUMER.MSG.NEXT.S.C";
      const delivery = parseDelivery(
        connection,
        await connection.request(subject, body, { timeout: 10_000, noMux: true }),
      );
      assert.ok(delivery, "it came with an ack subject");
      return delivery;
    };
    const first = await next();
    assert.deepEqual([first.deliveryCount, first.streamSeq], [1, 1]);
    const startedAt = performance.now();
    first.nak(200.123_456_789);
    const second = await next();
    const tookMs = performance.now() - startedAt;
    assert.deepEqual([second.deliveryCount, second.streamSeq], [2, 1]);
    assert.ok(tookMs >= 195 && tookMs < 30_000, `delivered again after ${tookMs} ms`);
    second.ack();
    await waitUntil(async () => {
      const { ack_floor, num_ack_pending } = await consumers.info("S", "C");
      return ack_floor.stream_seq === 1 && num_ack_pending === 0;
    }, { what: "the ack has arrived" });
  });
});
