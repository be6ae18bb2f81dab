import assert from "node:assert/strict";
import { test } from "node:test";
import { findConsumer } from "./_consumer_setup.ts";
import { withApiPrefix, withClientCore } from "./testdata/core_ground.ts";

test("a consumer of which the server tells nothing is none", async () => {
  await withClientCore({}, async ({ core }) => {
    await core.manager();
    const asked: string[] = [];
    core.connection.subscribe("MUTE.API.>", {
      callback: (_, message) => {
        asked.push(message.subject);
        message.respond('{"type":"io.nats.jetstream.api.v1.consumer_info_response"}');
      },
    });
    const mute = withApiPrefix(core, "MUTE.API");
    const target = { stream: "S", consumer: "c", signal: undefined, timeoutMs: 5_000 };
    assert.equal(await findConsumer(mute, target), undefined);
    assert.deepEqual(asked, ["MUTE.API.CONSUMER.INFO.S.c"]);
  });
});
