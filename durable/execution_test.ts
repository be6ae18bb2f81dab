import assert from "node:assert/strict";
import process from "node:process";
import { setImmediate } from "node:timers";
import { after, before, test } from "node:test";
import { isJsflowError } from "../client/errors.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { StepFailedError, TerminalError } from "./errors.ts";
import type { WorkflowContext } from "./workflow_context.ts";
import { entries, events } from "./tests/journal_builder.ts";
import { type AppendHook, Bench, unknownOutcome } from "./tests/execution_harness.ts";

let bench: Bench;

before(async () => {
  bench = await Bench.open();
});

after(async () => {
  await bench.close();
});

const BEGIN = "claimed, started";

/** A door: steps wait at it until the test opens it. */
function door(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/** Does something once, just before the first record that holds an entry of this kind. */
function beforeEntry(kind: string, act: () => Promise<void>): AppendHook {
  let done = false;
  return async (record, next) => {
    if (!done && record.entries.some((entry) => entry.kind.case === kind)) {
      done = true;
      await act();
    }
    return await next();
  };
}

/** Lets everything that is ready to run do so. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Never settles by itself. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

// ---------------------------------------------------------------- steps and values

test("steps run in order, each outcome is in the journal before the next begins", async () => {
  const seen: number[] = [];
  const made = bench.case(async (ctx, input: number) => {
    const one = await ctx.run("one", async () => {
      seen.push((await made.records()).length);
      return input + 1;
    });
    const two = await ctx.run("two", async () => {
      seen.push((await made.records()).length);
      return one + 1;
    });
    return { one, two };
  }, 1);
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(seen, [1, 2]);
  assert.deepEqual(await made.end(), { one: 2, two: 3 });
  assert.deepEqual(await made.story(), [BEGIN, "outcome one", "outcome two, completed"]);
});

test("the code sees values as the journal holds them", async () => {
  const values = new Map<string, unknown>([
    ["undefined", undefined],
    ["null", null],
    ["object", { a: 1, gone: undefined, deep: [{ x: "é\u2028" }] }],
    ["zero", -0],
    ["empty", ""],
  ]);
  const seen = new Map<string, unknown>();
  const made = bench.case(async (ctx) => {
    for (const [name, value] of values) seen.set(name, await ctx.run(name, () => value));
  });
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(Object.fromEntries(seen), {
    undefined: undefined,
    null: null,
    object: { a: 1, deep: [{ x: "é\u2028" }] },
    zero: 0,
    empty: "",
  });
  assert.ok(!Object.hasOwn(seen.get("object") as object, "gone"));
  assert.notEqual(seen.get("object"), values.get("object"));
  assert.equal(await made.end(), undefined);
});

test("a value that JSON would change fails its step at once and is not journaled", async () => {
  let calls = 0;
  const made = bench.case(async (ctx) => {
    const refused = await ctx.run("date", () => {
      calls++;
      return { at: [new Date(0)] };
    }).catch((error: StepFailedError) => [error.attempts, error.failure]);
    return [refused, await ctx.run("next", () => "goes on")];
  });
  assert.equal(await made.finish(), "terminal");
  assert.equal(calls, 1);
  const [[attempts, failure], next] = await made.end() as [[number, { message: string }], string];
  assert.equal(attempts, 1);
  assert.match(failure.message, /\$\.at\[0\]/);
  assert.equal((failure as unknown as { code: string }).code, "encode_failed");
  assert.equal(next, "goes on");
  assert.deepEqual((await made.story())[1], "error date");
});

test("a result that JSON would change fails the invocation", async () => {
  const made = bench.case(() => new Map());
  assert.equal(await made.finish(), "terminal");
  assert.match(String(await made.end()), /^failed: .*\$/);
});

test("an idempotency key is the same at every attempt, and another for every step", async () => {
  const keys: string[] = [];
  const made = bench.case(async (ctx) => {
    for (const name of ["a", "b"]) {
      await ctx.run(name, ({ idempotencyKey, attempt }) => {
        keys.push(idempotencyKey);
        if (attempt === 1) throw new Error("again");
      }, { retry: { delaysMs: [0] } });
    }
  });
  await made.finish();
  assert.equal(keys.length, 4);
  assert.equal(keys[0], keys[1]);
  assert.equal(keys[2], keys[3]);
  assert.notEqual(keys[0], keys[2]);
});

// ---------------------------------------------------------------- replay

test("after a takeover the code goes on after the last outcome", async () => {
  const calls = { one: 0, two: 0 };
  const gate = door();
  const made = bench.case(async (ctx) => {
    const one = await ctx.run("one", () => ++calls.one);
    const two = await ctx.run("two", async () => {
      calls.two++;
      if (calls.two === 1) await gate.opened;
      return calls.two;
    });
    return { one, two, replaying: ctx.isReplaying };
  });
  const first = await made.run();
  await waitUntil(() => calls.two === 1, { what: "step two runs" });
  await first.crash();
  gate.open();
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(await made.end(), { one: 1, two: 2, replaying: false });
  assert.deepEqual(calls, { one: 1, two: 2 });
});

test("races between steps come out the same after a takeover", async () => {
  const slow = door();
  const last = door();
  let stage = 0;
  const run = (ctx: WorkflowContext, free: boolean) => async () => {
    const a = ctx.run("a", async () => {
      if (!free) await slow.opened;
      return "a";
    });
    const b = ctx.run("b", () => "b");
    const c = ctx.run("c", () => Promise.reject(new TerminalError("c fails")));
    const race = await Promise.race([a, b]);
    const any = await Promise.any([c, a, b]);
    const after = await ctx.run(`after ${race}`, () => race + any);
    slow.open();
    const all = await Promise.all([a, b]);
    stage = 1;
    const end = await ctx.run("end", async () => {
      if (!free) await last.opened;
      return "end";
    });
    return { race, any, after, all, end, settled: (await Promise.allSettled([c]))[0]?.status };
  };
  const made = bench.case((ctx) => run(ctx, false)());
  const first = await made.run();
  await waitUntil(() => stage === 1, { what: "the last step runs" });
  await waitUntil(async () => (await made.journal()).state.outcomes.size === 4, {
    what: "four outcomes are journaled",
  });
  await first.crash();
  last.open();
  assert.equal(await made.finish({ code: (ctx) => run(ctx, true)() }), "terminal");
  assert.deepEqual(await made.end(), {
    race: "b",
    any: "b",
    after: "bb",
    all: ["a", "b"],
    end: "end",
    settled: "rejected",
  });
});

test("a race that was not decided in the journal is decided anew", async () => {
  const never = door();
  const made = bench.case(async (ctx) => {
    const a = ctx.run("a", () => never.opened.then(() => "a"));
    const b = ctx.run("b", () => never.opened.then(() => "b"));
    return await Promise.race([a, b]);
  });
  const first = await made.run();
  await first.crash();
  const code = async (ctx: WorkflowContext) => {
    const a = ctx.run("a", () => never.opened.then(() => "a"));
    const b = ctx.run("b", () => "b");
    return await Promise.race([a, b]);
  };
  assert.equal(await made.finish({ code }), "terminal");
  assert.equal(await made.end(), "b");
  never.open();
});

const changes = {
  renamed: [["a", "b"], ["a", "B"], /operation 1 is run "B" in the code, but run "b"/],
  swapped: [["a", "b"], ["b", "a"], /operation 0 is run "b" in the code, but run "a"/],
  inserted: [["a", "b"], ["new", "a", "b"], /operation 0 is run "new"/],
  "removed in the middle": [["a", "b"], ["b"], /operation 0 is run "b"/],
  "removed at the end": [["a", "b"], ["a"], /ended without operation 1/],
} as const;

for (const [what, [old, now, reason]] of Object.entries(changes)) {
  test(`a step that was ${what} blocks the invocation, and nothing is overwritten`, async () => {
    const calls: string[] = [];
    const gate = door();
    const code = (steps: readonly string[], hold: boolean) => async (ctx: WorkflowContext) => {
      for (const step of steps) await ctx.run(step, () => void calls.push(step));
      if (hold) await ctx.run("hold", () => gate.opened);
    };
    const made = bench.case(code(old, true));
    const first = await made.run();
    await waitUntil(async () => (await made.journal()).state.outcomes.size === 2, { what: "a, b" });
    await first.crash();
    gate.open();
    assert.equal(await made.finish({ code: code(now, false) }), "blocked");
    const { state } = await made.journal();
    assert.equal(state.status, "blocked");
    assert.match(state.blocked?.reason ?? "", reason);
    assert.deepEqual(calls, old);
    assert.deepEqual(await made.story(), [BEGIN, "outcome a", "outcome b", "claimed", "blocked"]);
    assert.equal(await made.finish({ code: code(old, false) }), "terminal");
    assert.deepEqual(calls, old);
  });
}

test("code that never asks for what the journal holds is blocked after replayStallMs", async () => {
  const made = bench.case(async (ctx) => {
    await ctx.run("a", () => 1);
    await ctx.run("hold", ({ signal }) => untilAborted(signal));
  });
  const first = await made.run();
  await waitUntil(async () => (await made.journal()).state.outcomes.size === 1, { what: "a" });
  await first.crash();
  const startedAt = performance.now();
  const stop = await made.finish({ code: () => new Promise(() => {}), replayStallMs: 300 });
  assert.equal(stop, "blocked");
  assert.ok(performance.now() - startedAt >= 290);
  assert.match((await made.journal()).state.blocked?.reason ?? "", /does not ask for operation 0/);
});

test("code that takes its time in a replay is not blocked", async () => {
  const code = (pauseMs: number, hold: boolean) => async (ctx: WorkflowContext) => {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const a = await ctx.run("a", () => 1);
    if (hold) await ctx.run("hold", ({ signal }) => untilAborted(signal));
    return a;
  };
  const made = bench.case(code(0, true));
  const first = await made.run();
  await waitUntil(async () => (await made.journal()).state.outcomes.size === 1, { what: "a" });
  await first.crash();
  assert.equal(await made.finish({ code: code(400, false), replayStallMs: 4_000 }), "terminal");
  assert.equal(await made.end(), 1);
});

// ---------------------------------------------------------------- outsiders win the append

test("a cancel that comes before an outcome is replayed in order: the outcome is kept", async () => {
  const calls: string[] = [];
  let passes = 0;
  const made = bench.case(async (ctx) => {
    passes++;
    const a = await ctx.run("a", () => {
      calls.push("a");
      return "kept";
    });
    await ctx.run("b", () => void calls.push("b"));
    return a;
  });
  const hook = beforeEntry("outcome", () => made.event(events.cancel("1")));
  assert.equal(await made.finish({ hook }), "terminal");
  assert.deepEqual(calls, ["a"]);
  assert.equal(passes, 2);
  assert.equal(await made.end(), "cancelled: enough");
  assert.deepEqual(await made.story(), [BEGIN, "cancel", "outcome a, cancelled"]);
});

test("an event between the last outcome and the end makes the code decide again", async () => {
  let passes = 0;
  let calls = 0;
  const made = bench.case(async (ctx) => {
    passes++;
    const a = await ctx.run("a", () => ++calls);
    return await ctx.run("more", () => "not cancelled").catch((error) =>
      `${a} ${isJsflowError(error) && error.code}`
    );
  });
  const hook = beforeEntry("outcome", () => made.event(events.cancel("1")));
  assert.equal(await made.finish({ hook }), "terminal");
  assert.equal(await made.end(), "1 invocation_cancelled");
  assert.equal(calls, 1);
  assert.equal(passes, 2);
});

test("an event that beats the record of the end does not change what was decided", async () => {
  for (const kind of ["signal", "pause", "cancel"] as const) {
    let calls = 0;
    let passes = 0;
    const made = bench.case(async (ctx) => {
      passes++;
      return await ctx.run("only", () => ++calls);
    });
    const hook = beforeEntry("completed", () => made.event(events[kind]("1")));
    assert.equal(await made.finish({ hook }), "terminal");
    assert.equal(await made.end(), 1);
    assert.equal(calls, 1);
    assert.equal(passes, 2);
    assert.deepEqual(await made.story(), [BEGIN, kind, "outcome only, completed"]);
  }
});

test("a pause that comes before an outcome stops before the next step", async () => {
  const calls: string[] = [];
  const made = bench.case(async (ctx) => {
    await ctx.run("a", () => void calls.push("a"));
    await ctx.run("b", () => void calls.push("b"));
  });
  const hook = beforeEntry("outcome", () => made.event(events.pause("1")));
  assert.equal(await made.finish({ hook }), "suspended");
  assert.deepEqual(calls, ["a"]);
  assert.deepEqual(await made.story(), [BEGIN, "pause", "outcome a, suspended"]);
  await made.event(events.resume("2"));
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(calls, ["a", "b"]);
});

test("a resume that beats the record of the pause makes the code go on", async () => {
  const made = bench.case(async (ctx) => {
    await ctx.run("a", () => 1);
    return await ctx.run("b", () => 2);
  });
  const pause = beforeEntry("outcome", () => made.event(events.pause("1")));
  const resume = beforeEntry("suspended", () => made.event(events.resume("2")));
  const hook: AppendHook = (record, next) => pause(record, () => resume(record, next));
  // Only the second try holds the pause: the hooks see each try.
  assert.equal(await made.finish({ hook }), "terminal");
  assert.equal(await made.end(), 2);
});

test("another party that attaches meanwhile changes nothing", async () => {
  let passes = 0;
  const made = bench.case(async (ctx) => {
    passes++;
    return await ctx.run("a", () => 1);
  });
  const party = { kind: { case: "inbox", value: "x" } } as never;
  const hook = beforeEntry("outcome", () => made.outsider(entries.attached(party)));
  assert.equal(await made.finish({ hook }), "terminal");
  assert.equal(passes, 1);
  assert.deepEqual(await made.story(), [BEGIN, "attached", "outcome a, completed"]);
});

// ---------------------------------------------------------------- fencing

test("a newer claim stops the old owner: nothing is appended, signals abort", async () => {
  const gate = door();
  let reason: unknown;
  const calls: string[] = [];
  const made = bench.case(async (ctx) => {
    const other = ctx.run("other", async ({ signal }) => {
      await untilAborted(signal).catch((error) => reason = error);
    });
    await ctx.run("a", () => gate.opened);
    await ctx.run("b", () => void calls.push("b"));
    await other;
  });
  const first = await made.run();
  await made.steal();
  gate.open();
  assert.equal(await first.stopped, "fenced");
  assert.ok(isJsflowError(reason, "fenced"));
  assert.deepEqual(calls, []);
  assert.deepEqual(await made.story(), [BEGIN, "claimed"]);
});

test("a look at the tail is enough to notice a newer claim", async () => {
  const made = bench.case((ctx) => ctx.run("a", ({ signal }) => untilAborted(signal)));
  const first = await made.run();
  await made.steal();
  first.execution.refresh();
  assert.equal(await first.stopped, "fenced");
});

test("a record whose ack was lost is found and not written again", async () => {
  let lost = 0;
  const made = bench.case(async (ctx) => await ctx.run("a", () => 1));
  const hook: AppendHook = async (_, next) => {
    const result = await next();
    if (lost++ === 0) throw unknownOutcome();
    return result;
  };
  assert.equal(await made.finish({ hook }), "terminal");
  assert.deepEqual(await made.story(), [BEGIN, "outcome a, completed"]);
  assert.equal(lost, 1);
});

test("a record that was not written is offered again", async () => {
  let tries = 0;
  const made = bench.case(async (ctx) => await ctx.run("a", () => 1));
  const hook: AppendHook = async (_, next) => {
    if (++tries < 3) throw unknownOutcome();
    return await next();
  };
  assert.equal(await made.finish({ hook }), "terminal");
  assert.deepEqual(await made.story(), [BEGIN, "outcome a, completed"]);
  assert.equal(tries, 3);
});

test("an unknown append that an event has beaten is decided again", async () => {
  let tries = 0;
  const made = bench.case(async (ctx) => {
    await ctx.run("a", () => 1);
    await ctx.run("b", () => 2);
  });
  const hook: AppendHook = async (_, next) => {
    if (++tries > 1) return await next();
    await made.event(events.cancel("1"));
    throw unknownOutcome();
  };
  assert.equal(await made.finish({ hook }), "terminal");
  assert.deepEqual(await made.story(), [BEGIN, "cancel", "outcome a, cancelled"]);
});

test("its own record in the tail does not hide the newer claim behind it", async () => {
  const attempts: number[] = [];
  let done = false;
  const made = bench.case((ctx) =>
    ctx.run("a", ({ attempt }) => {
      attempts.push(attempt);
      throw new Error("again");
    }, { retry: { delaysMs: [0, 0, 0, 0] } })
  );
  const hook: AppendHook = async (_, next) => {
    const result = await next();
    if (done) return result;
    done = true;
    await made.steal();
    throw unknownOutcome();
  };
  assert.equal(await made.finish({ hook }), "fenced");
  await turns();
  assert.deepEqual(attempts, [1]);
  assert.deepEqual(await made.story(), [BEGIN, "attempt 1 a", "claimed"]);
});

test("not even the record of a stop hides a newer claim behind it", async () => {
  const made = bench.case((ctx) => ctx.run("a", () => 1));
  const hook: AppendHook = async (record, next) => {
    const result = await next();
    if (record.entries.every(({ kind }) => kind.case !== "suspended")) return result;
    await made.event(events.resume("2"));
    await made.steal();
    throw unknownOutcome();
  };
  await made.event(events.pause("1"));
  assert.equal(await made.finish({ hook }), "fenced");
});

test("a record that breaks the chain quarantines", async () => {
  const made = bench.case((ctx) => ctx.run("a", () => 1));
  const hook = beforeEntry("outcome", () => made.publish(new Uint8Array([1, 2, 3])));
  assert.equal(await made.finish({ hook }), "quarantined");
  assert.equal((await made.journal()).state.fault?.kind, "undecodable");
});

test("a journal that was purged stops the owner", async () => {
  const made = bench.case((ctx) => ctx.run("a", () => 1));
  const hook = beforeEntry("outcome", () => made.purge());
  await assert.rejects(made.finish({ hook }), { name: "JournalLostError" });
  assert.deepEqual(await made.story(), []);
});

test("a worker that must stop at once appends nothing more", async () => {
  let aborted = false;
  const made = bench.case((ctx) =>
    ctx.run("a", async ({ signal }) => {
      await untilAborted(signal).catch(() => aborted = true);
    })
  );
  const first = await made.run();
  await first.crash();
  await assert.rejects(first.stopped, /crashed/);
  await waitUntil(() => aborted, { what: "the step's signal aborts" });
  assert.deepEqual(await made.story(), [BEGIN]);
});

// ---------------------------------------------------------------- retries and time-outs

test("failed attempts are journaled, and a takeover goes on counting", async () => {
  const attempts: number[] = [];
  const made = bench.case((ctx) =>
    ctx.run("a", ({ attempt }) => {
      attempts.push(attempt);
      if (attempt < 4) throw new Error(`no ${attempt}`);
      return attempt;
    }, { retry: { delaysMs: [0, 60_000, 0] } })
  );
  const first = await made.run();
  await waitUntil(async () => (await made.journal()).state.attempts.get(0)?.attempt === 2, {
    what: "two attempts are journaled",
  });
  await first.crash();
  assert.deepEqual(attempts, [1, 2]);
  const retryAtMs = Number((await made.journal()).state.attempts.get(0)?.retryAtMs);
  assert.ok(retryAtMs > Date.now() + 50_000);
  const second = await made.run();
  await made.event(events.cancel("1"));
  second.execution.refresh();
  assert.equal(await second.stopped, "terminal");
  assert.deepEqual(attempts, [1, 2], "the pause of the former owner goes on");
});

test("a takeover after the pause tries on", async () => {
  const attempts: number[] = [];
  const made = bench.case((ctx) =>
    ctx.run("a", async ({ attempt, signal }) => {
      attempts.push(attempt);
      if (attempt === 3 && attempts.length === 3) await untilAborted(signal);
      if (attempt < 4) throw new Error(`no ${attempt}`);
      return attempt;
    }, { retry: { delaysMs: [0, 0, 0] } })
  );
  const first = await made.run();
  await waitUntil(() => attempts.length === 3, { what: "three attempts were made" });
  await first.crash();
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(attempts, [1, 2, 3, 3, 4]);
  assert.equal(await made.end(), 4);
  const { state } = await made.journal();
  assert.equal(state.outcomes.get(0)?.attempts, 4);
});

test("a step that has used up its attempts throws what it threw last", async () => {
  const made = bench.case((ctx) =>
    ctx.run("a", ({ attempt }) => {
      throw Object.assign(new RangeError(`no ${attempt}`), { code: "E_NO" });
    }, { retry: { delaysMs: [0, 0] } }).catch((error: StepFailedError) => ({
      isError: error instanceof StepFailedError,
      step: error.step,
      attempts: error.attempts,
      failure: { ...error.failure },
    }))
  );
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(await made.end(), {
    isError: true,
    step: "a",
    attempts: 3,
    failure: { name: "RangeError", message: "no 3", code: "E_NO" },
  });
  assert.deepEqual(await made.story(), [
    BEGIN,
    "attempt 1 a",
    "attempt 2 a",
    "error a, completed",
  ]);
});

test("an error that says so is not retried", async () => {
  const made = bench.case((ctx) =>
    ctx.run("a", () => {
      throw new TerminalError("declined");
    })
  );
  assert.equal(await made.finish(), "terminal");
  assert.match(String(await made.end()), /^failed: .*declined/);
  assert.deepEqual(await made.story(), [BEGIN, "error a, failed"]);
});

test("an attempt that takes too long fails, whether it heeds its signal or not", async () => {
  const reasons: unknown[] = [];
  const made = bench.case(async (ctx) => {
    const one = ctx.run("heeds", async ({ signal }) => {
      await untilAborted(signal).catch((error) => reasons.push(error));
      throw signal.reason;
    }, { timeoutMs: 20, retry: { delaysMs: [0] } });
    const two = ctx.run("ignores", () => new Promise(() => {}), {
      timeoutMs: 20,
      retry: { attempts: 1 },
    });
    const three = ctx.run("quick", () => "quick", { timeoutMs: 10_000 });
    const settled = await Promise.allSettled([one, two, three]);
    return settled.map((result) =>
      result.status === "rejected" ? result.reason.failure.code : result.value
    );
  });
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(await made.end(), ["timeout", "timeout", "quick"]);
  assert.equal(reasons.length, 2);
  assert.ok(reasons.every((reason) => isJsflowError(reason, "timeout")));
});

// ---------------------------------------------------------------- records

test("outcomes that are ready together share a record", async () => {
  const made = bench.case((ctx) =>
    Promise.all([1, 2, 3, 4, 5].map((n) => ctx.run(`s${n}`, () => n)))
  );
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(await made.story(), [
    BEGIN,
    "outcome s1, outcome s2, outcome s3, outcome s4, outcome s5, completed",
  ]);
  assert.deepEqual(await made.end(), [1, 2, 3, 4, 5]);
});

test("outcomes that come while a record is on its way share the next", async () => {
  const gate = door();
  let running = 0;
  const made = bench.case((ctx) =>
    Promise.all([1, 2, 3].map((n) =>
      ctx.run(`s${n}`, async () => {
        running++;
        if (n > 1) await gate.opened;
        return n;
      })
    ))
  );
  const hook = beforeEntry("outcome", async () => {
    await waitUntil(() => running === 3, { what: "all steps run" });
    gate.open();
    await turns();
  });
  assert.equal(await made.finish({ hook }), "terminal");
  assert.deepEqual(await made.story(), [BEGIN, "outcome s1", "outcome s2, outcome s3, completed"]);
});

test("records are split before they exceed the limit", async () => {
  const maxRecordBytes = 2_500;
  const made = bench.case(async (ctx) => {
    const all = [1, 2, 3, 4, 5, 6, 7].map((n) => ctx.run(`s${n}`, () => "x".repeat(1_000)));
    return (await Promise.all(all)).length;
  });
  assert.equal(await made.finish({ maxRecordBytes }), "terminal");
  assert.equal(await made.end(), 7);
  assert.deepEqual(await made.story(), [
    BEGIN,
    "outcome s1, outcome s2",
    "outcome s3, outcome s4",
    "outcome s5, outcome s6",
    "outcome s7, completed",
  ]);
});

test("a result that does not fit beside the last outcome gets a record of its own", async () => {
  const { maxPayloadBytes } = bench.client;
  const size = Math.floor(maxPayloadBytes * 0.7);
  const made = bench.case((ctx) => ctx.run("large", () => "x".repeat(size)));
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(await made.story(), [BEGIN, "outcome large", "completed"]);
  assert.equal((await made.end() as string).length, size);
});

test("a value or a result that fits into no record fails with a typed error", async () => {
  const made = bench.case(async (ctx) => {
    const error = await ctx.run("large", () => "x".repeat(5_000)).catch((error) => error);
    assert.equal(error.failure.code, "payload_too_large");
    return "y".repeat(5_000);
  });
  assert.equal(await made.finish({ maxRecordBytes: 4_000 }), "terminal");
  assert.match(String(await made.end()), /^failed: .*5002 bytes, at most 4000 fit/);
});

// ---------------------------------------------------------------- forgotten steps

test("a step that nobody awaits is journaled while the code goes on", async () => {
  const made = bench.case(async (ctx) => {
    void ctx.run("forgotten", () => 1);
    return await ctx.run("awaited", () => 2);
  });
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(await made.story(), [BEGIN, "outcome forgotten, outcome awaited, completed"]);
});

test("a step that fails before somebody awaits it does not end the process", async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    const made = bench.case(async (ctx) => {
      const fails = ctx.run("fails", () => {
        throw new TerminalError("early");
      });
      void ctx.run("forgotten", () => {
        throw new TerminalError("forgotten");
      });
      await ctx.run("slow", () => bothFailed());
      return await fails.catch((error) => error.failure.message);
    });
    const bothFailed = async () => {
      const seen = async () => (await made.journal()).state.outcomes.size === 2;
      await waitUntil(seen, { what: "both failures are journaled" });
      await turns();
    };
    assert.equal(await made.finish(), "terminal");
    assert.equal(await made.end(), "early");
    await turns();
    assert.deepEqual(unhandled, []);
  } finally {
    process.off("unhandledRejection", note);
  }
});

test("steps that run when the code ends are cut off", async () => {
  let reason: unknown;
  const made = bench.case(async (ctx) => {
    void ctx.run("forgotten", async ({ signal }) => {
      await untilAborted(signal).catch((error) => reason = error);
    });
    return await ctx.run("awaited", () => "end");
  });
  assert.equal(await made.finish(), "terminal");
  await waitUntil(() => reason !== undefined, { what: "the signal aborts" });
  assert.deepEqual(await made.story(), [BEGIN, "outcome awaited, completed"]);
});

test("code that asks for a step after its end asks nobody", async () => {
  let late: Promise<unknown> | undefined;
  let called = false;
  const made = bench.case((ctx) => {
    setTimeout(() => late = ctx.run("late", () => void (called = true)), 30);
    return "end";
  });
  assert.equal(await made.finish(), "terminal");
  await waitUntil(() => late !== undefined, { what: "the code has asked" });
  await turns();
  assert.equal(called, false);
  assert.deepEqual(await made.story(), [BEGIN, "completed"]);
});

// ---------------------------------------------------------------- release

test("a release waits for what runs and begins nothing more", async () => {
  const gate = door();
  const calls: string[] = [];
  const made = bench.case(async (ctx) => {
    await ctx.run("a", async () => {
      calls.push("a");
      await gate.opened;
    });
    await ctx.run("b", () => void calls.push("b"));
  });
  const first = await made.run();
  await waitUntil(() => calls.length === 1, { what: "step a runs" });
  first.execution.release({ force: false });
  gate.open();
  assert.equal(await first.stopped, "released");
  assert.deepEqual(calls, ["a"]);
  assert.deepEqual(await made.story(), [BEGIN, "outcome a, released"]);
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(calls, ["a", "b"]);
});

test("a forced release leaves what runs behind", async () => {
  let calls = 0;
  const made = bench.case((ctx) =>
    ctx.run("a", async ({ signal }) => {
      if (calls++ === 0) await untilAborted(signal);
      return calls;
    })
  );
  const first = await made.run();
  await waitUntil(() => calls === 1, { what: "step a runs" });
  first.execution.release({ force: false });
  first.execution.release({ force: true });
  assert.equal(await first.stopped, "released");
  assert.deepEqual(await made.story(), [BEGIN, "released"]);
  assert.equal(await made.finish(), "terminal");
  assert.equal(await made.end(), 2);
});

test("an invocation that ends anyway is not released", async () => {
  const gate = door();
  const made = bench.case((ctx) => ctx.run("a", () => gate.opened));
  const first = await made.run();
  first.execution.release({ force: false });
  await first.stopped;
  assert.deepEqual(await made.story(), [BEGIN, "released"], "nothing had begun");
  const second = await made.run();
  gate.open();
  assert.equal(await second.stopped, "terminal");
});

// ---------------------------------------------------------------- cancel and pause

test("a cancel aborts the signals of running steps, and the invocation ends cancelled", async () => {
  let reason: unknown;
  const made = bench.case(async (ctx) => {
    await ctx.run("a", async ({ signal }) => {
      await untilAborted(signal).catch((error) => reason = error);
      throw new Error("aborted in its own words");
    });
  });
  const first = await made.run();
  await made.event(events.cancel("1"));
  first.execution.refresh();
  assert.equal(await first.stopped, "terminal");
  assert.ok(isJsflowError(reason, "invocation_cancelled"));
  assert.equal(await made.end(), "cancelled: enough");
  assert.deepEqual(await made.story(), [BEGIN, "cancel", "error a, cancelled"]);
});

test("a step that finishes in spite of a cancel keeps its outcome", async () => {
  const made = bench.case(async (ctx) => {
    const a = await ctx.run("a", async ({ signal }) => {
      await untilAborted(signal).catch(() => {});
      return "done all the same";
    });
    const b = await ctx.run("b", () => "never").catch(() => "refused");
    return [a, b];
  });
  const first = await made.run();
  await made.event(events.cancel("1"));
  first.execution.refresh();
  assert.equal(await first.stopped, "terminal");
  assert.deepEqual(await made.end(), ["done all the same", "refused"]);
});

test("a cancel ends the pause between attempts", async () => {
  let attempts = 0;
  const made = bench.case((ctx) =>
    ctx.run("a", () => {
      attempts++;
      throw new Error("no");
    }, { retry: { delaysMs: [600_000] } })
  );
  const first = await made.run();
  await waitUntil(async () => (await made.records()).length === 2, { what: "it is journaled" });
  await made.event(events.cancel("1"));
  first.execution.refresh();
  assert.equal(await first.stopped, "terminal");
  assert.equal(attempts, 1);
  assert.equal(await made.end(), "cancelled: enough");
});

test("what was cancelled replays the same after a takeover", async () => {
  const gate = door();
  const calls: string[] = [];
  const refused = (error: unknown) => isJsflowError(error, "invocation_cancelled") && "refused";
  const made = bench.case(async (ctx) => {
    const long = ctx.run("long", ({ signal }) => {
      calls.push("long");
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => gate.opened.then(reject), { once: true });
      });
    }).catch(refused);
    const a = await ctx.run("a", async ({ signal }) => {
      calls.push("a");
      await untilAborted(signal).catch(() => {});
      return "kept";
    });
    const b = await ctx.run("b", () => void calls.push("b")).catch(refused);
    return [a, b, await long];
  });
  const first = await made.run();
  await waitUntil(() => calls.length === 2, { what: "both steps run" });
  await made.event(events.cancel("1"));
  first.execution.refresh();
  await waitUntil(async () => (await made.journal()).state.outcomes.size === 1, { what: "a" });
  await first.crash();
  gate.open();
  assert.equal(await made.finish(), "terminal");
  assert.deepEqual(await made.end(), ["kept", "refused", "refused"]);
  assert.deepEqual(calls, ["long", "a"]);
  assert.deepEqual(await made.story(), [BEGIN, "cancel", "outcome a", "claimed", "completed"]);
});

test("a pause before the start lets no step begin", async () => {
  let calls = 0;
  const made = bench.case((ctx) => ctx.run("a", () => ++calls));
  await made.event(events.pause("1"));
  assert.equal(await made.finish(), "suspended");
  assert.deepEqual(await made.story(), ["pause", BEGIN, "suspended"]);
  assert.equal(calls, 0);
  await made.event(events.resume("2"));
  assert.equal(await made.finish(), "terminal");
  assert.equal(calls, 1);
});

test("a cancel before the start lets no step begin", async () => {
  let calls = 0;
  const made = bench.case((ctx) => ctx.run("a", () => ++calls));
  await made.event(events.cancel("1"));
  assert.equal(await made.finish(), "terminal");
  assert.equal(calls, 0);
  assert.equal(await made.end(), "cancelled: enough");
});

for (const how of ["pause", "release"] as const) {
  test(`a ${how} lets running steps finish, and holds those that come up meanwhile`, async () => {
    const [long, short] = [door(), door()];
    const calls: string[] = [];
    const step = (ctx: WorkflowContext, name: string, until: Promise<void>) =>
      ctx.run(name, async () => {
        calls.push(name);
        await until;
      });
    const made = bench.case(async (ctx) => {
      const a = step(ctx, "a", long.opened);
      await step(ctx, "b", short.opened);
      await step(ctx, "c", long.opened);
      await a;
    });
    const first = await made.run();
    await waitUntil(() => calls.length === 2, { what: "both run" });
    if (how === "pause") await made.event(events.pause("1"));
    if (how === "pause") first.execution.refresh();
    else first.execution.release({ force: false });
    await waitUntil(() => how === "release" || first.journal.state.pauseRequested, {
      what: "the pause is seen",
    });
    short.open();
    await waitUntil(async () => (await made.journal()).state.outcomes.size === 1, { what: "b" });
    assert.equal((await made.journal()).state.status, "active");
    long.open();
    assert.equal(await first.stopped, how === "pause" ? "suspended" : "released");
    assert.deepEqual(calls, ["a", "b"]);
    assert.equal((await made.journal()).state.outcomes.size, 2);
    await made.event(events.resume("2"));
    assert.equal(await made.finish(), "terminal");
    assert.deepEqual(calls, ["a", "b", "c"]);
  });
}

test("a step that runs while the code is replayed is not begun again", async () => {
  const gate = door();
  const calls: string[] = [];
  let passes = 0;
  const made = bench.case(async (ctx) => {
    passes++;
    const long = ctx.run("long", async () => {
      calls.push("long");
      await gate.opened;
      return "long";
    });
    const short = await ctx.run("short", () => {
      calls.push("short");
      return "short";
    });
    return [short, await long];
  });
  const hook = beforeEntry("outcome", () => made.event(events.signal("1")));
  const first = await made.run({ hook });
  await waitUntil(async () => (await made.journal()).state.outcomes.size === 1, { what: "short" });
  gate.open();
  assert.equal(await first.stopped, "terminal");
  assert.equal(passes, 2);
  assert.deepEqual(calls, ["long", "short"]);
  assert.deepEqual(await made.end(), ["short", "long"]);
});
