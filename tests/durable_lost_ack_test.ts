import assert from "node:assert/strict";
import { test } from "node:test";
import { errors, type Msg } from "@nats-io/nats-core";
import { connect } from "../client/mod.ts";
import { FaultProxy, waitUntil } from "../testing/mod.ts";
import { faultCount } from "./_fault_count.ts";
import { STEP_NAMES } from "./_five_steps_scene.ts";
import { onGround } from "./_ground.ts";
import {
  commandsSettled,
  countEvents,
  journalEvents,
  outcomeNames,
  rawJournal,
} from "./_journals.ts";
import { seededRandom } from "./seeded_random.ts";
import { fiveSteps, fiveStepsResult, STEPS } from "./programs/five_steps.ts";
import { isAppend, isSummary } from "./programs/tap.ts";

const ACK_WAIT_MS = 10_000;
/** Claim, four outcomes, and the last outcome together with the end. */
const APPENDS = 6;
const WORKFLOWS = faultCount({ ci: 200, soak: 5_000 });
/** All begin at once, and every one of them pauses before each request that it repeats. */
const RESULT_MS = 60_000 + WORKFLOWS * 100;

const namespace = "lost";

/** What becomes of one request. */
type Fate = "answered" | "answer lost" | "never arrives" | "repeated";

async function meet(fate: Fate, send: () => Promise<Msg>): Promise<Msg> {
  if (fate === "answered") return await send();
  if (fate !== "never arrives") await send();
  if (fate === "repeated") return await send(); // as after a reconnect that nobody noticed
  throw new errors.TimeoutError();
}

const titles = {
  "answer lost": "whose answer is lost",
  "never arrives": "that never arrives",
  "repeated": "that arrives twice",
} as const satisfies Partial<Record<Fate, string>>;

for (const [fate, title] of Object.entries(titles) as [Fate, string][]) {
  test(`an append ${title} is stored once, and no step runs again`, async () => {
    await onGround(async (ground) => {
      let appends = 0;
      let faulty = 0;
      const client = await ground.connect({
        request: (subject, send) =>
          isAppend(subject) && ++appends === faulty ? meet(fate, send) : send(),
      });
      const calls: number[] = [];
      const five = fiveSteps((step) => void calls.push(step));
      await ground.worker({ namespace, workflows: [five], ackWaitMs: ACK_WAIT_MS }, client);
      const durable = ground.durable({ namespace });
      for (faulty = 1; faulty <= APPENDS; faulty++) {
        [appends, calls.length] = [0, 0];
        const id = `o-${faulty}`;
        const handle = await durable.start(five, 1, { id });
        assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
        assert.ok(appends >= APPENDS, `append ${faulty} was never sent`);
        assert.deepEqual(calls, [0, 1, 2, 3, 4], `append ${faulty}`);
        const events = await journalEvents(handle);
        assert.deepEqual(outcomeNames(events), STEP_NAMES);
        assert.equal(countEvents(events, "claimed"), 1);
        const records = await rawJournal(ground.client, { namespace, workflow: "five", id });
        assert.equal(records.length, APPENDS);
      }
      await commandsSettled(ground.client, namespace);
    });
  });
}

test("where every third request fares badly, each step still runs and is committed once", async () => {
  await onGround(async (ground) => {
    const random = seededRandom("lost requests");
    const fates: readonly Fate[] = ["answer lost", "never arrives", "repeated"];
    const client = await ground.connect({
      request: (subject, send) => {
        const bad = (isAppend(subject) || isSummary(subject)) && random.next() < 1 / 3;
        return meet(bad ? fates[Math.floor(random.next() * fates.length)]! : "answered", send);
      },
    });
    const calls = new Map<string, number>();
    const five = fiveSteps((_step, { idempotencyKey: key }) => {
      calls.set(key, (calls.get(key) ?? 0) + 1);
    });
    await ground.worker({ namespace, workflows: [five], ackWaitMs: ACK_WAIT_MS }, client);
    const durable = ground.durable({ namespace });
    const handles = await Promise.all(
      Array.from(
        { length: WORKFLOWS },
        (_, index) => durable.start(five, index, { id: `o-${index}` }),
      ),
    );
    const results = await Promise.all(handles.map((it) => it.result({ timeoutMs: RESULT_MS })));
    assert.deepEqual(results, handles.map((_, index) => fiveStepsResult(index)));
    await commandsSettled(ground.client, namespace);
    for (const handle of handles) {
      const events = await journalEvents(handle);
      assert.deepEqual(outcomeNames(events), STEP_NAMES);
      assert.equal(countEvents(events, "started"), 1);
      assert.equal((await handle.status()).status, "completed");
    }
    assert.equal(calls.size, WORKFLOWS * STEPS);
    assert.deepEqual(new Set(calls.values()), new Set([1]), "a step ran twice");
  });
});

