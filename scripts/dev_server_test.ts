import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { type SpawnedProgram, spawnProgram } from "../testing/spawn_program.ts";
import { waitUntil } from "../testing/wait_until.ts";

const file = new URL("dev_server.ts", import.meta.url);
const skip = process.platform === "win32" && "Windows has no SIGINT for child processes";
const START_TIMEOUT_MS = 60_000;
const freePorts = ["--port", "-1", "--monitor-port", "-1"];

async function withStore(run: (store: string) => Promise<void>): Promise<void> {
  const store = await mkdtemp(join(tmpdir(), "jsflow-dev-"));
  try {
    await run(store);
  } finally {
    await rm(store, { recursive: true, force: true });
  }
}

async function withDevServer(
  args: string[],
  run: (program: SpawnedProgram) => Promise<void>,
): Promise<void> {
  const program = spawnProgram(file, args);
  try {
    await run(program);
  } finally {
    await program.close();
  }
}

/** The client addresses that it prints. */
async function readUrls(program: SpawnedProgram): Promise<string[]> {
  await program.waitForLine(/Ctrl-C/, { timeoutMs: START_TIMEOUT_MS });
  const line = await program.waitForLine(/clients/);
  assert.match(await program.waitForLine(/monitoring/), /http:\/\/127\.0\.0\.1:\d+/);
  return line.match(/nats:\/\/[\d.:]+/g) ?? [];
}

test("one server keeps its store and stops cleanly", { skip, timeout: 120_000 }, async () => {
  await withStore(async (store) => {
    for (const [signal, streams] of [["SIGINT", 0], ["SIGTERM", 1]] as const) {
      await withDevServer(["--store", store, ...freePorts], async (program) => {
        const [url = ""] = await readUrls(program);
        const nc = await connect({ servers: url });
        const jsm = await jetstreamManager(nc);
        assert.equal((await jsm.getAccountInfo()).streams, streams);
        await jsm.streams.add({ name: "KEPT", subjects: ["kept"] });
        await nc.close();
        program.kill(signal);
        assert.deepEqual(await program.exit, { code: 0, signal: null });
        assert.deepEqual(program.stderr.filter((line) => line.includes("ended")), []);
        await assert.rejects(connect({ servers: url, timeout: 1_000 }));
      });
    }
    assert.ok(existsSync(join(store, "single")));
  });
});

test("--size 3 runs a cluster", { skip, timeout: 120_000 }, async () => {
  await withStore(async (store) => {
    await withDevServer(["--store", store, "--size", "3", ...freePorts], async (program) => {
      const urls = await readUrls(program);
      assert.equal(urls.length, 3);
      const nc = await connect({ servers: urls });
      const jsm = await jetstreamManager(nc);
      const stream = { name: "S", subjects: ["s"], num_replicas: 3 };
      const info = await waitUntil(() => jsm.streams.add(stream), {
        what: "a stream is placed on three nodes", // a request may be lost while leaders change
        timeoutMs: START_TIMEOUT_MS,
      });
      assert.equal(info.cluster?.replicas?.length, 2);
      await nc.close();
      program.kill("SIGINT");
      assert.deepEqual(await program.exit, { code: 0, signal: null });
    });
  });
});

test("a port that is taken is said to be", { timeout: 60_000 }, async () => {
  await withStore(async (store) => {
    const squatter = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => squatter.once("listening", resolve));
    const { port } = squatter.address() as AddressInfo;
    try {
      await withDevServer(["--store", store, "--port", `${port}`], async (program) => {
        assert.equal((await program.exit).code, 1);
        const expected = new RegExp(`port ${port} on 127.0.0.1 can't be used .*--port`);
        assert.match(program.stderr.join("\n"), expected);
      });
    } finally {
      squatter.close();
    }
  });
});

const mistakes: [string[], RegExp][] = [
  [["--size", "none"], /--size must be a whole number from 1 to 9, got "none"/],
  [["--port", "0"], /--port must be a whole number from 1/],
  [["--version", "new"], /--version must look like/],
  [["--store", ""], /--store needs a folder/],
  [["--bogus"], /bogus/],
  [["extra"], /extra/],
];
for (const [args, expected] of mistakes) {
  test(`bad arguments: ${args.join(" ")}`, { timeout: 60_000 }, async () => {
    await withDevServer(args, async (program) => {
      assert.equal((await program.exit).code, 2);
      assert.match(program.stderr.join("\n"), expected);
      assert.match(program.stderr.join("\n"), /usage: deno task dev-server/);
    });
  });
}

test("--help", { timeout: 60_000 }, async () => {
  await withDevServer(["--help"], async (program) => {
    assert.equal((await program.exit).code, 0);
    assert.match(program.stdout.join("\n"), /--store DIR/);
  });
});
