/**
 * Runs the suite: every `*_test.ts`, on every runtime, and on both servers (the oldest one on Deno
 * only).
 *
 *     deno task test [word …]          only files whose path holds one of the words
 *       --runtime deno,node22,node,bun only these
 *       --server newest,floor          only these, on every runtime
 *       --filter <pattern>             only tests whose name matches the regular expression
 *       --minutes <n>                  time limit of each run (default 10; 600 for a soak)
 *
 * What can't be had on this machine is said plainly, and is a failure when CI=true.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { listFiles, root } from "./_paths.ts";
import { denoPath, runOrThrow } from "./_process.ts";
import { bold, dim, green, red, seconds, table } from "./_report.ts";
import { ensureRuntime, type Runtime, type RuntimeName, runtimeNames } from "./_runtimes.ts";
import { ensureTestServer, type ServerName, serverNames, type TestServer } from "./_servers.ts";
import { runSuite, type SuiteResult } from "./_suite.ts";

interface Options {
  readonly words: readonly string[];
  readonly pairs: readonly (readonly [RuntimeName, ServerName])[];
  readonly filter: string | undefined;
  readonly minutes: number;
}

function readOptions(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      runtime: { type: "string" },
      server: { type: "string" },
      filter: { type: "string" },
      minutes: { type: "string" },
    },
  });
  const runtimes = choose("--runtime", values.runtime, runtimeNames);
  const servers = choose("--server", values.server, serverNames);
  const explicit = values.server !== undefined;
  const pairs = runtimes.flatMap((runtime) =>
    servers.filter((server) => explicit || runtime === "deno" || server === "newest")
      .map((server) => [runtime, server] as const)
  );
  const soak = process.env["JSFLOW_FAULTS"] === "soak";
  const minutes = Number(values.minutes ?? (soak ? 600 : 10));
  if (!(minutes > 0)) throw new TypeError(`--minutes: expected a number above 0`);
  return { words: positionals, pairs, filter: values.filter, minutes };
}

function choose<T extends string>(flag: string, text: string | undefined, all: readonly T[]): T[] {
  const wanted = text?.split(",") ?? all;
  const unknown = wanted.filter((name) => !all.some((known) => known === name));
  if (unknown.length > 0) {
    throw new TypeError(`${flag}: unknown "${unknown.join(",")}", expected ${all.join(", ")}`);
  }
  return all.filter((name) => wanted.includes(name));
}

async function main(): Promise<boolean> {
  const options = readOptions(process.argv.slice(2));
  const files = await testFiles(options.words);
  if (files.length === 0) {
    console.error(`no test file has a path with ${options.words.join(" or ")} in it`);
    return false;
  }
  await runOrThrow(denoPath(), ["install"], { cwd: root, timeoutMs: 300_000 });
  const missing: string[] = [];
  const runtimes = await have(options.pairs.map(([name]) => name), ensureRuntime, missing);
  const servers = await have(options.pairs.map(([, name]) => name), ensureTestServer, missing);
  const results: SuiteResult[] = [];
  for (const [runtimeName, serverName] of options.pairs) {
    const runtime = runtimes.get(runtimeName);
    const server = servers.get(serverName);
    if (runtime === undefined || server === undefined) continue;
    results.push(await runOne(runtime, server, files, options));
  }
  return summarize(results, missing);
}

async function testFiles(words: readonly string[]): Promise<string[]> {
  const tests = (await listFiles(root)).filter((file) => file.endsWith("_test.ts"));
  return tests.filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
}

/** Gets each thing once; what can't be had goes to `missing` with its reason. */
async function have<N extends string, T>(
  names: readonly N[],
  get: (name: N) => Promise<T>,
  missing: string[],
): Promise<Map<N, T>> {
  const found = new Map<N, T>();
  for (const name of new Set(names)) {
    try {
      found.set(name, await get(name));
    } catch (error) {
      missing.push(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return found;
}

async function runOne(
  runtime: Runtime,
  server: TestServer,
  files: readonly string[],
  options: Options,
): Promise<SuiteResult> {
  console.log(bold(`\n${runtime.name} ${runtime.version}, nats-server ${server.version}`));
  const result = await runSuite(runtime, server, files, {
    filter: options.filter,
    timeoutMs: options.minutes * 60_000,
  });
  console.log(dim(`${result.passed} passed, ${result.failed} failed, ${seconds(result.ms)}`));
  return result;
}

function summarize(results: readonly SuiteResult[], missing: readonly string[]): boolean {
  const rows = results.map((run) => [
    `${run.runtime.name} ${run.runtime.version}`,
    `nats-server ${run.server.version}`,
    run.passed,
    run.failed,
    run.skipped,
    seconds(run.ms),
  ]);
  console.log(
    `\n${table([["runtime", "server", "passed", "failed", "skipped", "time"], ...rows])}`,
  );
  const ci = process.env["CI"] === "true";
  for (const what of missing) console.log(red(`\nnot available: ${what}`));
  const passed = results.reduce((sum, run) => sum + run.passed, 0);
  const failed = results.reduce((sum, run) => sum + run.failed, 0) +
    (ci || results.length === 0 ? missing.length : 0);
  const ok = failed === 0 && passed > 0;
  for (const run of results.filter((run) => run.failed > 0)) {
    console.log(bold(`\n${run.runtime.name}, nats-server ${run.server.version}:`));
    for (const failure of run.failures) console.log(red(`  ${firstLines(failure)}`));
  }
  console.log((ok ? green : red)(`\n${passed} passed, ${failed} failed`));
  return ok;
}

function firstLines(failure: string): string {
  return failure.split("\n").slice(0, 6).join("\n    ");
}

process.exitCode = await main() ? 0 : 1;
