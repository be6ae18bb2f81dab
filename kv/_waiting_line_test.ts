import assert from "node:assert/strict";
import { test } from "node:test";
import { WaitingLine } from "./_waiting_line.ts";

const NEVER = new AbortController().signal;

test("callers come through one at a time, in order", async () => {
  const line = new WaitingLine();
  const order: number[] = [];
  let inside = 0;
  await Promise.all([1, 2, 3, 4].map(async (caller) => {
    const leave = await line.enter(NEVER);
    assert.equal(++inside, 1);
    await Promise.resolve();
    order.push(caller);
    inside--;
    leave();
  }));
  assert.deepEqual(order, [1, 2, 3, 4]);
  assert.equal(line.isBusy, false);
});

test("who gives up leaves the line, and is not called up", async () => {
  const line = new WaitingLine();
  const leave = await line.enter(NEVER);
  const [second, third] = [new AbortController(), line.enter(NEVER)];
  const fourth = line.enter(second.signal);
  second.abort(new Error("enough"));
  await assert.rejects(fourth, /enough/);
  leave();
  (await third)();
  assert.equal(line.isBusy, false);
  await assert.rejects(line.enter(second.signal), /enough/);
  assert.equal(line.isBusy, false);
});

test("a caller that gives up once it was called up holds its turn, to pass it on", async () => {
  const line = new WaitingLine();
  const leave = await line.enter(NEVER);
  const controller = new AbortController();
  const second = line.enter(controller.signal);
  leave();
  controller.abort();
  const third = line.enter(NEVER);
  (await second)();
  (await third)();
  assert.equal(line.isBusy, false);
});
