import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { run, runOrThrow } from "./_process.ts";

const skip = process.platform === "win32" && "process groups are a matter of Unix";

/** Waits until a process is gone or, where nobody collects orphans, a zombie. */
async function gone(pid: number): Promise<boolean> {
  const deadline = performance.now() + 5_000;
  while (performance.now() < deadline) {
    const { stdout } = await run("ps", ["-o", "stat=", "-p", `${pid}`]);
    if (stdout.trim() === "" || stdout.trim().startsWith("Z")) return true;
  }
  return false;
}

test("collects output and the exit code", { skip }, async () => {
  const script = "cat; echo out; echo err >&2; exit 3";
  const done = await run("sh", ["-c", script], { input: "in\n" });
  assert.deepEqual([done.code, done.stdout, done.stderr], [3, "in\nout\n", "err\n"]);
  assert.deepEqual([done.timedOut, done.leftovers], [false, []]);
});

test("sets and removes variables", { skip }, async () => {
  const env = { JSFLOW_A: "a", HOME: undefined };
  const done = await run("sh", ["-c", 'echo "$JSFLOW_A,$HOME"'], { env });
  assert.equal(done.stdout, "a,\n");
});

test("reports a program that can't start", async () => {
  const done = await run("jsflow-no-such-program", []);
  assert.equal(done.code, -1);
  assert.match(done.stderr, /ENOENT|not found/i);
  await assert.rejects(runOrThrow("jsflow-no-such-program", ["x"]), /no-such-program x: exit -1/);
});

test("ends the whole process tree at the time limit", { skip }, async () => {
  const script = "trap '' INT; sleep 300 & echo $!; wait; sleep 300";
  const done = await run("sh", ["-c", script], { timeoutMs: 300 });
  assert.equal(done.timedOut, true);
  assert.ok(done.ms < 20_000, `took ${done.ms} ms`);
  assert.ok(await gone(Number(done.stdout)));
});

test("names and ends what a program leaves behind", { skip }, async () => {
  const script = "sleep 300 >/dev/null 2>&1 & echo $!";
  const done = await run("sh", ["-c", script]);
  assert.equal(done.code, 0);
  assert.deepEqual(done.leftovers, ["sleep 300"]);
  assert.ok(await gone(Number(done.stdout)));
});
