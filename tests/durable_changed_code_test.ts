import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type InvocationHandle,
  type Workflow,
  workflow,
  type WorkflowContext,
} from "../durable/mod.ts";
import { waitUntil } from "../testing/mod.ts";
import { type Ground, onGround } from "./_ground.ts";
import { journalEvents, outcomeNames, rawJournal } from "./_journals.ts";

/** Runs a step that notes its call and returns its name. */
type Step = (name: string) => Promise<string>;

/** The code of an order, which gets its steps from outside so that their calls can be counted. */
type Code = (step: Step) => Promise<unknown>;

/** A version of an order's code, and what becomes of an order that the original code began. */
interface Change {
  readonly what: string;
  /** The code that begins the order. @default {@link original} */
  readonly original?: Code;
  readonly changed: Code;
  /** What the status says. */
  readonly reason: RegExp;
  /** Name of the operation that the journal holds at the mismatch. */
  readonly expected: string;
}

/** The last step of every order waits here until the order has been handed over. */
const LAST = "ship";

const namespace = "changed";

async function original(step: Step): Promise<unknown> {
  return [await step("reserve"), await step("charge"), await step(LAST)];
}

async function sideBySide(step: Step): Promise<unknown> {
  const slow = Promise.withResolvers<void>();
  const reserve = step("reserve");
  const charge = step("charge").then((name) => (slow.resolve(), name));
  return [...await Promise.all([reserve, charge]), await step(LAST)];
}

const changes: readonly Change[] = [
  {
    what: "renamed",
    changed: async (step) => [await step("reserve"), await step("bill"), await step(LAST)],
    reason: /operation 1 is run "bill" in the code, but run "charge" in the journal/,
    expected: "charge",
  },
  {
    what: "removed in the middle",
    changed: async (step) => [await step("reserve"), await step(LAST)],
    reason: /operation 1 is run "ship" in the code, but run "charge" in the journal/,
    expected: "charge",
  },
  {
    what: "removed at the end",
    changed: async (step) => [await step("reserve")],
    reason: /the code ended without operation 1/,
    expected: "charge",
  },
  {
    what: "added in front",
    changed: async (step) => [await step("check"), ...await original(step) as string[]],
    reason: /operation 0 is run "check" in the code, but run "reserve" in the journal/,
    expected: "reserve",
  },
  {
    what: "swapped",
    changed: async (step) => [await step("charge"), await step("reserve"), await step(LAST)],
    reason: /operation 0 is run "charge" in the code, but run "reserve" in the journal/,
    expected: "reserve",
  },
  {
    what: "run side by side in another order",
    changed: (step) => Promise.all([step("charge"), step("reserve"), step(LAST)]),
    reason: /operation 0 is run "charge" in the code, but run "reserve" in the journal/,
    expected: "reserve",
  },
  {
    what: "awaited one by one although they came in another order",
    original: sideBySide,
    changed: original,
    reason: /the code does not ask for operation 1/,
    expected: "charge",
  },
  {
    what: "never reached",
    changed: (step) => step("reserve").then(() => new Promise(() => {})),
    reason: /the code does not ask for operation 1/,
    expected: "charge",
  },
];

/** A worker with one version of the code. */
interface Deployment {
  /** Names of the steps whose function was called, in order. */
  readonly calls: string[];
  readonly order: Workflow<null, unknown>;
  close(): Promise<void>;
}

interface DeployOptions {
  readonly namespace: string;
  /** Steps that don't end before this does. */
  readonly hold?: Readonly<Record<string, Promise<unknown>>>;
}

async function deploy(ground: Ground, code: Code, options: DeployOptions): Promise<Deployment> {
  const { namespace, hold = {} } = options;
  const calls: string[] = [];
  const run = (ctx: WorkflowContext) =>
    code((name) =>
      ctx.run(name, async () => {
        calls.push(name);
        await hold[name];
        return name;
      })
    );
  const order = workflow<null, unknown>("order", run);
  const settings = { namespace, ackWaitMs: 1_000, replayStallMs: 300 };
  const worker = await ground.worker({ ...settings, workflows: [order] });
  return { calls, order, close: () => worker.close({ graceMs: 0 }) };
}

