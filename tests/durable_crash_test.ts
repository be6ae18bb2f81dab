import assert from "node:assert/strict";
import { test } from "node:test";
import { faultCount } from "./_fault_count.ts";
import { openScene, STEP_NAMES } from "./_five_steps_scene.ts";
import { type Ground, onGround } from "./_ground.ts";
import { journalEvents, outcomeNames } from "./_journals.ts";
import { inPool } from "./_pool.ts";
import { readEffects } from "./programs/effects.ts";

const ACK_WAIT_MS = 700;
const ROUNDS = faultCount({ ci: 1, soak: 20 });
/** Claim, four outcomes, and the last outcome together with the end. */
const APPENDS = 6;
const INPUT = 3;

const appends = Array.from({ length: APPENDS }, (_, index) => `append ${index + 1}`);

/** Lets a worker die at a point, another one finish, and checks what became of the invocation. */
async function crashAt(ground: Ground, dieAt: string): Promise<void> {
  const scene = await openScene(ground, { ackWaitMs: ACK_WAIT_MS, dieAt }, INPUT);
  const { effects, first, handle } = scene;
  await first.waitForLine(/^dying/, { timeoutMs: 20_000 });
  assert.deepEqual(await first.exit, { code: null, signal: "SIGKILL" });

  const committed = outcomeNames(await journalEvents(handle));
  const before = readEffects(effects);
  assert.deepEqual(committed, STEP_NAMES.slice(0, committed.length), "committed in order");
  const begun = new Set(before.map(({ step }) => step)).size;
  assert.ok(begun <= committed.length + 1, `step ${begun} began before its forerunner's commit`);
  if (dieAt === "before append 1") assert.equal(begun, 0, "a step began before the claim");

  await scene.rescueToEnd();

  assert.deepEqual(outcomeNames(await journalEvents(handle)), STEP_NAMES);
  assert.equal((await handle.status()).status, "completed");
  const all = readEffects(effects);
  for (const [step, name] of STEP_NAMES.entries()) {
    const keys = all.filter((effect) => effect.step === step).map(({ key }) => key);
    assert.deepEqual(new Set(keys), new Set([`five/o-1/${step}`]), "one key for every attempt");
    const earlier = before.filter((effect) => effect.step === step).length;
    if (committed.includes(name)) {
      assert.equal(keys.length, earlier, `${name} ran after its commit`);
    } else assert.equal(keys.length, earlier + 1, `${name} runs once after the crash`);
  }
}

async function crashAtEach(points: readonly string[]): Promise<void> {
  await onGround(async (ground) => {
    const cases = Array.from({ length: ROUNDS }, () => points).flat();
    await inPool(cases, 3, (point) => crashAt(ground, point));
  });
}

test("a worker killed before any append is carried on where it stopped", async () => {
  await crashAtEach(appends.map((append) => `before ${append}`));
});

test("a worker killed before it hears of an append is carried on where it stopped", async () => {
  await crashAtEach(appends.map((append) => `sent ${append}`));
});

test("a worker killed after any append is carried on where it stopped", async () => {
  await crashAtEach(appends.map((append) => `after ${append}`));
});

test("a worker killed within any step, after its effect, is carried on there", async () => {
  await crashAtEach(STEP_NAMES.map((_, index) => `in step ${index}`));
});

test("a worker killed around its summary or its ack leaves an ended invocation", async () => {
  await crashAtEach(["before summary 1", "after summary 1", "before ack 1", "after ack 1"]);
});
