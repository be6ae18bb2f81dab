import assert from "node:assert/strict";
import process from "node:process";
import type { InvocationHandle, Worker } from "../durable/mod.ts";
import type { SpawnedProgram } from "../testing/mod.ts";
import type { Ground } from "./_ground.ts";
import { commandsSettled, rawJournal, type RawRecord } from "./_journals.ts";
import { addEffect } from "./programs/effects.ts";
import { fiveSteps, fiveStepsResult, type StepEffect, STEPS } from "./programs/five_steps.ts";
import type { FiveStepsWorkerConfig } from "./programs/five_steps_worker.ts";

/** The names of the steps, in their order. */
export const STEP_NAMES: readonly string[] = Array.from(
  { length: STEPS },
  (_, index) => `step-${index}`,
);

/** An invocation in the hands of a worker in another process. */
export interface FiveStepsScene {
  readonly namespace: string;
  /** File with the effects of all workers. */
  readonly effects: string;
  /** The worker in the other process. */
  readonly first: SpawnedProgram;
  readonly handle: InvocationHandle<number>;
  /** The stored records, byte by byte. */
  journal(): Promise<RawRecord[]>;
  /** Another worker, in this process, which adds its effects to the same file. */
  rescue(effect?: StepEffect): Promise<Worker>;
  /** Lets such a worker run the invocation to its end, and returns what is stored then. */
  rescueToEnd(): Promise<RawRecord[]>;
}

/** Starts an invocation with this input, and a worker that behaves as it is told. */
export async function openScene(
  ground: Ground,
  behaviour: Omit<FiveStepsWorkerConfig, "url" | "namespace" | "effects">,
  input = 1,
): Promise<FiveStepsScene> {
  const [namespace, effects] = [ground.name("scene"), ground.file("effects")];
  const { ackWaitMs } = behaviour;
  const durable = ground.durable({ namespace });
  const handle = await durable.start(fiveSteps(() => {}), input, { id: "o-1" });
  const first = ground.fiveStepsWorker({ ...behaviour, namespace, effects });
  const rescue = (effect: StepEffect = () => {}) => {
    const five = fiveSteps(async (step, context) => {
      addEffect(effects, { step, key: context.idempotencyKey, pid: process.pid });
      await effect(step, context);
    });
    return ground.worker({ namespace, ackWaitMs, workflows: [five] });
  };
  const address = { namespace, workflow: "five", id: "o-1" };
  const journal = () => rawJournal(ground.client, address);
  const rescueToEnd = async () => {
    const rescuer = await rescue();
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(input));
    await commandsSettled(ground.client, namespace);
    await rescuer.close();
    return await journal();
  };
  return { namespace, effects, first, handle, journal, rescue, rescueToEnd };
}
