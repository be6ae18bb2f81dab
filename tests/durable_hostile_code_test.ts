import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { bytes, type Codec, isJsflowError, losslessJson } from "../client/mod.ts";
import {
  type AnyWorkflow,
  InvocationFailedError,
  type InvocationHandle,
  StepFailedError,
  workflow,
  type WorkflowContext,
} from "../durable/mod.ts";
import { waitUntil } from "../testing/mod.ts";
import { newGate } from "./_gate.ts";
import { type Ground, onGround } from "./_ground.ts";
import { commandsSettled, countEvents, journalEvents, rawJournal } from "./_journals.ts";

/** So long that nothing here may wait for it. */
const ackWaitMs = 10_000;
const namespace = "hostile";
const timeoutMs = 5_000;

const tick = () => new Promise<void>((resolve) => process.nextTick(resolve));
const timer = () => new Promise<void>((resolve) => setTimeout(resolve, 20));

/** Until the event loop had to turn: on Deno a digest is now and then there at once. */
const digest = async () => {
  let turned = false;
  process.nextTick(() => turned = true);
  while (!turned) await crypto.subtle.digest("SHA-256", new Uint8Array(100_000));
};

/** Closes the first worker in the middle of a step, and lets a second one go on. */
async function takeOver(
  ground: Ground,
  workflows: readonly AnyWorkflow[],
  untilHeld: Promise<void>,
): Promise<void> {
  const first = await ground.worker({ namespace, ackWaitMs, workflows });
  await untilHeld;
  await first.close({ graceMs: 0 });
  await ground.worker({ namespace, ackWaitMs, workflows });
}

async function isBlocked(handle: InvocationHandle<unknown>): Promise<string> {
  const { reason } = await waitUntil(async () => {
    const status = await handle.status();
    assert.ok(status.status === "running" || status.status === "blocked", status.status);
    return status.status === "blocked" && status;
  }, { what: "it is blocked" });
  return reason ?? "";
}

for (const [what, other] of [["a tick", tick], ["a timer", timer], ["a digest", digest]] as const) {
  test(`branches that await ${what} between their operations are blocked`, async () => {
    await onGround(async (ground) => {
      const calls: string[] = [];
      const held = newGate();
      const pay = workflow("pay", async (ctx, _: number) => {
        const branch = async (who: string) => {
          await ctx.run("quote", async () => {
            calls.push(`quote ${who}`);
            if (who === "b") await held.pass();
          });
          await other();
          await ctx.run("charge", () => void calls.push(`charge ${who}`));
        };
        await Promise.all([branch("a"), branch("b")]);
        await ctx.run("ship", () => void calls.push("ship"));
      });
      await ground.worker({ namespace, ackWaitMs, workflows: [pay] });
      const handle = await ground.durable({ namespace }).start(pay, 1, { id: "o-1" });
      const reason = await isBlocked(handle);
      assert.match(reason, /operation 2, run "charge".*no operation.*await it in a step/);
      held.open();
      await commandsSettled(ground.client, namespace);
      assert.deepEqual(calls, ["quote a", "quote b"], "no charge began");
      assert.equal(countEvents(await journalEvents(handle), "blocked"), 1);

      await handle.cancel();
      await assert.rejects(handle.result({ timeoutMs }), (error) => {
        return isJsflowError(error, "invocation_cancelled");
      });
    });
  });
}

test("one operation after the other, code may await what it likes in between", async () => {
  await onGround(async (ground) => {
    const held = newGate();
    const calls: number[] = [];
    const sequence = workflow("sequence", async (ctx, input: number) => {
      let sum = input;
      for (let step = 0; step < 4; step++) {
        await (step % 2 ? digest() : timer());
        sum += await ctx.run(`step ${step}`, async () => {
          calls.push(step);
          if (step === 2 && calls.length === 3) await held.pass();
          return step;
        });
      }
      return sum;
    });
    const handle = await ground.durable({ namespace }).start(sequence, 10, { id: "o-1" });
    await takeOver(ground, [sequence], held.reached);
    assert.equal(await handle.result({ timeoutMs }), 16);
    assert.deepEqual(calls, [0, 1, 2, 2, 3]);
    held.open();
  });
});

