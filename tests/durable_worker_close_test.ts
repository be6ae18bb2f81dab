import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { type Client, fromConnection, isJsflowError } from "../client/mod.ts";
import { type AnyWorkflow, createWorker, workflow, workflowRef } from "../durable/mod.ts";
import { waitUntil } from "../testing/mod.ts";
import { newGate } from "./_gate.ts";
import { type Ground, onGround } from "./_ground.ts";
import { commandsSettled, journalEvents } from "./_journals.ts";
import { fiveSteps, fiveStepsResult } from "./programs/five_steps.ts";

const namespace = "close";
const timeoutMs = 15_000;

/** Runs the code; returns what nobody caught meanwhile. */
async function uncaughtDuring(run: () => Promise<void>): Promise<unknown[]> {
  const uncaught: unknown[] = [];
  const note = (error: unknown) => void uncaught.push(error);
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
  try {
    await run();
    // Rejections are reported once the microtasks are done.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("unhandledRejection", note);
    process.off("uncaughtException", note);
  }
  return uncaught;
}

/** The connection goes away under a busy worker; another worker goes on. */
async function closeUnder(
  ground: Ground,
  client: Client,
  close: () => Promise<unknown>,
): Promise<void> {
  const gate = newGate();
  const calls: number[] = [];
  const five = fiveSteps(async (step) => {
    calls.push(step);
    if (step === 1) await gate.pass();
  });
  const options = { namespace, ackWaitMs: 1_000, workflows: [five] };
  const worker = await ground.worker({ ...options, maxConcurrent: 2 }, client);
  const durable = ground.durable({ namespace });
  // Two run, and more wait for a place.
  const ids = ["o-1", "o-2", "o-3", "o-4"];
  const handles = await Promise.all(ids.map((id) => durable.start(five, 1, { id })));
  await waitUntil(() => calls.filter((step) => step === 1).length === 2, { what: "two run" });
  const uncaught = await uncaughtDuring(async () => {
    await close();
    gate.open();
    await ground.worker(options);
    for (const handle of handles) {
      assert.equal(await handle.result({ timeoutMs }), fiveStepsResult(1));
    }
    await worker.close({ graceMs: 500 });
    assert.equal(worker.running, 0);
  });
  assert.deepEqual(uncaught, []);
}

test("closing the client under a busy worker harms nobody", async () => {
  await onGround(async (ground) => {
    const client = await ground.connect();
    await closeUnder(ground, client, () => client.close());
  });
});

for (const how of ["close", "drain"] as const) {
  test(`a borrowed connection may ${how} under a busy worker`, async () => {
    await onGround(async (ground) => {
      const { connection } = await ground.connect();
      await closeUnder(ground, await fromConnection(connection), () => connection[how]());
    });
  });
}

test("a worker that can't serve one of its queues serves none", async () => {
  await onGround(async (ground) => {
    const calls: string[] = [];
    const good = workflow("good", async (ctx, _: number) => {
      await ctx.run("step", () => void calls.push("good"));
    });
    const drifted = workflow("drifted", () => 1);
    const earlier = await ground.worker({ namespace, ackWaitMs: 2_000, workflows: [drifted] });
    await earlier.close();
    const handle = await ground.durable({ namespace }).start(good, 1, { id: "o-1" });

    const common = { namespace, ackWaitMs: 3_000 };
    const workflows = [good, drifted] as readonly AnyWorkflow[];
    await assert.rejects(
      createWorker(await ground.connect(), { ...common, name: "both", workflows }),
      (error) => isJsflowError(error, "config_drift"),
    );
    await ground.worker({ ...common, name: "one", workflows: [good] });
    await handle.result({ timeoutMs });
    const claims = (await journalEvents(handle)).filter(({ type }) => type === "claimed");
    assert.deepEqual(claims.map(({ worker }) => worker), ["one"]);
    assert.deepEqual(calls, ["good"]);
  });
});

