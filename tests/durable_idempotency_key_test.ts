import assert from "node:assert/strict";
import { test } from "node:test";
import { type StepContext, workflow } from "../durable/mod.ts";
import { onGround } from "./_ground.ts";
import { readEffects } from "./programs/effects.ts";
import { fiveSteps, fiveStepsResult } from "./programs/five_steps.ts";

const namespace = "keys";
const ackWaitMs = 600;

test("a step's key is its own: no other step, invocation or workflow has it", async () => {
  await onGround(async (ground) => {
    const note = ({ idempotencyKey }: StepContext) => idempotencyKey;
    const make = (name: string) =>
      workflow<null, string[]>(
        name,
        (ctx) => Promise.all([ctx.run("a", note), ctx.run("a", note), ctx.run("b", note)]),
      );
    // Joined carelessly, the names of some of these would come out the same.
    const flows = ["pay", "pay.o", "pay/o", "pay=2Eo"].map(make);
    await ground.worker({ namespace, ackWaitMs: 10_000, workflows: flows });
    const durable = ground.durable({ namespace });
    const keys: string[] = [];
    for (const flow of flows) {
      for (const id of ["o-1", "o-2", "o/o-1", "o.o-1", "0/1", "1"]) {
        keys.push(...await (await durable.start(flow, null, { id })).result({ timeoutMs: 10_000 }));
      }
    }
    assert.equal(keys.length, 4 * 6 * 3);
    assert.equal(new Set(keys).size, keys.length);
    assert.ok(keys.includes("pay/o-1/0"));
    assert.ok(keys.every((key) => /^[\x21-\x7e]+$/.test(key)), "fit for a header");
  });
});

test("a step's key is the same at every attempt and after a takeover", async () => {
  await onGround(async (ground) => {
    const effects = ground.file("effects");
    const keys: string[] = [];
    const five = fiveSteps((step, { idempotencyKey, attempt }) => {
      keys.push(`${step} ${idempotencyKey}`);
      if (attempt < 3) throw new Error("not yet");
    });
    const handle = await ground.durable({ namespace }).start(five, 1, { id: "o-1" });
    const common = { namespace, ackWaitMs };
    await ground.fiveStepsWorker({ ...common, effects, dieAt: "in step 1" }).exit;
    const [, interrupted] = readEffects(effects).map(({ step, key }) => `${step} ${key}`);
    await ground.worker({ ...common, workflows: [five] });
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    const expected = [1, 2, 3, 4].flatMap((step) => Array(3).fill(`${step} five/o-1/${step}`));
    assert.deepEqual(keys, expected);
    assert.equal(interrupted, expected[0]);
  });
});
