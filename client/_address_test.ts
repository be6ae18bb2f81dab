import assert from "node:assert/strict";
import { test } from "node:test";
import { type Address, checkConcrete, checkQueue, concreteName, filterName } from "./_address.ts";
import { publish } from "./publish.ts";
import { subject } from "./subject.ts";
import { withMessaging } from "./testdata/nats_ground.ts";
import { text } from "./text.ts";

/** As hand-made objects may be: `subject` would refuse the long ones itself. */
function address(filter: string): Address {
  return { pattern: filter, filter, match: () => ({}) };
}

test("names are measured in bytes, as the server does", () => {
  // Each has 1,024 bytes: of one, two, three and (by surrogate pairs) four bytes a character.
  const longest = ["a".repeat(1024), "é".repeat(512), "€".repeat(341) + "a", "😀".repeat(256)];
  for (const name of longest) {
    assert.equal(checkConcrete("publish to", name), name);
    assert.equal(concreteName("publish to", address(name)), name);
    assert.equal(filterName("subscribe to", address(name)), name);
    const longer = `${name}a`;
    assert.throws(() => checkConcrete("publish to", longer), /1 to 1024 bytes/);
    assert.throws(() => concreteName("publish to", address(longer)), /1 to 1024 bytes/);
    assert.throws(() => filterName("subscribe to", address(longer)), /1 to 1024 bytes/);
  }
  const queue = "€".repeat(85);
  assert.equal(checkQueue("serve", queue), queue);
  assert.throws(() => checkQueue("serve", `${queue}a`), RangeError);
  assert.throws(() => checkQueue("serve", ""), TypeError);
});

test("a reply subject cannot drop the connection", async () => {
  await withMessaging(async (core, nats) => {
    const Long = subject("a".repeat(1024) as "a", text());
    const reply = "€".repeat(1024);
    await assert.rejects(publish(core, Long, "x", { reply }), TypeError);
    await publish(core, Long, "x", { reply: "€".repeat(341) });
    await core.connection.flush();
    assert.equal(nats.client.status, "connected");
  });
});
