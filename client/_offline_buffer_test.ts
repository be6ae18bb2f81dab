import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { waitUntil } from "../testing/wait_until.ts";
import { OfflineBuffer } from "./_offline_buffer.ts";
import { ConnectionTimeoutError } from "./connection_errors.ts";

const LONG = { timeoutMs: 60_000 };

function buffer(bounds: Partial<{ maxMessages: number; maxBytes: number }> = {}): OfflineBuffer {
  const { maxMessages = 3, maxBytes = 100 } = bounds;
  return new OfflineBuffer({ maxMessages, maxBytes });
}

test("lets go in order, and holds newcomers back until the first have acted", async () => {
  const target = buffer();
  const order: string[] = [];
  let isDown = true;
  const act = async (name: string, layers: number) => {
    if (isDown || target.isBusy) await target.wait(name, LONG);
    for (let i = 0; i < layers; i++) await Promise.resolve();
    order.push(name);
  };
  const first = [act("1", 5), act("2", 0)];
  assert.equal(target.size, 2);
  isDown = false;
  target.open();
  assert.ok(target.isBusy);
  const late = act("3", 0);
  await Promise.all([...first, late]);
  assert.deepEqual(order, ["1", "2", "3"]);
  await waitUntil(() => !target.isBusy, { what: "nobody waits any more" });
});

test("its bounds are in messages and bytes; what would exceed them fails at once", async () => {
  const target = buffer();
  const waiting = [
    target.wait("a", { ...LONG, bytes: 60 }),
    target.wait("b", { ...LONG, bytes: 40 }),
  ];
  await assert.rejects(target.wait("publish to c", { ...LONG, bytes: 1 }), {
    code: "buffer_full",
    message: /cannot publish to c: 2 operations with 100 bytes/,
  });
  waiting.push(target.wait("d", LONG));
  await assert.rejects(target.wait("e", LONG), { code: "buffer_full" });
  target.open();
  await Promise.all(waiting);
  target.shut();
  const again = target.wait("f", { ...LONG, bytes: 100 });
  target.fail((what) => new Error(`closed ${what}`));
  await assert.rejects(again, /closed f/);
});

test("one that gives up leaves nothing behind, and its place free", async () => {
  const target = buffer({ maxMessages: 2 });
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = target.wait("a", { ...LONG, signal });
  const late = target.wait("publish to b", { timeoutMs: 5 });
  await assert.rejects(target.wait("c", LONG), { code: "buffer_full" });
  const reason = new Error("not needed");
  controller.abort(reason);
  await assert.rejects(aborted, reason);
  await assert.rejects(late, (error) => {
    assert.ok(error instanceof ConnectionTimeoutError);
    assert.equal(error.timeoutMs, 5);
    assert.match(error.message, /cannot publish to b: .* within 5 ms/);
    return true;
  });
  assert.equal(target.size, 0);
  assert.ok(!target.isBusy);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("waiting leaves no listener on a signal that did not abort", async () => {
  const target = buffer();
  const { signal } = new AbortController();
  const late = target.wait("a", { timeoutMs: 5, signal });
  await assert.rejects(late, ConnectionTimeoutError);
  const fine = target.wait("b", { ...LONG, signal });
  target.open();
  await fine;
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a connection that is lost again holds back those whose turn has not come", async () => {
  const target = buffer();
  const first = target.wait("1", LONG);
  const second = target.wait("2", LONG);
  target.open();
  await first;
  target.shut();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  assert.equal(target.size, 1);
  target.open();
  await second;
});

test("while it may let nobody go, all wait in their order", async () => {
  let mayGo = false;
  const target = new OfflineBuffer({ maxMessages: 3, maxBytes: 100 }, () => mayGo);
  const order: string[] = [];
  const first = target.wait("1", LONG).then(() => {
    order.push("1");
    mayGo = false;
  });
  const second = target.wait("2", LONG).then(() => order.push("2"));
  const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  target.open();
  await turn();
  assert.equal(target.size, 2);
  mayGo = true;
  target.open();
  await first;
  await turn();
  assert.deepEqual([target.size, target.isBusy], [1, true]);
  mayGo = true;
  target.open();
  await second;
  assert.deepEqual(order, ["1", "2"]);
});
