import assert from "node:assert/strict";
import { type SpawnedProgram, spawnProgram } from "../testing/spawn_program.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { KvHistoryClientConfig } from "./programs/kv_history_client.ts";

/** How all clients of a history are started. */
export type KvClientsConfig = Omit<KvHistoryClientConfig, "name" | "servers">;

/** What one of them is told besides. */
export type KvClientConfig =
  & Pick<KvHistoryClientConfig, "servers">
  & Partial<Pick<KvHistoryClientConfig, "timeoutMs">>;

const START_TIMEOUT_MS = 60_000;
const PROGRESS_TIMEOUT_MS = 60_000;
/** Operations that a client must get done after a fault, unless said otherwise. */
const PROGRESS = 20;

/** Processes that use one store and record what they do. */
export class KvClients {
  readonly #config: KvClientsConfig;
  readonly #places: SpawnedProgram[] = [];
  readonly #ended = new Set<SpawnedProgram>();
  #started = 0;

  constructor(config: KvClientsConfig) {
    this.#config = config;
  }

  /** Starts one at a place, which may be that of one that was killed. */
  async start(own: KvClientConfig, place: number): Promise<void> {
    const name = `c${++this.#started}`;
    const config: KvHistoryClientConfig = { ...this.#config, ...own, name };
    const file = new URL("programs/kv_history_client.ts", import.meta.url);
    const program = spawnProgram(file, [JSON.stringify(config)]);
    this.#places[place] = program;
    void program.exit.then(() => this.#ended.add(program)); // never rejects
    await program.waitForLine(/^ready$/, { timeoutMs: START_TIMEOUT_MS });
  }

  at(place: number): SpawnedProgram {
    return this.#places[place]!;
  }

  /** Resolves when so many clients, or each of them, have done some more operations. */
  async progress(
    { count = this.#places.length, operations = PROGRESS }: {
      readonly count?: number;
      readonly operations?: number;
    } = {},
  ): Promise<void> {
    const goals = this.#places.map((program) => ({ program, goal: doneBy(program) + operations }));
    const goOn = () => goals.filter(({ program, goal }) => doneBy(program) >= goal).length;
    await waitUntil(() => this.#lost() || goOn() >= count, {
      what: `${count} clients go on`,
      timeoutMs: PROGRESS_TIMEOUT_MS,
    });
    const lost = this.#lost();
    if (lost) throw new Error(`a client has ended:\n${lost.stderr.join("\n")}`);
  }

  #lost(): SpawnedProgram | undefined {
    return this.#places.find((program) => this.#ended.has(program));
  }

  /** Lets all of them finish what they do. */
  async stop(): Promise<void> {
    for (const program of this.#places) program.writeLine("stop");
    for (const { exit, stderr } of this.#places) {
      assert.deepEqual(await exit, { code: 0, signal: null }, stderr.join("\n"));
    }
  }

  /** Kills those that are left. */
  async close(): Promise<void> {
    await Promise.all(this.#places.map((program) => program.close()));
  }
}

function doneBy({ stdout }: SpawnedProgram): number {
  return Number(stdout.findLast((line) => line.startsWith("done "))?.slice(5) ?? 0);
}
