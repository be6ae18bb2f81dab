/**
 * A worker of the five steps that says on standard output what it does, and that dies, freezes or
 * waits where its configuration says. Lines on standard input: `go` ends a wait, `close` closes it.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Msg } from "@nats-io/nats-core";
import { connect } from "../../client/mod.ts";
import { createWorker } from "../../durable/mod.ts";
import { addEffect } from "./effects.ts";
import { fiveSteps } from "./five_steps.ts";
import { isAppend, isRead, isSummary, tapClient } from "./tap.ts";

/** What the worker is told, as JSON in its first argument. */
export interface FiveStepsWorkerConfig {
  readonly url: string;
  readonly namespace: string;
  readonly ackWaitMs: number;
  /** @default the worker's */
  readonly maxTakeovers?: number;
  /** File that the effects are added to. */
  readonly effects: string;
  /** Where to die by SIGKILL: `before append 1`, `sent append 1`, `in step 0`, `after ack 1` … */
  readonly dieAt?: string;
  /** Where to freeze by SIGSTOP, once. */
  readonly freezeAt?: string;
  /** Step whose function waits for `go` after its effect. */
  readonly holdStep?: number;
  /** Milliseconds that each step takes. @default 0 */
  readonly stepMs?: number;
}

const config: FiveStepsWorkerConfig = JSON.parse(process.argv[2] ?? "{}");
const counts = new Map<string, number>();
const held = Promise.withResolvers<void>();
let frozen = false;

/** Unbuffered: the line must be out before the process dies or freezes. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Dies or freezes here if it is to. */
function reach(point: string): void {
  if (point === config.dieAt) {
    say(`dying ${point}`);
    process.kill(process.pid, "SIGKILL");
  }
  if (point === config.freezeAt && !frozen) {
    frozen = true;
    say(`freezing ${point}`);
    process.kill(process.pid, "SIGSTOP");
  }
}

function count(what: string): string {
  const next = (counts.get(what) ?? 0) + 1;
  counts.set(what, next);
  return `${what} ${next}`;
}

const base = await connect({ servers: config.url });

async function request(subject: string, send: () => Promise<Msg>): Promise<Msg> {
  if (isRead(subject)) return await read(send);
  const what = isAppend(subject) ? "append" : isSummary(subject) ? "summary" : undefined;
  return what === undefined ? await send() : await write(count(what), send);
}

async function read(send: () => Promise<Msg>): Promise<Msg> {
  const answer = await send();
  if (isError(answer)) say(`read to the end after append ${counts.get("append") ?? 0}`);
  return answer;
}

async function write(name: string, send: () => Promise<Msg>): Promise<Msg> {
  // What was said before must not get lost only because the process dies.
  if (config.dieAt === `before ${name}`) await base.connection.flush();
  reach(`before ${name}`);
  say(`sending ${name}`);
  const answered = send();
  if (config.dieAt === `sent ${name}`) {
    await base.connection.flush(); // the server has it; whether it is stored yet is left open
    reach(`sent ${name}`);
  }
  const answer = await answered;
  say(`${isError(answer) ? "refused" : "stored"} ${name}`);
  reach(`after ${name}`);
  return answer;
}

function isError(answer: Msg): boolean {
  return answer.string().includes('"error"');
}

const client = await tapClient(base.connection, {
  request,
  publish: (_subject, text, send) => {
    if (text !== "+ACK") return send();
    const name = count("ack");
    reach(`before ${name}`);
    send();
    if (config.dieAt !== `after ${name}`) return;
    void base.connection.flush().then(() => reach(`after ${name}`));
  },
});

const five = fiveSteps(async (step, { idempotencyKey: key, signal }) => {
  addEffect(config.effects, { step, key, pid: process.pid });
  say(`in step ${step}`);
  signal.addEventListener("abort", () => say(`aborted step ${step}`), { once: true });
  reach(`in step ${step}`);
  if (config.stepMs) await new Promise((resolve) => setTimeout(resolve, config.stepMs));
  if (step === config.holdStep) await held.promise;
});

const { namespace, ackWaitMs, maxTakeovers } = config;
const worker = await createWorker(client, {
  workflows: [five],
  namespace,
  ackWaitMs,
  maxTakeovers,
});
say("ready");

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "go") held.resolve();
  if (line === "close") break;
}
await worker.close();
await client.close();
await base.close();
say("closed");
process.exit(0);
