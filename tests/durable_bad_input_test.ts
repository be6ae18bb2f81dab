import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { type Client, connect, isJsflowError, type JsflowErrorCode, json } from "../client/mod.ts";
import {
  createDurableClient,
  createWorker,
  InvocationFailedError,
  type StepContext,
  StepFailedError,
  workflow,
  workflowRef,
} from "../durable/mod.ts";
import { NatsServer } from "../testing/mod.ts";
import { onGround } from "./_ground.ts";
import { journalEvents } from "./_journals.ts";

const namespace = "bad";
const ackWaitMs = 5_000;
const timeoutMs = 10_000;
const hello = workflow<string, string>("hello", (_ctx, name) => `Hello, ${name}`);

/** Expects a typed error whose message says what was wrong. */
async function rejectsWith(
  promise: Promise<unknown>,
  code: JsflowErrorCode,
  message: RegExp,
): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isJsflowError(error, code), `expected ${code}, got ${error}`);
    assert.match(error.message, message);
    return true;
  });
}

/** Names of all streams on the server. */
async function streamNames(client: Client): Promise<string[]> {
  const names: string[] = [];
  for await (const name of (await client.manager()).streams.names()) names.push(name);
  return names;
}

/** Messages in the command and the journal stream. */
async function stored(client: Client): Promise<number[]> {
  const { streams } = await client.manager();
  return await Promise.all(
    ["COMMANDS", "JOURNAL"].map(async (kind) =>
      (await streams.info(`JSFLOW_${namespace}_${kind}`)).state.messages
    ),
  );
}

test("without a server, or at a wrong address, connecting says so", async () => {
  const server = await NatsServer.start({ jetstream: false });
  await server.close();
  await rejectsWith(connect({ servers: server.url }), "connection_refused", /127\.0\.0\.1/);
  const servers = "no-such-host.invalid";
  await rejectsWith(connect({ servers }), "connection_refused", /no-such-host\.invalid/);
});

test("without JetStream, workers and clients say how to switch it on", async () => {
  const server = await NatsServer.start({ jetstream: false });
  const client = await connect({ servers: server.url });
  try {
    const start = createDurableClient(client).start(hello, "you");
    await rejectsWith(start, "jetstream_disabled", /-js/);
    const worker = createWorker(client, { workflows: [hello] });
    await rejectsWith(worker, "jetstream_disabled", /-js/);
  } finally {
    await client.close();
    await server.close();
  }
});

test("names that can't be names are refused before anything is sent", async () => {
  await onGround(async ({ client }) => {
    const long = "x".repeat(5_000);
    const anything = (value: unknown) => value as never;
    assert.throws(() => workflow("", () => 1), /TypeError: workflow name must not be empty/);
    assert.throws(() => workflow(long, () => 1), /RangeError: workflow name.*255.*5000/);
    assert.throws(() => workflow(anything(7), () => 1), /TypeError: workflow name.*string/);
    assert.throws(() => workflow("\ud800", () => 1), /TypeError: workflow name.*well-formed/);
    assert.throws(() => workflow("w", { queue: "" }, () => 1), /TypeError: queue/);
    assert.throws(() => workflow("w", anything({ qeue: "q" }), () => 1), /TypeError.*qeue/);
    assert.throws(() => workflow("w", anything(undefined)), TypeError);
    assert.throws(() => workflow("w", { input: anything({}) }, () => 1), /TypeError: input.*codec/);
    assert.throws(() => createDurableClient(client, { namespace: "a.b" }), /TypeError: namespace/);
    assert.throws(() => createDurableClient(client, { namespace: long }), /TypeError: namespace/);

    const durable = createDurableClient(client, { namespace });
    assert.throws(() => durable.handle(hello, ""), /TypeError: invocation id must not be empty/);
    await assert.rejects(durable.start(hello, "you", { id: "" }), TypeError);
    await assert.rejects(durable.start(hello, "you", { id: long }), /RangeError: invocation id/);
    await assert.rejects(durable.start(hello, "you", { id: "\udfff" }), /TypeError.*well-formed/);
    await assert.rejects(durable.start(hello, "you", { id: anything(7) }), TypeError);
    await assert.rejects(durable.start(anything("hello"), "you"), /TypeError.*the string "hello"/);
    await assert.rejects(durable.start(anything(undefined), "you"), TypeError);
    assert.deepEqual(await streamNames(client), []);
  });
});