test("a cancellation gets through to a woken invocation although every place is taken", async () => {
  await onGround(async (ground) => {
    const [first, second] = [newGate(), newGate()];
    let abortedAt = 0;
    const woken = workflow("woken", async (ctx, _: number) => {
      await ctx.run("first", () => first.pass());
      await ctx.run("second", async ({ signal }) => {
        const aborted = new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            abortedAt = performance.now();
            reject(signal.reason);
          }, { once: true });
        });
        void second.pass();
        await aborted;
      });
    });
    const options = { namespace, ackWaitMs: 20_000, maxConcurrent: 1, workflows: [woken] };
    const worker = await ground.worker(options);
    const durable = ground.durable({ namespace });
    const handle = await durable.start(woken, 1, { id: "o-1" });
    await first.reached;
    await handle.pause();
    first.open();
    await waitUntil(async () => (await handle.status()).status === "paused", { what: "it pauses" });
    await handle.resume();
    await second.reached;

    // Another one that is to wake finds no place, and must not keep out what comes after it.
    await durable.handle(woken, "o-2").pause();
    const other = await durable.start(woken, 1, { id: "o-2" });
    await waitUntil(async () => (await other.status()).status === "paused", { what: "it pauses" });
    const resumed = other.resume({ timeoutMs });
    const cancelledAt = performance.now();
    await handle.cancel({ reason: "too long", timeoutMs });
    await assert.rejects(handle.result({ timeoutMs }), /was cancelled: too long/);
    const afterMs = abortedAt - cancelledAt;
    assert.ok(abortedAt > 0 && afterMs < 2_000, `the signal aborted after ${afterMs} ms`);
    await resumed;
    await other.cancel({ timeoutMs });
    await assert.rejects(other.result({ timeoutMs }), /was cancelled/);
    await waitUntil(() => worker.running === 0, { what: "the worker is idle" });
  });
});

for (const isBusy of [true, false]) {
  test(`${isBusy ? "a busy" : "an idle"} worker closes while the server is silent`, async () => {
    await onGround(async (ground) => {
      const gate = newGate();
      const five = fiveSteps((step) => step === 1 ? gate.pass() : undefined);
      const worker = await ground.worker({ namespace, ackWaitMs: 1_000, workflows: [five] });
      const durable = ground.durable({ namespace });
      const handle = isBusy ? await durable.start(five, 1, { id: "o-1" }) : undefined;
      if (isBusy) await gate.reached;
      ground.server.pause();
      const closedAt = performance.now();
      try {
        await worker.close({ graceMs: 500 });
      } finally {
        ground.server.continue();
        gate.open();
      }
      const tookMs = performance.now() - closedAt;
      assert.ok(tookMs < 6_500, `it took ${tookMs} ms`);
      assert.equal(worker.running, 0);
      if (!handle) return;
      await ground.worker({ namespace, ackWaitMs: 1_000, workflows: [five] });
      assert.equal(await handle.result({ timeoutMs }), fiveStepsResult(1));
    });
  });
}

test("an invocation whose journal is gone is not given the outcome of another one", async () => {
  await onGround(async (ground) => {
    const echo = workflow("echo", (_ctx, text: string) => text);
    const options = { namespace, ackWaitMs: 1_000, workflows: [echo] };
    const durable = ground.durable({ namespace });
    const endOf = async (id: string) => {
      const worker = await ground.worker(options);
      const handle = await durable.start(echo, id, { id });
      assert.equal(await handle.result({ timeoutMs }), id);
      await commandsSettled(ground.client, namespace);
      await worker.close();
      const end = (await journalEvents(handle)).at(-1);
      assert.equal(end?.type, "completed");
      return end?.seq;
    };
    const seq = await endOf("lost");
    const { streams } = await ground.client.manager();
    await streams.delete(`JSFLOW_${namespace}_JOURNAL`);
    assert.equal(await endOf("other"), seq, "it ends at the same place");

    const elsewhere = ground.durable({ namespace }, await ground.connect());
    const ref = workflowRef<string, string>("echo");
    await assert.rejects(
      elsewhere.handle(ref, "lost").result({ timeoutMs: 1_500 }),
      (error) => isJsflowError(error, "timeout"),
    );
    assert.equal(await elsewhere.handle(ref, "other").result({ timeoutMs }), "other");
  });
});
