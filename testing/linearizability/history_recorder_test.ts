import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { spawnProgram } from "../spawn_program.ts";
import { assertLinearizable } from "./assert_linearizable.ts";
import { checkLinearizability } from "./check_linearizability.ts";
import { openHistory } from "./history_recorder.ts";
import { readHistory } from "./read_history.ts";
import { type RegisterInput, registerModel, type RegisterOutput } from "./register_model.ts";
import { setModel } from "./set_model.ts";
import type { SetInput, SetOutput } from "./set_model.ts";

async function withFile(run: (file: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "jsflow-history-"));
  try {
    await run(join(folder, "history.jsonl"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const read = { key: "k", input: { op: "read" } };

test("what is recorded is read back, with unknown outcomes and without void operations", async () => {
  await withFile(async (file) => {
    const history = openHistory(file, "a");
    const fails = () => Promise.reject(new Error("broken"));
    assert.deepEqual(await history.record(read, () => Promise.resolve({ value: 1 })), { value: 1 });
    assert.equal(await history.record(read, fails), undefined);
    assert.equal(await history.record(read, fails, { settle: () => "void" }), undefined);
    const settled = await history.record(read, fails, {
      settle: (error) => ({ output: { value: String(error) } }),
    });
    assert.deepEqual(settled, { value: "Error: broken" });
    history.close();
    history.close();
    await assert.rejects(history.record(read, fails), /closed/);

    const { operations, tornLines } = readHistory(file);
    assert.equal(tornLines, 0);
    assert.deepEqual(operations.map(({ result }) => result), [
      { output: { value: 1 } },
      undefined,
      { output: { value: "Error: broken" } },
    ]);
    const [first, unknown, last] = operations;
    assert.ok(first!.called < first!.returned && first!.returned < last!.called);
    assert.equal(unknown!.returned, Infinity);
    assert.equal(unknown!.note, "Error: broken");
    assert.equal(last!.key, "k");
    assert.equal(last!.process, "a");
    assert.ok(Math.abs(last!.times!.calledMs - Date.now()) < 60_000);
  });
});

test("the call is written before the operation begins, the return after it has ended", async () => {
  await withFile(async (file) => {
    const history = openHistory(file, "a");
    const lines = () => readFileSync(file, "utf8").split("\n").filter(Boolean);
    const counts = await history.record(read, async () => {
      const atBegin = lines().length;
      await Promise.resolve();
      return [atBegin, lines().length];
    });
    assert.deepEqual(counts, [1, 1]);
    assert.equal(lines().length, 2);
    history.close();
  });
});

test("an operation that returns nothing has a result", async () => {
  await withFile(async (file) => {
    const history = openHistory(file, "a");
    const write = { key: "k", input: { op: "write", value: "a" } };
    assert.equal(await history.record(write, () => Promise.resolve(undefined)), undefined);
    const fails = () => Promise.reject(new Error("broken"));
    const settle = () => ({ output: undefined });
    assert.equal(await history.record(write, fails, { settle }), undefined);
    assert.equal(await history.record(write, () => Promise.resolve(null)), null);
    await history.record(read, () => Promise.resolve({ value: "b" }));
    history.close();
    const { operations } = readHistory<RegisterInput, RegisterOutput>(file);
    assert.deepEqual(operations.map(({ result }) => result?.output), [{}, {}, null, {
      value: "b",
    }]);
    const told = operations.filter(({ result }) => result?.output !== null);
    const { verdict } = checkLinearizability(registerModel, told);
    assert.equal(verdict, "violation", "it was written before it was read");
  });
});

test("a function that throws at once is recorded as one that rejects", async () => {
  await withFile(async (file) => {
    const history = openHistory(file, "a");
    const throws = () => {
      throw new Error("at once");
    };
    assert.equal(await history.record(read, throws), undefined);
    history.close();
    assert.equal(readHistory(file).operations[0]?.note, "Error: at once");
  });
});

test("a torn line is left out, and what follows it is not", async () => {
  await withFile(async (file) => {
    const history = openHistory(file, "a");
    await history.record(read, () => Promise.resolve({}));
    appendFileSync(file, '\n{"event":"call","process":"b","id":1');
    await history.record(read, () => Promise.resolve({}));
    history.close();
    const { operations, tornLines } = readHistory(file);
    assert.equal(operations.length, 2);
    assert.equal(tornLines, 1);
  });
});

test("two processes under one name are refused", async () => {
  await withFile(async (file) => {
    for (let twice = 0; twice < 2; twice++) {
      const history = openHistory(file, "a");
      await history.record(read, () => Promise.resolve({}));
      history.close();
    }
    assert.throws(() => readHistory(file), /two processes wrote as a/);
  });
});

test("what several processes write at once is whole and in the order of events", async () => {
  await withFile(async (file) => {
    const program = new URL("tests/record_increments.ts", import.meta.url);
    const log = `${file}.log`;
    appendFileSync(log, "");
    const programs = ["a", "b"].map((name) => spawnProgram(program, [file, log, name, "500"]));
    try {
      for (const { exit, stderr } of programs) {
        assert.deepEqual(await exit, { code: 0, signal: null }, stderr.join("\n"));
      }
    } finally {
      await Promise.all(programs.map((it) => it.close()));
    }
    const { operations, tornLines } = readHistory<SetInput, SetOutput>(file);
    assert.equal(tornLines, 0);
    assert.equal(operations.length, 2_000);
    assert.ok(operations.every(({ result }) => result));
    // Each member is a set of its own: all of them together would be many states.
    assertLinearizable(setModel, operations.map((it) => ({ ...it, key: it.input.member })));
  });
});

test("a process that is killed leaves an operation without a result", async () => {
  await withFile(async (file) => {
    const program = new URL("tests/record_increments.ts", import.meta.url);
    appendFileSync(`${file}.log`, "");
    const running = spawnProgram(program, [file, `${file}.log`, "a", "1000000000"]);
    try {
      await running.waitForLine(/ready/, { timeoutMs: 30_000 });
      running.kill("SIGKILL");
      await running.exit;
    } finally {
      await running.close();
    }
    const { operations } = readHistory(file);
    const open = operations.filter(({ result }) => result === undefined);
    assert.ok(open.length <= 1, "one operation at a time");
    const history = openHistory(file, `after ${process.pid}`);
    await history.record(read, () => Promise.resolve({}));
    history.close();
    assert.equal(readHistory(file).operations.length, operations.length + 1);
  });
});