async function untilBlocked(handle: InvocationHandle<unknown>, times: number): Promise<void> {
  const isBlocked = async () => {
    const events = await journalEvents(handle);
    return events.filter(({ type }) => type === "blocked").length === times;
  };
  await waitUntil(isBlocked, { what: `the order is blocked for the ${times}. time` });
}

/** An order that has been charged and waits for its last step, with no worker left. */
async function beginOrder(ground: Ground, code: Code): Promise<InvocationHandle<unknown>> {
  // Where both steps run side by side, the outcome of the second one comes first.
  const [mixed, charged] = [code === sideBySide, Promise.withResolvers<void>()];
  const hold = { [LAST]: new Promise(() => {}), ...(mixed && { reserve: charged.promise }) };
  const worker = await deploy(ground, code, { namespace, hold });
  const handle = await ground.durable({ namespace }).start(worker.order, null, { id: "o-1" });
  if (mixed) {
    await waitUntil(async () => (await committed(handle))[0] === "charge", {
      what: "it is charged",
    });
    charged.resolve();
  }
  await waitUntil(() => worker.calls.includes(LAST), { what: "the last step has begun" });
  await worker.close();
  assert.equal((await committed(handle)).length, 2);
  return handle;
}

async function committed(handle: InvocationHandle<unknown>): Promise<string[]> {
  return outcomeNames(await journalEvents(handle));
}

/** Deploys the wrong code, twice, and checks that it changes nothing. */
async function runWrongCode(
  ground: Ground,
  handle: InvocationHandle<unknown>,
  { changed, reason, expected }: Change,
): Promise<void> {
  const outcomes = await committed(handle);
  const wrong = await deploy(ground, changed, { namespace });
  await untilBlocked(handle, 1);
  const status = await handle.status();
  assert.equal(status.status, "blocked");
  assert.match(status.reason ?? "", reason);
  const mismatch = (await journalEvents(handle)).find(({ type }) => type === "blocked");
  assert.equal(mismatch?.operation?.name, expected);

  await handle.resume(); // the code is still the wrong one
  await untilBlocked(handle, 2);
  assert.deepEqual(wrong.calls, [], "a step of the wrong code ran");
  assert.deepEqual(await committed(handle), outcomes);
  await wrong.close();
}

for (const change of changes) {
  const { what, original: code = original } = change;
  test(`an order whose steps were ${what} is blocked, and goes on with the right code`, async () => {
    await onGround(async (ground) => {
      const handle = await beginOrder(ground, code);
      const address = { namespace, workflow: "order", id: "o-1" };
      const begun = await rawJournal(ground.client, address);
      await runWrongCode(ground, handle, change);
      const right = await deploy(ground, code, { namespace });
      await handle.resume();
      assert.deepEqual(await handle.result({ timeoutMs: 20_000 }), ["reserve", "charge", LAST]);
      assert.deepEqual(right.calls, [LAST]);
      const now = await rawJournal(ground.client, address);
      assert.deepEqual(now.slice(0, begun.length), begun, "records were overwritten");
    });
  });
}

test("code that asks for the same operations in the same order may replace another", async () => {
  await onGround(async (ground) => {
    const handle = await beginOrder(ground, original);
    const after = await deploy(ground, async (step) => {
      const names = await Promise.all([step("reserve"), step("charge")]);
      return [...names, await step(LAST), await step("thank")];
    }, { namespace });
    const result = await handle.result({ timeoutMs: 20_000 });
    assert.deepEqual(result, ["reserve", "charge", LAST, "thank"]);
    assert.deepEqual(after.calls, [LAST, "thank"]);
  });
});
