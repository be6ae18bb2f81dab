import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import process from "node:process";
import { test } from "node:test";
import { type SpawnedProgram, spawnProgram } from "../testing/spawn_program.ts";
import { isJsflowError } from "./errors.ts";
import { runUntilSignal } from "./run_until_signal.ts";

const file = new URL("../tests/programs/until_signal.ts", import.meta.url);
const windows = process.platform === "win32" && "Windows has no such signals";

async function withProgram(args: string[], use: (program: SpawnedProgram) => Promise<void>) {
  const program = spawnProgram(file, args);
  try {
    await program.waitForLine(/^ready$/);
    await use(program);
  } finally {
    await program.close();
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(
    `${signal} aborts the work, then all is closed in reverse order`,
    { skip: windows },
    async () => {
      await withProgram(["waits"], async (program) => {
        program.kill(signal);
        assert.deepEqual(await program.exit, { code: 0, signal: null });
        assert.deepEqual(program.stdout, [
          "ready",
          `asked: the program was asked to end by ${signal}`,
          "work done",
          "close last",
          "close first",
          `ended by ${signal}, listeners 0,0`,
        ]);
      });
    },
  );

  test(`a second ${signal} ends at once with its exit code`, { skip: windows }, async () => {
    await withProgram(["ignores"], async (program) => {
      program.kill(signal);
      await program.waitForLine(/^asked/);
      const other = signal === "SIGINT" ? "SIGTERM" : "SIGINT";
      program.kill(other);
      assert.deepEqual(await program.exit, { code: other === "SIGINT" ? 130 : 143, signal: null });
      assert.ok(!program.stdout.some((line) => line.startsWith("close")));
    });
  });
}

test("the same signal again ends at once too", { skip: windows }, async () => {
  await withProgram(["ignores"], async (program) => {
    const timer = setInterval(() => program.kill("SIGINT"), 50);
    try {
      assert.deepEqual(await program.exit, { code: 130, signal: null });
    } finally {
      clearInterval(timer);
    }
  });
});

test("the same signal at once is an echo of the first", { skip: windows }, async () => {
  const by = await runUntilSignal(() => {
    process.emit("SIGHUP", "SIGHUP");
    process.emit("SIGHUP", "SIGHUP"); // would end this process
  }, { signals: ["SIGHUP"] });
  assert.equal(by, "SIGHUP");
});

test(
  "work that rejects with the reason has ended as it was asked to",
  { skip: windows },
  async () => {
    await withProgram(["rejects"], async (program) => {
      program.kill("SIGTERM");
      assert.equal((await program.exit).code, 0);
      assert.equal(program.stdout.at(-1), "ended by SIGTERM, listeners 0,0");
    });
  },
);

test(
  "work that fails late: all is closed, and the failure ends the program",
  { skip: windows },
  async () => {
    await withProgram(["fails late"], async (program) => {
      program.kill("SIGTERM");
      assert.equal((await program.exit).code, 1);
      assert.equal(program.stdout.at(-1), "close first");
      assert.match(program.stderr.join("\n"), /as wanted/);
    });
  },
);

test("work that ignores its signal: after the grace all is closed and it is said", {
  skip: windows,
}, async () => {
  await withProgram(["ignores", "50"], async (program) => {
    program.kill("SIGTERM");
    assert.equal((await program.exit).code, 1);
    assert.deepEqual(program.stdout.slice(-2), ["close last", "close first"]);
    assert.match(program.stderr.join("\n"), /cannot end the work: still not done 50 ms after/);
  });
});

test("a closing that never ends does not keep the others from it", { skip: windows }, async () => {
  await withProgram(["stubborn", "50"], async (program) => {
    program.kill("SIGTERM");
    assert.equal((await program.exit).code, 1);
    assert.deepEqual(program.stdout.slice(-3), ["close last", "closing never ends", "close first"]);
    assert.match(program.stderr.join("\n"), /cannot close: still not done 50 ms after/);
  });
});

test("work that ends by itself: closed, no signal, no listener left", async () => {
  const closed: string[] = [];
  const before = process.listenerCount("SIGTERM");
  let during = 0;
  const by = await runUntilSignal(() => {
    during = process.listenerCount("SIGTERM");
  }, {
    close: [
      { close: () => closed.push("close") },
      { [Symbol.asyncDispose]: () => Promise.resolve(void closed.push("asyncDispose")) },
      { [Symbol.dispose]: () => void closed.push("dispose") },
    ],
  });
  assert.equal(by, undefined);
  assert.deepEqual(closed, ["dispose", "asyncDispose", "close"]);
  assert.deepEqual([during, process.listenerCount("SIGTERM")], [before + 1, before]);
});

test("failures of the work and of closings: all are closed, all are said", async () => {
  const before = process.listenerCount("SIGINT");
  const closed: string[] = [];
  const failing = (text: string) => ({
    close: () => {
      closed.push(text);
      throw new Error(text);
    },
  });
  const one = runUntilSignal(() => {
    throw new Error("work");
  }, { close: [{ close: () => closed.push("fine") }] });
  await assert.rejects(one, /^Error: work$/);
  const several = runUntilSignal(() => Promise.reject(new Error("work")), {
    close: [failing("a"), failing("b")],
  });
  await assert.rejects(several, (error) => {
    assert.ok(error instanceof AggregateError);
    assert.deepEqual(error.errors.map(({ message }) => message), ["work", "b", "a"]);
    return true;
  });
  assert.deepEqual(closed, ["fine", "b", "a"]);
  assert.equal(process.listenerCount("SIGINT"), before);
});

test("the caller's signal ends it as well, and is the reason it rejects with", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const closed: string[] = [];
  const running = runUntilSignal(async (signal) => {
    const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
    controller.abort(reason);
    await aborted;
    assert.equal(signal.reason, reason);
  }, { signal: controller.signal, close: [{ close: () => closed.push("closed") }] });
  await assert.rejects(running, reason);
  assert.deepEqual(closed, ["closed"]);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  const late = runUntilSignal(() => assert.fail("worked"), { signal: controller.signal });
  await assert.rejects(late, reason);
  const signal = AbortSignal.timeout(1);
  const stuck = runUntilSignal(() => new Promise(() => {}), { signal, graceMs: 5 });
  await assert.rejects(stuck, (error) => isJsflowError(error, "timeout"));
});

test("misuse rejects before the work begins", async () => {
  const work = () => assert.fail("worked");
  const wrong: [unknown, RegExp][] = [
    [{ signals: [] }, /signals must be an array/],
    [{ signals: ["SIGKILL"] }, /signals must be an array of some of SIGHUP/],
    [{ graceMs: -1 }, /graceMs/],
    [{ graceMs: NaN }, /graceMs/],
    [{ close: {} }, /close must be an array/],
    [{ close: [{}] }, /close\[0\] must have a method close/],
    [{ close: [null] }, /close\[0\]/],
    [{ signal: 5 }, /signal/],
    [{ grace: 5 }, /does not know the option "grace"/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(runUntilSignal(work, options as never), { message });
  }
  await assert.rejects(runUntilSignal(5 as never), /work must be a function/);
});
