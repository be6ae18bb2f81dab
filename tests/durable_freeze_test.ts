import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import type { InvocationHandle } from "../durable/mod.ts";
import { type SpawnedProgram, waitUntil } from "../testing/mod.ts";
import { faultCount } from "./_fault_count.ts";
import { type Ground, onGround } from "./_ground.ts";
import {
  commandsSettled,
  countEvents,
  journalEvents,
  outcomeNames,
  rawJournal,
} from "./_journals.ts";
import { inPool } from "./_pool.ts";
import { addEffect, readEffects } from "./programs/effects.ts";
import { fiveSteps, fiveStepsResult, type StepEffect, STEPS } from "./programs/five_steps.ts";

const ACK_WAIT_MS = 2_000; // a second without a processor must not pass for a dead worker
const ROUNDS = faultCount({ ci: 1, soak: 20 });
const steps = Array.from({ length: STEPS }, (_, index) => `step-${index}`);

/** An invocation in the hands of a worker in another process. */
interface Scene {
  readonly ground: Ground;
  readonly namespace: string;
  readonly effects: string;
  readonly first: SpawnedProgram;
  readonly handle: InvocationHandle<number>;
  /** The stored records, byte by byte. */
  journal(): ReturnType<typeof rawJournal>;
  /** Another worker, in this process, which adds its effects to the same file. */
  rescue(effect?: StepEffect): ReturnType<Ground["worker"]>;
}

async function openScene(
  ground: Ground,
  behaviour: { readonly freezeAt?: string; readonly holdStep?: number },
): Promise<Scene> {
  const [namespace, effects] = [ground.name("freeze"), ground.file("effects")];
  const common = { namespace, ackWaitMs: ACK_WAIT_MS };
  const handle = await ground.durable({ namespace }).start(fiveSteps(() => {}), 1, { id: "o-1" });
  const first = ground.fiveStepsWorker({ ...common, effects, ...behaviour });
  const rescue = (effect: StepEffect = () => {}) => {
    const five = fiveSteps(async (step, context) => {
      addEffect(effects, { step, key: context.idempotencyKey, pid: process.pid });
      await effect(step, context);
    });
    return ground.worker({ ...common, workflows: [five] });
  };
  const address = { namespace, workflow: "five", id: "o-1" };
  const journal = () => rawJournal(ground.client, address);
  return { ground, namespace, effects, first, handle, journal, rescue };
}

/** Starts another invocation, which only the worker that was frozen can run. */
async function servesAgain({ ground, namespace, effects, first }: Scene): Promise<void> {
  const durable = ground.durable({ namespace });
  const handle = await durable.start(fiveSteps(() => {}), 2, { id: "o-2" });
  assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(2));
  const pids = readEffects(effects).filter(({ key }) => key.includes("/o-2/")).map(({ pid }) =>
    pid
  );
  assert.deepEqual(pids, Array(STEPS).fill(first.pid));
}

async function freezeUntilEnded(ground: Ground, freezeAt: string, append: number): Promise<void> {
  const scene = await openScene(ground, { freezeAt });
  const { first, handle, journal, namespace } = scene;
  await first.waitForLine(/^freezing/, { timeoutMs: 20_000 });
  const rescuer = await scene.rescue();
  assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
  await commandsSettled(ground.client, namespace);
  await rescuer.close();
  const ended = await journal();

  first.kill("SIGCONT");
  await first.waitForLine(new RegExp(`^refused append ${append}$`), { timeoutMs: 20_000 });
  await servesAgain(scene);
  assert.deepEqual(await journal(), ended, "the first worker committed something");
  const events = await journalEvents(handle);
  assert.deepEqual(outcomeNames(events), steps);
  assert.equal(countEvents(events, "claimed"), append === 1 ? 1 : 2);
}

test("a worker frozen past its ack wait commits nothing when it goes on, and serves again", async () => {
  const cases = [
    ["before append 1", 1], // it has been given the command, and has claimed nothing yet
    ["in step 0", 2],
    ["in step 2", 4],
    ["before append 5", 5], // it has an outcome in its hands
    ["in step 4", 6],
  ] as const;
  await onGround(async (ground) => {
    const all = Array.from({ length: ROUNDS }, () => cases).flat();
    await inPool(all, 3, ([freezeAt, append]) => freezeUntilEnded(ground, freezeAt, append));
  });
});

