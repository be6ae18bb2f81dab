import assert from "node:assert/strict";
import { test } from "node:test";
import type { InvocationHandle } from "../durable/mod.ts";
import { waitUntil } from "../testing/mod.ts";
import { faultCount } from "./_fault_count.ts";
import { type Ground, onGround } from "./_ground.ts";
import { commandsSettled, journalEvents, outcomeNames } from "./_journals.ts";
import { fiveSteps, fiveStepsResult, STEPS } from "./programs/five_steps.ts";

const WORKFLOWS = 100;
const KILLS = 3;
const ROUNDS = faultCount({ ci: 1, soak: 20 });

/** Waits so long that the restarts fall between the steps of most workflows. */
const STEP_MS = 20;

const steps = Array.from({ length: STEPS }, (_, index) => `step-${index}`);

async function restartUnderLoad(ground: Ground, namespace: string): Promise<void> {
  const calls = new Map<string, number>();
  const five = fiveSteps(async (_step, { idempotencyKey: key }) => {
    calls.set(key, (calls.get(key) ?? 0) + 1);
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  });
  const settings = { namespace, workflows: [five], ackWaitMs: 2_000, maxConcurrent: 15 };
  for (let worker = 0; worker < 2; worker++) await ground.worker(settings);
  const durable = ground.durable({ namespace }, await ground.connect());
  const handles: InvocationHandle<number>[] = await Promise.all(
    Array.from({ length: WORKFLOWS }, (_, index) =>
      durable.start(five, index, { id: `o-${index}` })),
  );
  const results = Promise.all(handles.map((handle) => handle.result({ timeoutMs: 60_000 })));
  results.catch(() => {}); // awaited below, after the kills

  for (let kill = 1; kill <= KILLS; kill++) {
    const progress = (WORKFLOWS * STEPS * kill) / (KILLS + 1);
    await waitUntil(() => calls.size >= progress, {
      what: `${progress} steps have begun`,
      timeoutMs: 30_000,
      intervalMs: 1,
    });
    await ground.server.kill();
    await ground.server.restart();
  }
  assert.deepEqual(await results, handles.map((_, index) => fiveStepsResult(index)));
  await commandsSettled(ground.client, namespace).catch(async (error) => {
    const m = await ground.client.manager();
    const st = `JSFLOW_${namespace}_COMMANDS`;
    const info = await m.streams.info(st, { subjects_filter: ">" });
    console.log(JSON.stringify(info.state), ground.server.version);
    for await (const c of m.consumers.list(st)) console.log(JSON.stringify(c));
    for (const s of Object.keys(info.state.subjects ?? {})) {
      const msg = await m.streams.getMessage(st, { last_by_subj: s });
      const id = s.split('.').at(-1)!;
      const ev = await journalEvents(durable.handle(five, id));
      console.log(s, msg?.seq, ev.map((e) => `${e.seq}:${e.type}:${e.epoch}`).join(" "));
    }
    throw error;
  });
  for (const handle of handles) {
    assert.deepEqual(outcomeNames(await journalEvents(handle)), steps);
    assert.equal((await handle.status()).status, "completed");
  }
  assert.equal(calls.size, WORKFLOWS * STEPS, "every step ran, with one key each");
}

test("100 workflows outlive a server that is killed and restarted several times", async () => {
  await onGround(async (ground) => {
    for (let round = 0; round < ROUNDS; round++) {
      await restartUnderLoad(ground, ground.name("restart"));
    }
  });
});