test("branches of operations alone go on in another worker as they began", async () => {
  await onGround(async (ground) => {
    const held = newGate();
    let isFirst = true;
    const keys = new Map<string, Set<string>>();
    const branches = workflow("branches", async (ctx, _: number) => {
      const branch = async (who: string, steps: number) => {
        const seen: string[] = [];
        for (let step = 0; step < steps; step++) {
          await Promise.resolve();
          seen.push(
            await ctx.run("same name", async ({ idempotencyKey }) => {
              const effect = `${who}${step}`;
              keys.set(effect, (keys.get(effect) ?? new Set()).add(idempotencyKey));
              // The first branch is slow, then the last one, so that the branches overtake.
              if (step === (who === "a" ? 0 : 2)) await timer();
              if (isFirst && effect === "c2") await held.pass();
              return effect;
            }),
          );
        }
        return seen;
      };
      return await Promise.all([branch("a", 3), branch("b", 2), branch("c", 4)]);
    });
    const handle = await ground.durable({ namespace }).start(branches, 1, { id: "o-1" });
    await takeOver(ground, [branches], held.reached.then(() => void (isFirst = false)));
    assert.deepEqual(await handle.result({ timeoutMs }), [
      ["a0", "a1", "a2"],
      ["b0", "b1"],
      ["c0", "c1", "c2", "c3"],
    ]);
    for (const [effect, used] of keys) assert.equal(used.size, 1, `${effect} kept its key`);
    assert.equal(countEvents(await journalEvents(handle), "claimed"), 2);
    held.open();
  });
});

/** Things to throw that fail whoever looks at them. */
function hostileThings(): Record<string, unknown> {
  const fail = () => {
    throw new Error("don't look");
  };
  const accessors = new Error("accessors");
  for (const name of ["name", "message", "code", "cause", "stack"]) {
    Object.defineProperty(accessors, name, { get: fail });
  }
  const traps = new Proxy({}, {
    get: (_, name) => name === "then" ? undefined : fail(),
    getPrototypeOf: fail,
    has: fail,
    ownKeys: fail,
    getOwnPropertyDescriptor: fail,
  });
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  return {
    accessors,
    "no text": { toString: fail, [Symbol.toPrimitive]: fail },
    "no prototype": Object.create(null),
    "message is no text": Object.assign(new Error(), { message: { toString: fail }, name: 1n }),
    traps,
    revoked: revoked.proxy,
    symbol: Symbol("thrown"),
    "half a character": new Error("\ud800"),
    nothing: undefined,
  };
}

test("whatever a step throws, it fails", async () => {
  await onGround(async (ground) => {
    const things = hostileThings();
    const calls: string[] = [];
    const thrower = workflow("thrower", async (ctx, name: string) => {
      const retry = { delaysMs: [1] };
      await ctx.run("throw", () => {
        calls.push(name);
        throw things[name];
      }, { retry });
    });
    const rethrower = workflow("rethrower", (_ctx, name: string) => {
      throw things[name];
    });
    const worker = await ground.worker({ namespace, ackWaitMs, workflows: [thrower, rethrower] });
    const durable = ground.durable({ namespace });
    const failedIn = async (code: typeof thrower, name: string) => {
      const handle = await durable.start(code, name, { id: name });
      await assert.rejects(handle.result({ timeoutMs }), (error) => {
        assert.ok(error instanceof InvocationFailedError, `${code.name} of ${name}: ${error}`);
        return true;
      });
      assert.equal((await handle.status()).status, "failed");
    };
    for (const name of Object.keys(things)) {
      await failedIn(thrower, name);
      await failedIn(rethrower, name);
    }
    assert.deepEqual(calls, Object.keys(things).flatMap((name) => [name, name]), "two attempts");
    await waitUntil(() => worker.running === 0, { what: "the worker is idle" });
  });
});