test("a start whose acks are lost is stored once", async () => {
  await onGround(async (ground) => {
    let lost = 0;
    const client = await ground.connect({
      request: (subject, send) => {
        const isStart = subject.startsWith(`jsflow.${namespace}.cmd.`);
        return meet(isStart && ++lost <= 2 ? "answer lost" : "answered", send);
      },
    });
    const five = fiveSteps(() => {});
    const handle = await ground.durable({ namespace }, client).start(five, 1, { id: "o-1" });
    assert.equal(lost, 3);
    const { streams } = await ground.client.manager();
    assert.equal((await streams.info(`JSFLOW_${namespace}_COMMANDS`)).state.messages, 1);
    await ground.worker({ namespace, workflows: [five], ackWaitMs: ACK_WAIT_MS });
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
  });
});

test("an append whose answer is lost with its connection is stored once", async () => {
  await onGround(async (ground) => {
    const proxy = await FaultProxy.start({ target: { port: ground.server.port } });
    ground.defer(() => proxy.close());
    const client = await connect({ servers: proxy.url });
    ground.defer(() => client.close());
    const calls: number[] = [];
    const five = fiveSteps((step) => {
      calls.push(step);
      if (step === 1) proxy.drop({ direction: "toClient" });
    });
    await ground.worker({ namespace, workflows: [five], ackWaitMs: ACK_WAIT_MS }, client);
    const handle = await ground.durable({ namespace }).start(five, 1, { id: "o-1" });
    const isStored = async () => outcomeNames(await journalEvents(handle)).includes("step-1");
    await waitUntil(isStored, { what: "the outcome is stored, which the worker doesn't know" });
    assert.deepEqual(calls, [0, 1]);
    proxy.heal();
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    assert.deepEqual(calls, [0, 1, 2, 3, 4]);
    const records = await rawJournal(ground.client, { namespace, workflow: "five", id: "o-1" });
    assert.equal(records.length, APPENDS);
  });
});

test("a command that comes back to the worker that has it is not begun again", async () => {
  await onGround(async (ground) => {
    let deliveries = 0;
    const client = await ground.connect({
      publish: (_subject, text, send) => {
        if (text !== "+WPI") send(); // every heartbeat is lost
      },
    });
    const calls: number[] = [];
    const { consumers } = await ground.client.manager();
    const five = fiveSteps(async (step) => {
      calls.push(step);
      if (step !== 1) return;
      await waitUntil(async () => {
        const info = await consumers.info(`JSFLOW_${namespace}_COMMANDS`, "five_start");
        return (deliveries = info.delivered.consumer_seq) >= 3;
      }, { what: "the command was delivered three times" });
    });
    await ground.worker({ namespace, workflows: [five], ackWaitMs: 600 }, client);
    const handle = await ground.durable({ namespace }).start(five, 1, { id: "o-1" });
    assert.equal(await handle.result({ timeoutMs: 20_000 }), fiveStepsResult(1));
    assert.ok(deliveries >= 3);
    assert.deepEqual(calls, [0, 1, 2, 3, 4]);
    assert.equal(countEvents(await journalEvents(handle), "claimed"), 1);
    await commandsSettled(ground.client, namespace);
  });
});
