import assert from "node:assert/strict";
import { test } from "node:test";
import { NatsServer } from "../testing/nats_server.ts";
import { spawnProgram } from "../testing/spawn_program.ts";
import { faultCount } from "./_fault_count.ts";

const PROGRAM = new URL("./programs/publish_while_down.ts", import.meta.url);
const SECONDS = faultCount({ ci: 5, soak: 300 });
const MAX_GROWTH_BYTES = 20 * 1_024 * 1_024;

interface Result {
  readonly attempts: number;
  readonly outcomes: Readonly<Record<string, number>>;
  /** Resident memory, sampled evenly. */
  readonly rss: readonly number[];
}

async function run(mode: "fail" | "wait"): Promise<Result> {
  const server = await NatsServer.start();
  try {
    const program = spawnProgram(PROGRAM, [server.url, mode, `${SECONDS}`, "collect"]);
    try {
      await program.waitForLine(/^connected/);
      await server.kill();
      await program.waitForLine(/^down/);
      const line = await program.waitForLine(/^\{/, { timeoutMs: (SECONDS + 20) * 1_000 });
      await server.restart();
      assert.match(await program.waitForLine(/^back/), /"sent":1/);
      assert.deepEqual(await program.exit, { code: 0, signal: null });
      return JSON.parse(line) as Result;
    } finally {
      await program.close();
    }
  } finally {
    await server.close();
  }
}

/** How much memory grew from a fifth of the run to its end; medians, since samples jump. */
function growthBytes(rss: readonly number[]): number {
  const around = (index: number) => rss.slice(index - 2, index + 3).toSorted((a, b) => a - b)[2]!;
  return around(rss.length - 3) - around(Math.ceil(rss.length / 5));
}

function check(result: Result, codes: readonly string[]): void {
  const { attempts, outcomes, rss } = result;
  assert.ok(attempts > 500, `${attempts} attempts`); // more than the buffer holds
  const counted = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  assert.equal(counted, attempts, "each attempt has an outcome");
  for (const code of Object.keys(outcomes)) assert.ok(codes.includes(code), code);
  const growth = growthBytes(rss);
  assert.ok(growth < MAX_GROWTH_BYTES, `grew by ${growth} bytes: ${rss}`);
}

test("publishing while the server is down fails at once, in bounded memory", async () => {
  check(await run("fail"), ["not_connected"]);
});

test("publishing while the server is down waits within bounds, in bounded memory", async () => {
  const result = await run("wait");
  check(result, ["buffer_full", "connection_timeout"]);
  assert.ok(result.outcomes["connection_timeout"]! > 0);
  assert.ok(result.outcomes["buffer_full"]! > 0);
});