const oddNames = ["*", ">", "a.b", "a b", "\0", "=41", "Übermaß", "🚀", "日本語", "x".repeat(255)];

test("any other string is a fine id, and a fine name of a workflow", async () => {
  await onGround(async (ground) => {
    const odd = oddNames.filter((name) => name.length < 200).map((name) =>
      workflow<string, string[]>(name, async (ctx, input) => [
        input,
        ctx.id,
        ctx.workflow,
        await ctx.run("key", ({ idempotencyKey }) => idempotencyKey),
      ])
    );
    await ground.worker({ namespace, ackWaitMs, workflows: odd });
    const durable = ground.durable({ namespace });
    const keys = new Set<string>();
    for (const flow of odd) {
      for (const id of oddNames) {
        const handle = await durable.start(flow, "in", { id });
        const what = `${JSON.stringify(flow.name)} / ${JSON.stringify(id)}`;
        const [input, seenId, seenName, key] = await handle.result({ timeoutMs }).catch((error) => {
          throw new Error(`${what}: ${error.message}`);
        });
        assert.deepEqual([input, seenId, seenName], ["in", id, flow.name], what);
        assert.equal((await durable.handle(flow, id).status()).status, "completed", what);
        keys.add(key!);
      }
    }
    assert.equal(keys.size, odd.length * oddNames.length, "no two share a key");
  });
});

test("a workflow that nobody has ever served is refused when only its name is known", async () => {
  await onGround(async (ground) => {
    const durable = ground.durable({ namespace });
    const start = durable.start(workflowRef<string, string>("helo"), "you");
    await rejectsWith(start, "unknown_workflow", /"helo".*check the name/);
    assert.deepEqual(await stored(ground.client), [0, 0]);
  });
});

const Order = v.object({ id: v.string(), amount: v.number() });

test("input that the schema rejects is refused by the client, and fails at the worker", async () => {
  await onGround(async (ground) => {
    let ran = 0;
    const order = workflow("order", { input: json(Order) }, () => void ran++);
    const durable = ground.durable({ namespace });
    const wrong = { id: "o-1", amount: "7" } as unknown as v.InferOutput<typeof Order>;
    await rejectsWith(durable.start(order, wrong), "invalid_payload", /amount/);
    assert.deepEqual(await streamNames(ground.client), []);
    const unencodable = durable.start(workflow<bigint, null>("big", () => null), 1n);
    await rejectsWith(unencodable, "encode_failed", /bigint/);
    assert.deepEqual(await streamNames(ground.client), []);

    await ground.worker({ namespace, ackWaitMs, workflows: [order] });
    const handle = await durable.start(workflowRef<unknown, void>("order"), wrong, { id: "o-1" });
    await assert.rejects(handle.result({ timeoutMs }), (error) => {
      assert.ok(error instanceof InvocationFailedError, `${error}`);
      assert.equal(error.failure.code, "invalid_payload");
      assert.match(error.message, /amount/);
      return true;
    });
    assert.equal(ran, 0);
  });
});

const unencodable: readonly (readonly [string, () => unknown, RegExp])[] = [
  ["a Date", () => ({ at: new Date(0) }), /\$\.at is a Date/],
  ["a Map", () => new Map([[1, 2]]), /\$ is a Map/],
  ["a bigint", () => [1n], /\$\[0\] is a bigint/],
  ["NaN", () => ({ share: NaN }), /\$\.share is NaN/],
  ["a function", () => ({ call: () => 1 }), /\$\.call is a function/],
  ["a class instance", () => new URL("http://x/"), /\$ is .*URL/],
];

test("a step value that JSON would change fails the step, once, and says where", async () => {
  await onGround(async (ground) => {
    let calls = 0;
    const make = workflow<number, string>("make", async (ctx, which) => {
      try {
        await ctx.run("make", () => (calls++, unencodable[which]![1]()));
        return "encoded";
      } catch (error) {
        assert.ok(error instanceof StepFailedError);
        return `${error.failure.code}: ${error.message}`;
      }
    });
    await ground.worker({ namespace, ackWaitMs, workflows: [make] });
    const durable = ground.durable({ namespace });
    for (const [index, [what, , message]] of unencodable.entries()) {
      const handle = await durable.start(make, index);
      const result = await handle.result({ timeoutMs });
      assert.match(result, /^encode_failed: step "make" failed after 1 attempt/, what);
      assert.match(result, message, what);
    }
    assert.equal(calls, unencodable.length, "what can't be encoded is not tried again");
  });
});

