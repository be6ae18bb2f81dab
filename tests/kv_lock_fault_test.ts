import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { NatsServer } from "../testing/nats_server.ts";
import { type SpawnedProgram, spawnProgram } from "../testing/spawn_program.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";
import {
  type ProtectedResource,
  type Section,
  sectionsOf,
  startResource,
} from "./_protected_resource.ts";
import { type SeededRandom, seededRandom } from "./seeded_random.ts";
import type { HolderConfig } from "./programs/kv_holder.ts";

const PROGRAM = new URL("./programs/kv_holder.ts", import.meta.url);
const LEASE_MS = 800;
const FOR_EVER = 1e9;
const PROCESSES = 4;
const FAULTS = faultCount({ ci: 5, soak: 300 });
const skip = process.platform === "win32" && "Windows can't pause a process";

/** A server, a resource, and the processes that share it. */
class Scene {
  readonly server: NatsServer;
  readonly resource: ProtectedResource;
  readonly programs: SpawnedProgram[] = [];

  constructor(server: NatsServer, resource: ProtectedResource) {
    this.server = server;
    this.resource = resource;
  }

  spawn(config: Partial<HolderConfig> = {}): SpawnedProgram {
    const whole: HolderConfig = {
      url: this.server.url,
      resource: this.resource.url,
      name: "x",
      leaseMs: LEASE_MS,
      uses: 4,
      ...config,
    };
    const program = spawnProgram(PROGRAM, [JSON.stringify(whole)]);
    this.programs.push(program);
    return program;
  }

  /** Sections that were released without a loss so far. */
  get successes(): number {
    return this.resource.log.filter(({ kind, outcome }) => kind === "end" && outcome === "ok")
      .length;
  }

  /** Waits until work goes on. */
  async progress(sections: number): Promise<void> {
    const wanted = this.successes + sections;
    const what = `${sections} more sections`;
    await waitUntil(() => this.successes >= wanted, { what, timeoutMs: 60_000 });
  }

  /** Ends the programs as their users do. */
  async stop(): Promise<void> {
    for (const program of this.programs) program.writeLine("stop");
    await Promise.all(this.programs.map((program) => program.exit));
  }

  async close(): Promise<void> {
    await Promise.all(this.programs.map((program) => program.close()));
    await this.resource.close();
    await this.server.close();
  }
}

async function onScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = new Scene(await NatsServer.start(), await startResource());
  try {
    await use(scene);
  } finally {
    await scene.close();
  }
}

/** Kills a process and starts another, freezes one for longer than its lease, or restarts NATS. */
async function fault(scene: Scene, random: SeededRandom, config: Partial<HolderConfig>) {
  const kind = Math.floor(random.next() * 3);
  const index = Math.floor(random.next() * scene.programs.length);
  const victim = scene.programs[index]!;
  if (kind === 0) {
    await victim.close();
    scene.programs.splice(index, 1);
    scene.spawn(config);
  } else if (kind === 1) {
    victim.kill("SIGSTOP");
    await after(LEASE_MS * (0.5 + random.next() * 1.5));
    victim.kill("SIGCONT");
  } else {
    await scene.server.kill();
    await scene.server.restart();
  }
}

/** How many of the sections that were released without a loss overlapped at most. */
function mostAtOnce(sections: readonly Section[]): number {
  const sure = sections.filter(({ outcome }) => outcome === "ok");
  const inside = (at: number) => sure.filter(({ from, to }) => from <= at && at <= to).length;
  return Math.max(0, ...sure.map(({ from }) => inside(from)));
}

function check({ log }: ProtectedResource, permits: number): void {
  const sections = sectionsOf(log);
  const tokens = sections.map(({ token }) => token);
  assert.equal(new Set(tokens).size, tokens.length, "no token is given out twice");
  const accepted = log.filter(({ kind, accepted }) => kind === "use" && accepted);
  for (const [index, { token }] of accepted.entries()) {
    assert.ok(index === 0 || token >= accepted[index - 1]!.token, "tokens are monotone");
  }
  assert.ok(mostAtOnce(sections) <= permits, `${mostAtOnce(sections)} at once`);
  for (const { outcome = "killed" } of sections) {
    assert.ok(["ok", "lease_lost", "killed"].includes(outcome), outcome);
  }
  if (permits > 1) return;
  for (const { refused, outcome, token } of sections) {
    assert.ok(!refused || outcome !== "ok", `${token} was refused, and released without a loss`);
  }
}

for (const [kind, permits] of [["lock", undefined], ["semaphore", 2]] as const) {
  test(`a ${kind} through crashes, freezes and restarts`, { skip }, async () => {
    const random = seededRandom(`kv ${kind} faults`);
    await onScene(async (scene) => {
      for (let count = 0; count < PROCESSES; count++) scene.spawn({ permits });
      await scene.progress(PROCESSES);
      for (let round = 0; round < FAULTS; round++) {
        await fault(scene, random, { permits });
        await scene.progress(3);
      }
      await scene.stop();
      check(scene.resource, permits ?? 1);
      for (const program of scene.programs) {
        assert.deepEqual(await program.exit, { code: 0, signal: null }, program.stderr.join("\n"));
      }
    });
  });
}

test("a holder that was frozen is refused, and knows that it lost the lock", { skip }, async () => {
  await onScene(async (scene) => {
    const frozen = scene.spawn({ uses: FOR_EVER });
    await waitUntil(() => scene.resource.log.some(({ kind }) => kind === "use"));
    frozen.kill("SIGSTOP");
    scene.spawn({ uses: 1 });
    await scene.progress(2); // the second one
    frozen.kill("SIGCONT");
    await frozen.waitForLine(/^refused 1 lost$/);
    await frozen.waitForLine(/^lease_lost 1$/);
    check(scene.resource, 1);
  });
});

test("a lock survives the restart of the server that its holder uses", { skip }, async () => {
  await onScene(async (scene) => {
    const holder = scene.spawn({ uses: FOR_EVER, leaseMs: 20_000 });
    await waitUntil(() => scene.resource.log.some(({ kind }) => kind === "use"));
    const rival = scene.spawn({ uses: 1, leaseMs: 20_000 });
    await scene.server.kill();
    await scene.server.restart();
    const before = scene.resource.log.length;
    await waitUntil(() => scene.resource.log.length > before + 20);
    holder.writeLine("stop");
    await holder.waitForLine(/^ok 1$/);
    await rival.waitForLine(/^ok 2$/, { timeoutMs: 30_000 });
    check(scene.resource, 1);
  });
});
