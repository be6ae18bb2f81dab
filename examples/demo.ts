// One order through a crash: deno task demo [order.json]
//
// Starts a nats-server of its own on loopback with a temporary store, kills the worker after the
// charge, and checks that another one finishes the order without charging again.
import { connect, createDurableClient, type InvocationHandle, type JournalEvent } from "@x/jsflow";
import { NatsServer, type SpawnedProgram, spawnProgram, waitUntil } from "@x/jsflow/testing";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ensureServer } from "../scripts/setup.ts";
import { type Order, orderWorkflow, type Receipt, totalCents } from "./01_order_workflow.ts";

const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code: number) => (text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
const bold = paint(1);
const dim = paint(2);
const red = paint(31);
const green = paint(32);
const yellow = paint(33);

const startedAt = performance.now();

function say(text: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(5);
  console.log(`${dim(`${seconds}s`)}  ${text}`);
}

class UsageError extends Error {}

async function readOrder(path: string): Promise<Order> {
  let order: Partial<Order>;
  try {
    order = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new UsageError(`cannot read the order ${path}: ${(error as Error).message}`);
  }
  const valid = typeof order?.id === "string" && order.id !== "" &&
    typeof order.customer === "string" && typeof order.currency === "string" &&
    Array.isArray(order.items);
  if (!valid) {
    throw new UsageError(`${path} is no order: it needs id, customer, currency and items`);
  }
  try {
    totalCents(order as Order);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return order as Order;
}

function startWorker(name: string, url: string, ledger: string): SpawnedProgram {
  const program = fileURLToPath(new URL("./01_order_worker.ts", import.meta.url));
  return spawnProgram(program, [], { env: { NATS_URL: url, LEDGER: ledger, WORKER: name } });
}

/** Passes on what a worker prints. */
function echo(worker: SpawnedProgram, name: string): () => void {
  let shown = 0;
  const show = () => {
    for (; shown < worker.stdout.length; shown++) {
      const line = worker.stdout[shown] ?? "";
      if (!line.endsWith(": ready")) say(`${name}  ${line}`);
    }
  };
  const timer = setInterval(show, 20);
  return () => {
    clearInterval(timer);
    show();
  };
}

async function collect(handle: InvocationHandle<Receipt>): Promise<JournalEvent[]> {
  const events: JournalEvent[] = [];
  for await (const event of handle.journal()) events.push(event);
  return events;
}

function printJournal(events: readonly JournalEvent[]): void {
  say(bold("What the journal holds:"));
  for (const { seq, epoch, type, operation, value, worker, error } of events) {
    const what = operation ? `${type} of ${operation.name}` : type;
    const detail = worker ?? error?.message ?? (value === undefined ? "" : JSON.stringify(value));
    say(`  ${dim(`record ${seq}, epoch ${epoch}`)}  ${what.padEnd(20)} ${detail}`);
  }
}

/** What is wrong with how it went; empty when all is well. */
function check(
  events: readonly JournalEvent[],
  calls: readonly string[],
  receipt: Receipt,
  order: Order,
) {
  const problems: string[] = [];
  const expect = (holds: boolean, problem: string) => void (holds || problems.push(problem));
  const outcomes = events.filter(({ type }) => type === "outcome").map((e) => e.operation?.name);
  expect(outcomes.join() === "validate,charge,ship", `the journal's outcomes are ${outcomes}`);
  const claims = events.filter(({ type }) => type === "claimed").map(({ worker }) => worker);
  expect(claims.join() === "worker-1,worker-2", `the claims are ${claims}`);
  const charges = calls.filter((service) => service === "payment").length;
  expect(charges === 1, `the payment provider was called ${charges} times`);
  expect(receipt.order === order.id, `the receipt is for ${receipt.order}`);
  return problems;
}

async function readCalls(ledger: string): Promise<string[]> {
  const text = await readFile(ledger, "utf8");
  return text.trim().split("\n").map((line) => JSON.parse(line).service);
}

async function run(order: Order, server: NatsServer, folder: string): Promise<string[]> {
  const ledger = join(folder, "ledger.jsonl");
  await using client = await connect({ servers: server.url });
  await using durable = createDurableClient(client);
  const workflow = orderWorkflow({ charge: refuse, ship: refuse, report: () => {} });

  await using first = startWorker("worker-1", server.url, ledger);
  await first.waitForLine(/ready/, { timeoutMs: 60_000 });
  const stopFirst = echo(first, yellow("worker-1"));
  say(`submitting ${bold(order.id)} of ${order.customer}`);
  const handle = await durable.start(workflow, order, { id: order.id });
  await waitUntil(
    async () => (await collect(handle)).some(({ operation }) => operation?.name === "charge"),
    { what: "the charge is in the journal", timeoutMs: 30_000 },
  );
  first.kill("SIGKILL");
  await first.exit;
  stopFirst();
  say(red("worker-1 was killed after the charge, in the middle of shipping (SIGKILL)"));

  await using second = startWorker("worker-2", server.url, ledger);
  await second.waitForLine(/ready/, { timeoutMs: 60_000 });
  const stopSecond = echo(second, green("worker-2"));
  say("worker-2 is up; it takes the order over once worker-1's ack wait of 2 s is over");
  const receipt = await handle.result({ timeoutMs: 60_000 });
  stopSecond();
  say(`result: ${JSON.stringify(receipt)}`);
  const events = await collect(handle);
  printJournal(events);
  return check(events, await readCalls(ledger), receipt, order);
}

/** The demo only submits; the steps run in the workers. */
function refuse(): Promise<string> {
  return Promise.reject(new Error("steps run in the worker"));
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.length > 1) {
    console.log("usage: deno task demo [order.json]");
    return args.includes("--help") ? 0 : 2;
  }
  const path = args[0] ?? fileURLToPath(new URL("./order.json", import.meta.url));
  const order = await readOrder(path);
  await ensureServer();
  const folder = await mkdtemp(join(tmpdir(), "jsflow-demo-"));
  try {
    await using server = await NatsServer.start();
    say(`nats-server ${server.version} on ${server.url}`);
    const problems = await run(order, server, folder);
    for (const problem of problems) say(red(problem));
    console.log(
      problems.length === 0
        ? green("OK: the order went on after the crash, and the customer was charged once.")
        : red("FAILED: the order did not survive the crash as it should."),
    );
    return problems.length === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof UsageError ? red(error.message) : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