test("a result that JSON would change fails the invocation, and says where", async () => {
  await onGround(async (ground) => {
    const make = workflow<number, unknown>("make", (_ctx, which) => unencodable[which]![1]());
    await ground.worker({ namespace, ackWaitMs, workflows: [make] });
    const durable = ground.durable({ namespace });
    for (const [index, [what, , message]] of unencodable.entries()) {
      const handle = await durable.start(make, index);
      await assert.rejects(handle.result({ timeoutMs }), (error) => {
        assert.ok(error instanceof InvocationFailedError, `${what}: ${error}`);
        assert.equal(error.failure.code, "encode_failed", what);
        assert.match(error.message, message, what);
        return true;
      });
    }
  });
});

const MAX_PAYLOAD = 65_536;
const small = { config: { max_payload: MAX_PAYLOAD } };

/** Returns text of the asked-for length, from a step, from the workflow or from both. */
const fill = workflow<{ step?: number; result?: number; text?: string }, string>(
  "fill",
  async (ctx, { step, result, text }) => {
    const value = step === undefined ? "" : await ctx.run("fill", () => "x".repeat(step));
    return result === undefined ? `${value.length} ${text?.length ?? 0}` : "y".repeat(result);
  },
);

test("input over the server's limit is refused, and nothing is stored", async () => {
  await onGround(async (ground) => {
    await ground.worker({ namespace, ackWaitMs, workflows: [fill] });
    const durable = ground.durable({ namespace });
    const start = durable.start(fill, { text: "x".repeat(MAX_PAYLOAD) });
    await rejectsWith(start, "payload_too_large", /fill.*max_payload/);
    assert.deepEqual(await stored(ground.client), [0, 0]);
    const length = MAX_PAYLOAD - 8_192 - 11; // the largest that the client lets through
    const most = await durable.start(fill, { text: "x".repeat(length) });
    assert.equal(await most.result({ timeoutMs }), `0 ${length}`);
  }, small);
});

test("a step value over the server's limit fails the step, the largest one does not", async () => {
  await onGround(async (ground) => {
    await ground.worker({ namespace, ackWaitMs, workflows: [fill] });
    const durable = ground.durable({ namespace });
    const tooLarge = await durable.start(fill, { step: MAX_PAYLOAD });
    await assert.rejects(tooLarge.result({ timeoutMs }), /step "fill" failed.*max_payload/);
    const largest = MAX_PAYLOAD - 4_096 - 2;
    const most = await durable.start(fill, { step: largest });
    assert.equal(await most.result({ timeoutMs }), `${largest} 0`);
  }, small);
});

test("a result over the server's limit fails the invocation, the largest one does not", async () => {
  await onGround(async (ground) => {
    await ground.worker({ namespace, ackWaitMs, workflows: [fill] });
    const durable = ground.durable({ namespace });
    const tooLarge = await durable.start(fill, { result: MAX_PAYLOAD });
    await assert.rejects(tooLarge.result({ timeoutMs }), /fill.*failed.*max_payload/);
    const largest = MAX_PAYLOAD - 4_096 - 2;
    const most = await durable.start(fill, { result: largest });
    assert.equal((await most.result({ timeoutMs })).length, largest);
  }, small);
});

test("the last step's value and the result may fill a record each", async () => {
  await onGround(async (ground) => {
    await ground.worker({ namespace, ackWaitMs, workflows: [fill] });
    const durable = ground.durable({ namespace });
    const size = MAX_PAYLOAD - 10_000;
    const handle = await durable.start(fill, { step: size, result: size });
    assert.equal((await handle.result({ timeoutMs })).length, size);
    const types = (await journalEvents(handle)).map(({ type }) => type);
    assert.deepEqual(types, ["claimed", "started", "outcome", "completed"]);
  }, small);
});

