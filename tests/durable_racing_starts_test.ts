import assert from "node:assert/strict";
import { test } from "node:test";
import type { DurableClient } from "../durable/mod.ts";
import { waitUntil } from "../testing/mod.ts";
import { faultCount } from "./_fault_count.ts";
import { newGate } from "./_gate.ts";
import { type Ground, onGround } from "./_ground.ts";
import {
  commandsSettled,
  countEvents,
  journalEvents,
  outcomeNames,
  rawJournal,
} from "./_journals.ts";
import { fiveSteps, fiveStepsResult, STEPS } from "./programs/five_steps.ts";

const STARTS = 200;
const CONNECTIONS = 5;
const ROUNDS = faultCount({ ci: 2, soak: 100 });

const namespace = "racing";
const id = "o-1";

/** Starts one id from every client at once, each time with another input. */
async function race(clients: readonly DurableClient[], calls: string[], id: string): Promise<void> {
  const five = fiveSteps((step, { idempotencyKey }) => calls.push(`${step} ${idempotencyKey}`));
  const results = await Promise.all(Array.from({ length: STARTS }, async (_, index) => {
    const handle = await clients[index % clients.length]!.start(five, index, { id });
    return await handle.result({ timeoutMs: 30_000 });
  }));
  assert.equal(new Set(results).size, 1, "everybody gets the same result");
  const possible = Array.from({ length: STARTS }, (_, index) => fiveStepsResult(index));
  assert.ok(possible.includes(results[0]!), "it is the result of one of the starts");
  const expected = Array.from({ length: STEPS }, (_, step) => `${step} five/${id}/${step}`);
  assert.deepEqual(calls.filter((call) => call.includes(`/${id}/`)), expected);
  const events = await journalEvents(clients[0]!.handle(five, id));
  assert.equal(countEvents(events, "started"), 1);
  assert.equal(countEvents(events, "claimed"), 1);
  assert.equal(countEvents(events, "completed"), 1);
  assert.equal(outcomeNames(events).length, STEPS);
}

/** Workers and clients, each on a connection of its own. */
async function openRace(
  ground: Ground,
  calls: string[],
): Promise<DurableClient[]> {
  const five = fiveSteps((step, { idempotencyKey }) => calls.push(`${step} ${idempotencyKey}`));
  for (let worker = 0; worker < 2; worker++) {
    await ground.worker({ namespace, workflows: [five], ackWaitMs: 5_000 });
  }
  return await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    return ground.durable({ namespace }, await ground.connect());
  }));
}

/** Shortens the window in which the command stream drops duplicates, and waits until it is over. */
async function outlastDeduplication(ground: Ground): Promise<void> {
  const { streams } = await ground.client.manager();
  const stream = `JSFLOW_${namespace}_COMMANDS`;
  const { config } = await streams.info(stream);
  await streams.update(stream, { ...config, duplicate_window: 100_000_000 });
  const probe = async () => {
    const subject = `jsflow.${namespace}.cmd.probe.start.probe.-.probe`;
    const ack = await ground.client.jetstream.publish(subject, "", { msgID: "probe" });
    return !ack.duplicate;
  };
  await probe();
  await waitUntil(probe, { what: "the deduplication window is over", intervalMs: 50 });
  await streams.purge(stream, { filter: `jsflow.${namespace}.cmd.probe.>` });
}

test("200 racing starts of one id run it once, and all get its result", async () => {
  await onGround(async (ground) => {
    const calls: string[] = [];
    const clients = await openRace(ground, calls);
    for (let round = 0; round < ROUNDS; round++) await race(clients, calls, `o-${round}`);
    await commandsSettled(ground.client, namespace);
  });
});

test("an id that was started long ago is not run again", async () => {
  await onGround(async (ground) => {
    const calls: string[] = [];
    const clients = await openRace(ground, calls);
    await race(clients, calls, id);
    await commandsSettled(ground.client, namespace);
    const address = { namespace, workflow: "five", id };
    const ended = await rawJournal(ground.client, address);
    await outlastDeduplication(ground);
    await race(clients, calls, id);
    await commandsSettled(ground.client, namespace);
    assert.deepEqual(await rawJournal(ground.client, address), ended);
  });
});

test("starts that come while it runs get the result of the first one", async () => {
  await onGround(async (ground) => {
    const gate = newGate();
    const calls: number[] = [];
    const five = fiveSteps(async (step) => {
      calls.push(step);
      await gate.pass();
    });
    await ground.worker({ namespace, workflows: [five], ackWaitMs: 5_000 });
    const durable = ground.durable({ namespace });
    const first = await durable.start(five, 1, { id });
    await gate.reached;
    const later = await Promise.all(
      Array.from({ length: 20 }, (_, index) => durable.start(five, index + 2, { id })),
    );
    await waitUntil(
      async () => countEvents(await journalEvents(first), "attached") === 20,
      { what: "all later starters are listed" },
    );
    gate.open();
    const results = await Promise.all([first, ...later].map((handle) => handle.result()));
    assert.deepEqual(new Set(results), new Set([fiveStepsResult(1)]));
    assert.deepEqual(calls, [0, 1, 2, 3, 4]);
  });
});
