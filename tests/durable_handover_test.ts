import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../client/mod.ts";
import { type InvocationHandle, type Worker, workflow } from "../durable/mod.ts";
import { waitUntil } from "../testing/mod.ts";
import { type Gate, newGate } from "./_gate.ts";
import { type Ground, onGround } from "./_ground.ts";
import { commandsSettled, countEvents, journalEvents } from "./_journals.ts";
import { fiveSteps, fiveStepsResult } from "./programs/five_steps.ts";

/** So long that nothing here may wait for it. */
const ACK_WAIT_MS = 10_000;
const PROMPT_MS = 5_000;

const namespace = "handover";

/** An invocation in the hands of a worker "a", whose third step waits at a gate. */
interface Held {
  /** The steps that were called, each with the name of its worker. */
  readonly calls: string[];
  readonly first: Worker;
  readonly gate: Gate;
  readonly handle: InvocationHandle<number>;
  /** Another worker, whose steps do not wait. */
  open(name: string): Promise<Worker>;
}

async function openHeld(ground: Ground, client?: Client): Promise<Held> {
  const gate = newGate();
  const calls: string[] = [];
  const open = (name: string, client?: Client) => {
    const five = fiveSteps(async (step) => {
      calls.push(`${name}${step}`);
      if (name === "a" && step === 2) await gate.pass();
    });
    return ground.worker({ namespace, ackWaitMs: ACK_WAIT_MS, workflows: [five] }, client);
  };
  const first = await open("a", client);
  const handle = await ground.durable({ namespace }).start(fiveSteps(() => {}), 1, { id: "o-1" });
  await gate.reached;
  return { calls, first, gate, handle, open };
}

test("a closing worker hands over at once what it can't finish", async () => {
  await onGround(async (ground) => {
    const { calls, first, gate, handle, open } = await openHeld(ground);
    await open("b");
    assert.equal(first.running, 1);
    const closedAt = performance.now();
    await Promise.all([first.close({ graceMs: 0 }), first.close()]);
    assert.equal(await handle.result({ timeoutMs: PROMPT_MS }), fiveStepsResult(1));
    assert.ok(performance.now() - closedAt < PROMPT_MS);
    assert.equal(first.running, 0);
    assert.deepEqual(calls, ["a0", "a1", "a2", "b2", "b3", "b4"]);
    assert.equal(countEvents(await journalEvents(handle), "released"), 1);
    gate.open();
    await commandsSettled(ground.client, namespace);
  });
});

test("a closing worker lets a running step finish, and hands over before the next", async () => {
  await onGround(async (ground) => {
    const client = await ground.connect();
    const { calls, first, gate, handle, open } = await openHeld(ground, client);
    const closed = first.close({ graceMs: 8_000 });
    await open("b");
    gate.open();
    await closed;
    assert.equal(client.status, "connected", "the connection stays the caller's");
    assert.equal(await handle.result({ timeoutMs: PROMPT_MS }), fiveStepsResult(1));
    assert.deepEqual(calls, ["a0", "a1", "a2", "b3", "b4"]);
  });
});

test("the attempts of a step are counted on by whoever takes over", async () => {
  await onGround(async (ground) => {
    const attempts: number[] = [];
    const flaky = workflow<null, number>(
      "flaky",
      async (ctx) =>
        await ctx.run("try", ({ attempt }) => {
          attempts.push(attempt);
          if (attempt < 3) throw new Error(`attempt ${attempt} fails`);
          return attempt;
        }, { retry: { delaysMs: [10, 1_500] } }),
    );
    const common = { namespace, ackWaitMs: ACK_WAIT_MS, workflows: [flaky] };
    const first = await ground.worker(common);
    const handle = await ground.durable({ namespace }).start(flaky, null, { id: "o-1" });
    await waitUntil(
      async () => countEvents(await journalEvents(handle), "attempted") === 2,
      { what: "two attempts are journaled" },
    );
    await first.close({ graceMs: 0 });
    await ground.worker(common);
    assert.equal(await handle.result({ timeoutMs: PROMPT_MS }), 3);
    assert.deepEqual(attempts, [1, 2, 3]);
    const outcome = (await journalEvents(handle)).find(({ type }) => type === "outcome");
    assert.equal(outcome?.attempts, 3);
  });
});

test("an invocation that kept crashing its workers is parked, and resumed by hand", async () => {
  await onGround(async (ground) => {
    const common = { namespace, ackWaitMs: 600, maxTakeovers: 2 };
    const effects = ground.file("effects");
    const calls: number[] = [];
    const five = fiveSteps((step) => void calls.push(step));
    const handle = await ground.durable({ namespace }).start(five, 1, { id: "o-1" });
    for (let crash = 0; crash < 3; crash++) {
      await ground.fiveStepsWorker({ ...common, effects, dieAt: "in step 1" }).exit;
    }
    await ground.worker({ ...common, workflows: [five] });
    await waitUntil(async () => (await handle.status()).status === "parked", {
      what: "it is parked",
    });
    await commandsSettled(ground.client, namespace);
    assert.deepEqual(calls, [], "a parked invocation runs no step");
    await assert.rejects(handle.result({ timeoutMs: 300 }), { code: "timeout" });
    await handle.resume();
    assert.equal(await handle.result({ timeoutMs: PROMPT_MS }), fiveStepsResult(1));
    assert.deepEqual(calls, [1, 2, 3, 4]);
  });
});

test("a command of a workflow that a worker doesn't know waits for one that does", async () => {
  await onGround(async (ground) => {
    const known = workflow<string, string>("known", { queue: "shared" }, (_ctx, name) => name);
    const other = workflow<string, string>("other", { queue: "shared" }, (_ctx, name) => name);
    const common = { namespace, ackWaitMs: ACK_WAIT_MS };
    const first = await ground.worker({ ...common, workflows: [known] });
    const durable = ground.durable({ namespace });
    const waiting = await durable.start(other, "b", { id: "o-1" });
    const served = await durable.start(known, "a", { id: "o-1" });
    assert.equal(await served.result({ timeoutMs: PROMPT_MS }), "a");
    assert.equal((await waiting.status()).status, "pending");
    await first.close();
    await ground.worker({ ...common, workflows: [known, other] });
    assert.equal(await waiting.result({ timeoutMs: 20_000 }), "b");
  });
});

test("a deleted consumer is made again", async () => {
  await onGround(async (ground) => {
    const five = fiveSteps(() => {});
    await ground.worker({ namespace, ackWaitMs: ACK_WAIT_MS, workflows: [five] });
    const { consumers } = await ground.client.manager();
    await consumers.delete(`JSFLOW_${namespace}_COMMANDS`, "five_start");
    const handle = await ground.durable({ namespace }).start(five, 1);
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
  });
});
