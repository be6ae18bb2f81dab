import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { type SpawnedProgram, spawnProgram, type SpawnProgramOptions } from "./spawn_program.ts";
import { waitUntil } from "./wait_until.ts";
import { isAlive } from "./tests/is_alive.ts";

const file = new URL("tests/program.ts", import.meta.url);

async function withProgram(
  args: readonly string[],
  run: (program: SpawnedProgram) => Promise<void>,
  options: SpawnProgramOptions = {},
): Promise<void> {
  const program = spawnProgram(file, args, options);
  try {
    await run(program);
  } finally {
    await program.close();
  }
}

test("a program runs on the current runtime and its exit code is reported", async () => {
  await withProgram(["exit", "3"], async (program) => {
    assert.deepEqual(await program.exit, { code: 3, signal: null });
    assert.equal(program.kill(), false);
  });
});

test("its environment and its output", async () => {
  await withProgram(["print", "GREETING"], async (program) => {
    assert.equal(await program.waitForLine(/^GREETING=/), "GREETING=hello");
    await program.exit;
    assert.deepEqual(program.stdout, ["GREETING=hello"]);
    assert.deepEqual(program.stderr, ["to standard error"]);
  }, { env: { GREETING: "hello" } });
});

test("waitForLine says what was printed when the program ends without the line", async () => {
  await withProgram(["print", "HOME"], async (program) => {
    await assert.rejects(program.waitForLine(/never/), /ended without printing \/never\/\nHOME=/);
  });
});

test("it can be frozen, continued and killed", async (t) => {
  if (process.platform === "win32") return t.skip("Windows has no SIGSTOP");
  await withProgram(["tick"], async (program) => {
    await program.waitForLine(/tick/);
    assert.ok(program.kill("SIGSTOP"));
    assert.ok(program.kill("SIGCONT"));
    const seen = program.stdout.length;
    await waitUntil(() => program.stdout.length > seen + 1, { what: "it ticks again" });
    program.kill("SIGKILL");
    assert.deepEqual(await program.exit, { code: null, signal: "SIGKILL" });
    assert.equal(isAlive(program.pid), false);
  });
});

test("it reads lines", async () => {
  await withProgram(["echo"], async (program) => {
    await program.waitForLine(/ready/);
    program.writeLine("one");
    assert.equal(await program.waitForLine(/got/), "got one");
  });
});

for (const how of ["exit", "throw", "kill"]) {
  test(`servers and programs end with the process that started them: ${how}`, async (t) => {
    if (process.platform === "win32") return t.skip("Windows has no watchdog");
    await withProgram(["server", how], async (program) => {
      const line = await program.waitForLine(/^pids /, { timeoutMs: 20_000 });
      const [, server = "", child = "", storeDir = ""] = line.split(" ");
      if (how === "kill") program.kill("SIGKILL");
      await waitUntil(() => !isAlive(Number(server)), { what: "the server is gone" });
      await waitUntil(() => !isAlive(Number(child)), { what: "the program is gone" });
      await waitUntil(() => !existsSync(storeDir), { what: "the store is gone" });
    });
  });
}

test("arguments that make no sense are refused", () => {
  assert.throws(() => spawnProgram(""), TypeError);
  assert.throws(() => spawnProgram(file, [], { envs: {} } as never), /does not know/);
});