test("a worker that comes back while another runs its invocation does not disturb it", async () => {
  await onGround(async (ground) => {
    const scene = await openScene(ground, { freezeAt: "in step 2" });
    const { first, handle, journal } = scene;
    const [entered, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await first.waitForLine(/^freezing/, { timeoutMs: 20_000 });
    await scene.rescue((step) => {
      if (step === 2) entered.resolve();
      return step === 2 ? gate.promise : undefined;
    });
    await entered.promise;
    const before = await journal();

    first.kill("SIGCONT");
    await first.waitForLine(/^refused append 4$/, { timeoutMs: 20_000 });
    first.writeLine("close");
    assert.equal((await first.exit).code, 0);
    assert.deepEqual(await journal(), before, "the first worker committed something");
    gate.resolve();
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    assert.deepEqual((await journal()).slice(0, before.length), before);
    const events = await journalEvents(handle);
    assert.deepEqual(outcomeNames(events), steps);
    assert.equal(countEvents(events, "claimed"), 2);
    assert.deepEqual(
      readEffects(scene.effects).map(({ step }) => step),
      [0, 1, 2, 2, 3, 4],
      "only the interrupted step ran twice",
    );
  });
});

test("a worker frozen before its claim leaves the invocation to whoever claimed it", async () => {
  await onGround(async (ground) => {
    const scene = await openScene(ground, { freezeAt: "before append 1" });
    const { first, handle, journal } = scene;
    const [entered, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await first.waitForLine(/^freezing/, { timeoutMs: 20_000 });
    await scene.rescue((step) => {
      if (step === 0) entered.resolve();
      return step === 0 ? gate.promise : undefined;
    });
    await entered.promise;
    const before = await journal();

    first.kill("SIGCONT");
    await first.waitForLine(/^refused append 1$/, { timeoutMs: 20_000 });
    await first.waitForLine(/^read to the end after append 1$/); // and decided what to do
    first.writeLine("close");
    assert.equal((await first.exit).code, 0);
    assert.deepEqual(await journal(), before, "the first worker claimed what another one runs");
    gate.resolve();
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    assert.equal(countEvents(await journalEvents(handle), "claimed"), 1);
  });
});

test("a worker that finds itself replaced aborts the signals of its steps", async () => {
  await onGround(async (ground) => {
    const scene = await openScene(ground, { holdStep: 2 });
    const { first, handle, journal, namespace } = scene;
    await first.waitForLine(/^in step 2$/, { timeoutMs: 20_000 });
    first.kill("SIGSTOP");
    const rescuer = await scene.rescue();
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    await commandsSettled(ground.client, namespace);
    await rescuer.close();
    const ended = await journal();

    first.kill("SIGCONT");
    await first.waitForLine(/^aborted step 2$/, { timeoutMs: 20_000 });
    first.writeLine("go");
    await servesAgain(scene);
    assert.deepEqual(await journal(), ended, "the first worker committed something");
  });
});

test("a step may take longer than the ack wait, since heartbeats keep it", async () => {
  await onGround(async (ground) => {
    const namespace = ground.name("heartbeat");
    const calls: number[] = [];
    const slow = fiveSteps(async (step) => {
      calls.push(step);
      if (step !== 1) return;
      const endAt = performance.now() + 3.5 * ACK_WAIT_MS;
      await waitUntil(() => performance.now() > endAt, { what: "the step is over" });
    });
    const common = { namespace, ackWaitMs: ACK_WAIT_MS, workflows: [slow] };
    for (let worker = 0; worker < 2; worker++) await ground.worker(common);
    const handle = await ground.durable({ namespace }).start(slow, 1, { id: "o-1" });
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    assert.deepEqual(calls, [0, 1, 2, 3, 4]);
    assert.equal(countEvents(await journalEvents(handle), "claimed"), 1);
    const { consumers } = await ground.client.manager();
    const { delivered } = await consumers.info(`JSFLOW_${namespace}_COMMANDS`, "five_start");
    assert.equal(delivered.consumer_seq, 1, "the command was delivered once");
  });
});
