import assert from "node:assert/strict";
import { test } from "node:test";
import { FaultProxy } from "../testing/fault_proxy.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { type SpawnedProgram, spawnProgram } from "../testing/spawn_program.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";

const PROGRAM = new URL("./programs/publish_through_cuts.ts", import.meta.url);
const CUTS = faultCount({ ci: 30, soak: 1_000 });

/** Waits for one line more of this kind than there were. */
async function oneMore(program: SpawnedProgram, line: string, before: number): Promise<void> {
  const ended = program.exit.then(() => "ended" as const);
  const seen = await waitUntil(
    async () => count(program, line) > before ? "seen" : await Promise.race([ended, undefined]),
    { what: `the program prints "${line}"`, timeoutMs: 20_000, intervalMs: 5 },
  );
  assert.equal(seen, "seen", `the program has ended:\n${program.stderr.slice(-20).join("\n")}`);
}

function count(program: SpawnedProgram, line: string): number {
  return program.stdout.filter((printed) => printed === line).length;
}

/** Cuts a connection while it works, or after the client has given it up with writes pending. */
async function cut(proxy: FaultProxy, program: SpawnedProgram, round: number): Promise<void> {
  if (round % 2 === 0) {
    const known = count(program, "stale");
    proxy.stall();
    await oneMore(program, "stale", known);
  }
  proxy.reset();
  proxy.heal();
}

test("a connection that is cut while writes are pending does not end the process", async () => {
  const server = await NatsServer.start();
  const proxy = await FaultProxy.start({ target: { port: server.port } });
  const program = spawnProgram(PROGRAM, [proxy.url]);
  try {
    await program.waitForLine(/^ready/);
    for (let round = 0; round < CUTS; round++) {
      const known = count(program, "back");
      await cut(proxy, program, round);
      await oneMore(program, "back", known);
    }
    program.writeLine("stop");
    await program.waitForLine(/^closed/);
    assert.deepEqual(await program.exit, { code: 0, signal: null });
  } finally {
    await program.close();
    await proxy.close();
    await server.close();
  }
});
