import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { KeyQueues, MAX_WAITING_UPDATES } from "./_key_queue.ts";
import { isJsflowError } from "../client/errors.ts";

const bounds = { timeoutMs: 10_000, onTimeout: () => new Error("too long") };

test("what is done to one key goes one after the other, in order of arrival", async () => {
  const queues = new KeyQueues<never>();
  const log: string[] = [];
  const step = (key: string, name: string) =>
    queues.run(key, bounds, async () => {
      log.push(`${name} begins`);
      await Promise.resolve();
      log.push(`${name} ends`);
      return name;
    });
  const names = await Promise.all([step("k", "a"), step("k", "b"), step("l", "c"), step("k", "d")]);
  assert.deepEqual(names, ["a", "b", "c", "d"]);
  const own = log.filter((line) => !line.startsWith("c"));
  assert.deepEqual(own, ["a begins", "a ends", "b begins", "b ends", "d begins", "d ends"]);
  assert.ok(log.indexOf("c ends") < log.indexOf("b begins"), "another key waits for nobody");
  assert.equal(queues.size, 0);
});

test("a failure lets the next one go on", async () => {
  const queues = new KeyQueues<never>();
  const failing = queues.run("k", bounds, () => Promise.reject(new Error("no")));
  const next = queues.run("k", bounds, () => Promise.resolve("yes"));
  await assert.rejects(failing, /no/);
  assert.equal(await next, "yes");
  assert.equal(queues.size, 0);
});

test("one that waits can give up", async () => {
  const queues = new KeyQueues<never>();
  const controller = new AbortController();
  const { signal } = controller;
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = queues.run("k", bounds, () => promise);
  const aborted = queues.run("k", { ...bounds, signal }, () => Promise.resolve("never"));
  const late = queues.run("k", { ...bounds, timeoutMs: 1 }, () => Promise.resolve("never"));
  const last = queues.run("k", { ...bounds, signal }, () => Promise.resolve("never"));
  await assert.rejects(late, /too long/);
  controller.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  await assert.rejects(last, /enough/);
  await assert.rejects(queues.run("k", { ...bounds, signal }, () => promise), /enough/);
  assert.equal(getEventListeners(signal, "abort").length, 0);
  resolve();
  await first;
  assert.equal(queues.size, 0);
});

test("something is left only to those that waited when it was found out", async () => {
  const queues = new KeyQueues<string>();
  const { promise: going, resolve: go } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const first = queues.run("k", bounds, async (turn) => {
    await begun;
    turn.begin();
    await going;
    turn.leave("news");
  });
  const early = queues.run("k", bounds, (turn) => {
    const { inherited } = turn;
    if (inherited !== undefined) turn.leave(inherited); // found out no later than it began
    return Promise.resolve(inherited);
  });
  begin();
  await Promise.resolve();
  await Promise.resolve();
  const late = queues.run("k", bounds, ({ inherited }) => Promise.resolve(inherited));
  go();
  await first;
  assert.equal(await early, "news");
  assert.equal(await late, undefined);
});

test("a queue is bounded", async () => {
  const queues = new KeyQueues<never>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const all = Array.from(
    { length: MAX_WAITING_UPDATES + 1 },
    () => queues.run("k", bounds, () => promise),
  );
  const refused = queues.run("k", bounds, () => promise);
  await assert.rejects(refused, (error) => isJsflowError(error, "buffer_full"));
  resolve();
  await Promise.all(all);
  assert.equal(queues.size, 0);
});
