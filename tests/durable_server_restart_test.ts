import assert from "node:assert/strict";
import { test } from "node:test";
import type { InvocationHandle } from "../durable/mod.ts";
import { waitUntil } from "../testing/mod.ts";
import { faultCount } from "./_fault_count.ts";
import { STEP_NAMES } from "./_five_steps_scene.ts";
import { type Ground, onGround } from "./_ground.ts";
import { journalEvents, outcomeNames } from "./_journals.ts";
import { readEffects } from "./programs/effects.ts";
import { fiveSteps, fiveStepsResult, STEPS } from "./programs/five_steps.ts";

const WORKFLOWS = 100;
const KILLS = 3;
const ROUNDS = faultCount({ ci: 1, soak: 20 });

/** Waits so long that the restarts fall between the steps of most workflows. */
const STEP_MS = 20;

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
    Array.from(
      { length: WORKFLOWS },
      (_, index) => durable.start(five, index, { id: `o-${index}` }),
    ),
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
  for (const handle of handles) await endedOnce(handle);
  assert.equal(calls.size, WORKFLOWS * STEPS, "every step ran, with one key each");
}

async function endedOnce(handle: InvocationHandle<number>): Promise<void> {
  assert.deepEqual(outcomeNames(await journalEvents(handle)), STEP_NAMES);
  assert.equal((await handle.status()).status, "completed");
}

test("100 workflows outlive a server that is killed and restarted several times", async () => {
  await onGround(async (ground) => {
    for (let round = 0; round < ROUNDS; round++) {
      await restartUnderLoad(ground, ground.name("restart"));
    }
  });
});

test("workflows outlive the loss of the server and of all workers at the same moment", async () => {
  await onGround(async (ground) => {
    for (let round = 0; round < ROUNDS; round++) {
      const [namespace, effects] = [ground.name("outage"), ground.file("effects")];
      const five = fiveSteps(() => {});
      const durable = ground.durable({ namespace });
      const handles = await Promise.all(
        Array.from({ length: 30 }, (_, index) => durable.start(five, index, { id: `o-${index}` })),
      );
      const common = { namespace, ackWaitMs: 1_000 };
      const lost = [1, 2].map(() =>
        ground.fiveStepsWorker({ ...common, effects, stepMs: STEP_MS })
      );
      const begun = () => readEffects(effects).length;
      await waitUntil(() => begun() >= 60, { what: "60 steps have begun", timeoutMs: 20_000 });
      for (const worker of lost) worker.kill("SIGKILL");
      await ground.server.kill();
      await Promise.all(lost.map((worker) => worker.exit));
      await ground.server.restart();
      await ground.worker({ ...common, workflows: [five] });
      const results = await Promise.all(handles.map((it) => it.result({ timeoutMs: 30_000 })));
      assert.deepEqual(results, handles.map((_, index) => fiveStepsResult(index)));
      for (const handle of handles) await endedOnce(handle);
    }
  });
});
