/**
 * Uses a store in several lanes at once, and records what it does in a history. Says `ready`, then
 * `done <n>` now and then; the line `stop` on standard input ends it.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { connect } from "../../client/connect.ts";
import { isJsflowError } from "../../client/errors.ts";
import { json } from "../../client/json.ts";
import { openStore } from "../../kv/open_store.ts";
import {
  type HistoryRecorder,
  openHistory,
} from "../../testing/linearizability/history_recorder.ts";
import type { Settlement } from "../../testing/linearizability/history_recorder.ts";
import type {
  RegisterExpectation,
  RegisterInput,
  RegisterOutput,
  RegisterValue,
} from "../../testing/linearizability/register_model.ts";
import { waitUntil } from "../../testing/wait_until.ts";

/** What the program is told, as JSON in its first argument. */
export interface KvHistoryClientConfig {
  readonly servers: readonly string[];
  readonly bucket: string;
  readonly keys: readonly string[];
  /** Its name in the history. */
  readonly name: string;
  /** Path of the history. */
  readonly history: string;
  /** How many operations it does at once. */
  readonly lanes: number;
  /**
   * Whether reads are part of the history, and refusals, which come of reading: not where a node
   * may answer that does not know yet that it leads no more.
   */
  readonly recordsReads: boolean;
  readonly replicas: number;
  readonly timeoutMs: number;
}

/** What a lane knows of a key: a value, and its revision. */
interface Known {
  readonly value: RegisterValue;
  readonly revision: number;
}

const START_TIMEOUT_MS = 30_000;
const DONE_STEP = 4;
const MAX_PAUSE_MS = 8;
/** Between failures, which may come at once. */
const FAILURE_PAUSE_MS = 20;

const config: KvHistoryClientConfig = JSON.parse(process.argv[2] ?? "{}");
const below = (limit: number) => Math.floor(Math.random() * limit);

/** What may fail for a moment: a server is down, or a node of a cluster is not back yet. */
async function eventually<R>(what: string, attempt: () => Promise<R>): Promise<R> {
  const found = await waitUntil(async () => ({ result: await attempt() }), {
    what,
    timeoutMs: START_TIMEOUT_MS,
    intervalMs: 100,
  });
  return found.result;
}

const client = await eventually("a server answers", () =>
  connect({
    servers: config.servers,
    timeoutMs: 2_000,
    pingIntervalMs: 500,
    reconnect: { initialMs: 20, maxMs: 200 },
  }));
const { bucket, replicas, timeoutMs } = config;
const store = await eventually(
  "the store is open",
  () => openStore<string>(client, { bucket, codec: json(), replicas, timeoutMs }),
);
const history: HistoryRecorder = openHistory(config.history, config.name);

let written = 0;
let done = 0;
let stopped = false;

/** A read that fails has told nothing; only one error of a write leaves its outcome open. */
function settle(error: unknown): Settlement<RegisterOutput> {
  const isRefused = isJsflowError(error, "key_exists") || isJsflowError(error, "revision_conflict");
  if (isRefused && config.recordsReads) return { output: { done: false } };
  return isJsflowError(error, "outcome_unknown") ? "unknown" : "void";
}

async function record(
  key: string,
  input: RegisterInput,
  run: () => Promise<RegisterOutput>,
): Promise<RegisterOutput | undefined> {
  const output = input.op === "read" && !config.recordsReads
    ? await run().catch(() => undefined)
    : await history.record({ key, input }, run, { settle });
  if (output !== undefined && ++done % DONE_STEP === 0) console.log(`done ${done}`);
  return output;
}

async function entry(key: string): Promise<RegisterOutput> {
  const found = await store.entry(key);
  return { value: found?.value ?? null, revision: found?.revision ?? 0 };
}

async function removeAt(key: string, revision: number): Promise<RegisterOutput> {
  await (below(2) === 0 ? store.delete(key, { revision }) : store.purge(key, { revision }));
  return { done: true };
}

async function update(key: string, value: string): Promise<RegisterOutput> {
  let seen: { value: string | null; replaced: number } | undefined;
  const { revision } = await store.update(key, (current, choices) => {
    seen = { value: current ?? null, replaced: choices.revision };
    return value;
  });
  return { ...seen, revision };
}

/** One operation, chosen at random; returns what is known of the key then. */
async function act(key: string, known: Known | undefined): Promise<Known | undefined> {
  const value = `${config.name}-${++written}`;
  const cas = (next: string | null, expected: RegisterExpectation) =>
    ({ op: "cas", expected, value: next }) as const;
  const at = known && { value: known.value, revision: known.revision };
  switch (below(12)) {
    case 0:
      await record(key, { op: "read" }, async () => ({ value: await store.get(key) ?? null }));
      return known;
    case 1:
    case 2:
      return toKnown(await record(key, { op: "read" }, () => entry(key)));
    case 3: {
      const put = async () => ({ revision: await store.put(key, value) });
      return toKnown(await record(key, { op: "write", value }, put), value);
    }
    case 4: {
      const create = async () => ({ done: true, revision: await store.create(key, value) });
      return toKnown(await record(key, cas(value, { value: null }), create), value);
    }
    case 5:
      if (below(2) === 0) {
        await record(key, { op: "write", value: null }, () => store.delete(key).then(() => ({})));
      } else if (at !== undefined && at.revision > 0) {
        await record(key, cas(null, at), () => removeAt(key, at.revision));
      }
      return undefined;
    case 6:
    case 7:
    case 8:
    case 9:
      return toKnown(await record(key, { op: "update", value }, () => update(key, value)), value);
    default: {
      if (at === undefined || at.revision === 0) return undefined;
      const updateAt = async () => ({
        done: true,
        revision: await store.updateAt(key, value, { revision: at.revision }),
      });
      return toKnown(await record(key, cas(value, at), updateAt), value);
    }
  }
}

function toKnown(output: RegisterOutput | undefined, written?: string): Known | undefined {
  if (output?.revision === undefined || output.done === false) return undefined;
  return { value: written ?? output.value ?? null, revision: output.revision };
}

async function lane(): Promise<void> {
  const known = new Map<string, Known>();
  while (!stopped) {
    const key = config.keys[below(config.keys.length)]!;
    const before = done;
    const next = await act(key, known.get(key));
    if (next === undefined) known.delete(key);
    else known.set(key, next);
    const pauseMs = done > before ? below(MAX_PAUSE_MS) : FAILURE_PAUSE_MS;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

const lanes = Array.from({ length: config.lanes }, lane);
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) if (line === "stop") break;
stopped = true;
await Promise.all(lanes);
history.close();
await store.close();
await client.close();
console.log("closed");
process.exit(0);