test("options that make no sense are refused before anything is sent", async () => {
  await onGround(async ({ client }) => {
    const anything = (value: unknown) => value as never;
    const bad: readonly (readonly [object, RegExp])[] = [
      [{ workflow: [hello] }, /TypeError.*"?workflow"?/],
      [{ workflows: [] }, /TypeError: workflows/],
      [{ workflows: [hello, hello] }, /TypeError.*"hello" twice/],
      [{ workflows: [workflowRef("hello")] }, /TypeError.*reference has no code/],
      [{ workflows: [hello], ackWait: 5 }, /TypeError.*ackWait/],
      [{ workflows: [hello], ackWaitMs: 100 }, /RangeError: ackWaitMs.*500/],
      [{ workflows: [hello], ackWaitMs: "1s" }, /TypeError: ackWaitMs/],
      [{ workflows: [hello], ackWaitMs: NaN }, /(Range|Type)Error: ackWaitMs/],
      [{ workflows: [hello], maxConcurrent: 0 }, /RangeError: maxConcurrent/],
      [{ workflows: [hello], maxTakeovers: 1.5 }, /(Range|Type)Error: maxTakeovers/],
      [{ workflows: [hello], replicas: 7 }, /RangeError: replicas/],
      [{ workflows: [hello], namespace: "" }, /TypeError: namespace/],
      [{ workflows: [hello], name: 7 }, /TypeError: worker name/],
    ];
    for (const [options, message] of bad) {
      await assert.rejects(createWorker(client, anything(options)), message);
    }
    assert.throws(() => createDurableClient(client, anything({ ns: "x" })), /TypeError.*ns/);
    const durable = createDurableClient(client, { namespace });
    await assert.rejects(durable.start(hello, "you", anything({ ID: "x" })), /TypeError.*ID/);
    await assert.rejects(durable.start(hello, "you", { timeoutMs: 0 }), /RangeError: timeoutMs/);
    const handle = durable.handle(hello, "o-1");
    await assert.rejects(handle.result(anything({ timeout: 1 })), /TypeError.*timeout/);
    await assert.rejects(handle.result({ timeoutMs: -1 }), /RangeError: timeoutMs/);
    await assert.rejects(handle.cancel({ reason: anything(7) }), /TypeError: reason/);
    assert.deepEqual(await streamNames(client), []);
  });
});

test("options of a step that make no sense fail the workflow before the step runs", async () => {
  await onGround(async (ground) => {
    let ran = 0;
    const effect = (_step: StepContext) => ran++;
    const bad: readonly (readonly [string, unknown, RegExp])[] = [
      ["", {}, /step name/],
      ["x".repeat(256), {}, /step name.*255/],
      ["s", { retries: 3 }, /retries/],
      ["s", { retry: { attempts: 0 } }, /attempts/],
      ["s", { timeoutMs: 0 }, /timeoutMs/],
    ];
    const steps = workflow<number, number>("steps", (ctx, which) => {
      const [name, options] = bad[which]!;
      return ctx.run(name, effect, options as never);
    });
    await ground.worker({ namespace, ackWaitMs, workflows: [steps] });
    const durable = ground.durable({ namespace });
    for (const [index, [, , message]] of bad.entries()) {
      const handle = await durable.start(steps, index);
      await assert.rejects(handle.result({ timeoutMs }), message);
    }
    assert.equal(ran, 0);
  });
});

test("workers and clients that disagree are told what differs", async () => {
  await onGround(async (ground) => {
    await ground.worker({ namespace, ackWaitMs, workflows: [hello] });
    const other = createWorker(ground.client, { namespace, ackWaitMs: 7_000, workflows: [hello] });
    await rejectsWith(other, "config_drift", /ackWaitMs is 5000, expected 7000/);
    const { streams } = await ground.client.manager();
    const stream = `JSFLOW_${namespace}_JOURNAL`;
    const { config } = await streams.info(stream);
    await streams.update(stream, { ...config, max_age: 3_600_000_000_000 });
    await streams.update(stream, { ...config, duplicate_window: 60_000_000_000 });
    const start = createDurableClient(ground.client, { namespace }).start(hello, "you");
    await rejectsWith(start, "config_drift", /duplicate_window is 60000000000, expected/);
    assert.deepEqual(await stored(ground.client), [0, 0]);
  });
});

test("a start that the server goes on refusing says why, not only that time is over", async () => {
  await onGround(async (ground) => {
    const durable = ground.durable({ namespace });
    await durable.start(hello, "first");
    const { streams } = await ground.client.manager();
    const stream = `JSFLOW_${namespace}_COMMANDS`;
    const { config } = await streams.info(stream);
    await streams.update(stream, { ...config, max_msgs: 1 });
    const start = durable.start(hello, "second", { timeoutMs: 500 });
    await rejectsWith(start, "timeout", /within 500 ms; the last try failed: .*maximum messages/);
  });
});
