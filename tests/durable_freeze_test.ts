import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/mod.ts";
import { faultCount } from "./_fault_count.ts";
import { type FiveStepsScene, openScene, STEP_NAMES } from "./_five_steps_scene.ts";
import { type Gate, newGate } from "./_gate.ts";
import { type Ground, onGround } from "./_ground.ts";
import { claimedDelivery, countEvents, journalEvents, outcomeNames } from "./_journals.ts";
import { inPool } from "./_pool.ts";
import { readEffects } from "./programs/effects.ts";
import { fiveSteps, fiveStepsResult, STEPS } from "./programs/five_steps.ts";

const ACK_WAIT_MS = 2_000; // a second without a processor must not pass for a dead worker
const ROUNDS = faultCount({ ci: 1, soak: 20 });

/** Starts another invocation, which only the worker that was frozen can run. */
async function servesAgain(ground: Ground, scene: FiveStepsScene): Promise<void> {
  const { namespace, effects, first } = scene;
  const durable = ground.durable({ namespace });
  const handle = await durable.start(fiveSteps(() => {}), 2, { id: "o-2" });
  assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(2));
  const pids = readEffects(effects).filter(({ key }) => key.includes("/o-2/")).map(({ pid }) =>
    pid
  );
  assert.deepEqual(pids, Array(STEPS).fill(first.pid));
}

async function freezeUntilEnded(ground: Ground, freezeAt: string, append: number): Promise<void> {
  const scene = await openScene(ground, { ackWaitMs: ACK_WAIT_MS, freezeAt });
  const { first, handle, journal } = scene;
  await first.waitForLine(/^freezing/, { timeoutMs: 20_000 });
  const ended = await scene.rescueToEnd();

  first.kill("SIGCONT");
  await first.waitForLine(new RegExp(`^refused append ${append}$`), { timeoutMs: 20_000 });
  await servesAgain(ground, scene);
  assert.deepEqual(await journal(), ended, "the first worker committed something");
  const events = await journalEvents(handle);
  assert.deepEqual(outcomeNames(events), STEP_NAMES);
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

/** Lets another worker run the invocation up to a step, which waits at a gate. */
async function rescueWhileFrozen({ first, rescue }: FiveStepsScene, held: number): Promise<Gate> {
  const gate = newGate();
  await first.waitForLine(/^freezing/, { timeoutMs: 20_000 });
  await rescue((step) => step === held ? gate.pass() : undefined);
  await gate.reached;
  return gate;
}

test("a worker that comes back while another runs its invocation does not disturb it", async () => {
  await onGround(async (ground) => {
    const scene = await openScene(ground, { ackWaitMs: ACK_WAIT_MS, freezeAt: "in step 2" });
    const { first, handle, journal } = scene;
    const gate = await rescueWhileFrozen(scene, 2);
    const before = await journal();

    first.kill("SIGCONT");
    await first.waitForLine(/^refused append 4$/, { timeoutMs: 20_000 });
    first.writeLine("close");
    assert.equal((await first.exit).code, 0);
    assert.deepEqual(await journal(), before, "the first worker committed something");
    gate.open();
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    assert.deepEqual((await journal()).slice(0, before.length), before);
    const events = await journalEvents(handle);
    assert.deepEqual(outcomeNames(events), STEP_NAMES);
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
    const scene = await openScene(ground, { ackWaitMs: ACK_WAIT_MS, freezeAt: "before append 1" });
    const { first, handle, journal } = scene;
    const gate = await rescueWhileFrozen(scene, 0);
    const before = await journal();
    assert.equal(claimedDelivery(before), 2, "by this the first worker knows that it is late");

    first.kill("SIGCONT");
    await first.waitForLine(/^refused append 1$/, { timeoutMs: 20_000 });
    await first.waitForLine(/^read to the end after append 1$/); // and decided what to do
    first.writeLine("close");
    assert.equal((await first.exit).code, 0);
    assert.deepEqual(await journal(), before, "the first worker claimed what another one runs");
    gate.open();
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    assert.equal(countEvents(await journalEvents(handle), "claimed"), 1);
  });
});

test("a worker that finds itself replaced aborts the signals of its steps", async () => {
  await onGround(async (ground) => {
    const scene = await openScene(ground, { ackWaitMs: ACK_WAIT_MS, holdStep: 2 });
    const { first, journal } = scene;
    await first.waitForLine(/^in step 2$/, { timeoutMs: 20_000 });
    first.kill("SIGSTOP");
    const ended = await scene.rescueToEnd();

    first.kill("SIGCONT");
    await first.waitForLine(/^aborted step 2$/, { timeoutMs: 20_000 });
    first.writeLine("go");
    await servesAgain(ground, scene);
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