test("a workflow catches what can't be looked at as a failed step", async () => {
  await onGround(async (ground) => {
    const { accessors, traps } = hostileThings();
    const unreadable = Object.defineProperty({}, "value", {
      enumerable: true,
      get() {
        throw traps;
      },
    });
    const outcomeOf = (ctx: WorkflowContext, name: string, step: () => unknown) =>
      ctx.run(name, step, { retry: { attempts: 1 } }).then(
        () => "no error",
        (error) => error instanceof StepFailedError ? `failed ${error.attempts}` : `${error}`,
      );
    const catcher = workflow("catcher", async (ctx, _: number) => [
      await outcomeOf(ctx, "throws", () => {
        throw accessors;
      }),
      await outcomeOf(ctx, "rejects", () => Promise.reject(traps)),
      await outcomeOf(ctx, "returns", () => unreadable),
    ]);
    await ground.worker({ namespace, ackWaitMs, workflows: [catcher] });
    const handle = await ground.durable({ namespace }).start(catcher, 1, { id: "o-1" });
    assert.deepEqual(await handle.result({ timeoutMs }), ["failed 1", "failed 1", "failed 1"]);
  });
});

test("what the code does to a value later doesn't change the journal", async () => {
  await onGround(async (ground) => {
    const held = newGate();
    let returned = new Uint8Array();
    let isFirst = true;
    const binary = workflow("binary", async (ctx, _: number) => {
      const value = await ctx.run("bytes", () => {
        returned = new Uint8Array([201, 202, 203]);
        return returned;
      }, { codec: bytes() });
      const seen = [...value];
      value[0] = 99;
      returned[1] = 98;
      await ctx.run("hold", () => isFirst ? held.pass() : undefined);
      return { seen, kept: [...value] };
    });
    const handle = await ground.durable({ namespace }).start(binary, 1, { id: "o-1" });
    await takeOver(ground, [binary], held.reached.then(() => void (isFirst = false)));
    const expected = { seen: [201, 202, 203], kept: [99, 202, 203] };
    assert.deepEqual(await handle.result({ timeoutMs }), expected);
    const journal = await rawJournal(ground.client, { namespace, workflow: "binary", id: "o-1" });
    assert.ok(journal.some(({ hex }) => hex.includes("c9cacb")), "as the step returned it");
    assert.ok(!journal.some(({ hex }) => /63cacb|c962cb|6362cb/.test(hex)), "as it was changed");
    held.open();
  });
});

test("a codec that makes no bytes fails its step once and for all", async () => {
  await onGround(async (ground) => {
    const held = newGate();
    let isFirst = true;
    const effects: string[] = [];
    const encoded: Record<string, unknown> = {
      buffer: new ArrayBuffer(4),
      text: "text",
      array: [1, 2],
      nothing: undefined,
    };
    const codecs = workflow("codecs", async (ctx, _: number) => {
      const codes: string[] = [];
      for (const name of Object.keys(encoded)) {
        const codec = { ...losslessJson<number>(), encode: () => encoded[name] } as Codec<number>;
        const effect = ctx.run(name, () => effects.push(name), { codec });
        await effect.catch((error) => codes.push(error.failure.code));
      }
      await ctx.run("hold", () => isFirst ? held.pass() : undefined);
      return codes;
    });
    const handle = await ground.durable({ namespace }).start(codecs, 1, { id: "o-1" });
    await takeOver(ground, [codecs], held.reached.then(() => void (isFirst = false)));
    const failed = Object.keys(encoded).map(() => "encode_failed");
    assert.deepEqual(await handle.result({ timeoutMs }), failed);
    assert.deepEqual(effects, Object.keys(encoded), "each effect happened once");
    held.open();
  });
});

test("a result that its codec makes no bytes of fails the invocation", async () => {
  await onGround(async (ground) => {
    const codec = { ...losslessJson<number>(), encode: () => new ArrayBuffer(4) };
    const output = codec as unknown as Codec<number>;
    const effects: number[] = [];
    const bad = workflow("bad", { output }, async (ctx, input: number) => {
      await ctx.run("effect", () => void effects.push(input));
      return input;
    });
    await ground.worker({ namespace, ackWaitMs, workflows: [bad] });
    const handle = await ground.durable({ namespace }).start(bad, 1, { id: "o-1" });
    await assert.rejects(handle.result({ timeoutMs }), (error) => {
      assert.ok(error instanceof InvocationFailedError, `${error}`);
      assert.equal(error.failure.code, "encode_failed");
      return true;
    });
    assert.deepEqual(effects, [1]);
  });
});
