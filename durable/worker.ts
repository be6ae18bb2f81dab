import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { checkDurationMs, checkInteger, checkOptions, checkString } from "../client/validate.ts";
import { DEFAULT_MAX_TAKEOVERS } from "./decide.ts";
import { checkStorage, ensureNamespace, type StorageOptions } from "./ensure_namespace.ts";
import { Namespace } from "./namespace.ts";
import type { AnyWorkflow } from "./workflow.ts";
import { WorkerCore } from "./_worker_core.ts";

/** Most invocations that one worker runs at a time, in each lane. */
export const DEFAULT_MAX_CONCURRENT = 100;
/** Milliseconds without a heartbeat after which another worker takes an invocation over. */
export const DEFAULT_ACK_WAIT_MS = 30_000;
/** Milliseconds that a closing worker gives its running steps. */
export const DEFAULT_GRACE_MS = 10_000;
/** Milliseconds after which code that doesn't repeat its journal is blocked. */
export const DEFAULT_REPLAY_STALL_MS = 10_000;

/** Settings of a worker. */
export interface WorkerOptions extends StorageOptions {
  /** The workflows that it runs. */
  readonly workflows: readonly AnyWorkflow[];
  /** Namespace of the streams and buckets. @default "default" */
  readonly namespace?: string | undefined;
  /** Name of this worker in journals and logs. @default `worker-` and a random part */
  readonly name?: string | undefined;
  /** Most invocations that run here at a time: so many new ones, and so many woken ones. @default 100 */
  readonly maxConcurrent?: number | undefined;
  /**
   * Milliseconds without a heartbeat after which another worker takes an invocation over, from 500.
   * Heartbeats go out every third of it. The same for all workers of a queue.
   * @default 30000
   */
  readonly ackWaitMs?: number | undefined;
  /** Takeovers in a row without a new outcome, after which an invocation is parked. @default 10 */
  readonly maxTakeovers?: number | undefined;
  /** Milliseconds after which code that doesn't repeat its journal is blocked. @default 10000 */
  readonly replayStallMs?: number | undefined;
}

/** How a worker is closed. */
export interface CloseOptions {
  /** Milliseconds that running steps are given. @default 10000 */
  readonly graceMs?: number | undefined;
}

/** A running worker. */
export interface Worker extends AsyncDisposable {
  /** Its name in journals and logs. */
  readonly name: string;
  /** Invocations that run here now. */
  readonly running: number;
  /**
   * Stops: takes no new command, lets running steps finish for `graceMs`,
   * and hands what is left over to other workers at once. Idempotent and joined; the connection
   * stays open.
   */
  close(options?: CloseOptions): Promise<void>;
}

/**
 * Starts a worker: it creates what is missing on the server, and runs the invocations of its
 * workflows until it is closed.
 *
 * Any number of workers may serve the same workflows. An invocation runs in one of them at a time;
 * when that one dies, another takes it over within `ackWaitMs` and goes on after the last committed
 * outcome.
 *
 * @throws {TypeError} {RangeError} when an option is invalid, before anything is sent.
 * @throws {JsflowError} `jetstream_disabled`, `unsafe_cas` when replicated on a server older than
 * 2.11, `config_drift` when streams or consumers exist with other settings.
 *
 * @example
 * ```ts
 * import { connect, createWorker, workflow } from "@x/jsflow";
 *
 * const hello = workflow("hello", (_ctx, name: string) => `Hello, ${name}`);
 *
 * export async function main(): Promise<void> {
 *   await using client = await connect();
 *   await using _worker = await createWorker(client, { workflows: [hello] });
 * }
 * ```
 */
export async function createWorker(client: Client, options: WorkerOptions): Promise<Worker> {
  const settings = checkWorker(options);
  const names = new Namespace(options.namespace);
  const space = await ensureNamespace(client, names, checkStorage(options));
  const core = new WorkerCore({ client, space, ...settings });
  await core.open();
  return {
    name: settings.name,
    get running() {
      return core.running;
    },
    close: async (closeOptions) => {
      const { graceMs = DEFAULT_GRACE_MS } = checkOptions("close", closeOptions, ["graceMs"]);
      await core.close(checkDurationMs("graceMs", graceMs));
    },
    [Symbol.asyncDispose]: () => core.close(DEFAULT_GRACE_MS),
  };
}

const OPTION_NAMES = [
  "workflows",
  "namespace",
  "name",
  "maxConcurrent",
  "ackWaitMs",
  "maxTakeovers",
  "replayStallMs",
  "replicas",
  "allowUnsafeCas",
] as const;

function checkWorker(options: WorkerOptions) {
  checkOptions("createWorker", options, OPTION_NAMES);
  const {
    workflows,
    name = `worker-${crypto.randomUUID().slice(0, 8)}`,
    maxConcurrent = DEFAULT_MAX_CONCURRENT,
    ackWaitMs = DEFAULT_ACK_WAIT_MS,
    maxTakeovers = DEFAULT_MAX_TAKEOVERS,
    replayStallMs = DEFAULT_REPLAY_STALL_MS,
  } = options;
  return {
    workflows: checkWorkflows(workflows),
    name: checkString("worker name", name, { maxLength: 255 }),
    maxConcurrent: checkInteger("maxConcurrent", maxConcurrent, { min: 1, max: 100_000 }),
    ackWaitMs: checkDurationMs("ackWaitMs", ackWaitMs, { min: 500 }),
    maxTakeovers: checkInteger("maxTakeovers", maxTakeovers, { min: 1 }),
    replayStallMs: checkDurationMs("replayStallMs", replayStallMs, { min: 1 }),
    clock: systemClock,
    random: Math.random,
    newId: () => crypto.randomUUID(),
  };
}

function checkWorkflows(workflows: readonly AnyWorkflow[]): ReadonlyMap<string, AnyWorkflow> {
  if (!Array.isArray(workflows) || workflows.length === 0) {
    throw new TypeError("workflows must be a non-empty array of what workflow() returns");
  }
  const byName = new Map<string, AnyWorkflow>();
  for (const workflow of workflows as readonly AnyWorkflow[]) {
    if (typeof workflow?.name !== "string" || typeof workflow.run !== "function") {
      throw new TypeError("workflows must hold what workflow() returns; a reference has no code");
    }
    if (byName.has(workflow.name)) {
      throw new TypeError(`workflows holds "${workflow.name}" twice: names must be unique`);
    }
    byName.set(workflow.name, workflow);
  }
  return byName;
}
