import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "./wait_until.ts";

test("waitUntil resolves with the first truthy value", async () => {
  let calls = 0;
  const value: string = await waitUntil(() => ++calls < 3 ? undefined : "here", { intervalMs: 1 });
  assert.equal(value, "here");
  assert.equal(calls, 3);
});

test("waitUntil names what it waited for, and the last error", async () => {
  const broken = () => {
    throw new Error("not connected");
  };
  await assert.rejects(
    waitUntil(broken, { what: "the leader is elected", timeoutMs: 30, intervalMs: 1 }),
    (error: Error) => {
      assert.match(error.message, /waited 30 ms until the leader is elected, in vain: not conn/);
      assert.equal((error.cause as Error).message, "not connected");
      return true;
    },
  );
});

test("waitUntil gives up on a check that never ends", async () => {
  await assert.rejects(waitUntil(() => new Promise(() => {}), { timeoutMs: 20 }), /in vain$/);
});

test("waitUntil ends with the signal's reason", async () => {
  const controller = new AbortController();
  const waiting = waitUntil(() => false, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /^Error: enough$/);
  await assert.rejects(waitUntil(() => true, { signal: controller.signal }), /enough/);
});

test("waitUntil refuses options that make no sense", async () => {
  await assert.rejects(waitUntil("soon" as never), TypeError);
  await assert.rejects(waitUntil(() => true, { timeoutMs: -1 }), RangeError);
  await assert.rejects(waitUntil(() => true, { timeout: 1 } as never), /does not know.*"timeout"/);
});
