/** Running all test files on one runtime and one server, and counting what they report. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseJunit, type TestCase } from "./_junit.ts";
import { root } from "./_paths.ts";
import { run, type RunResult } from "./_process.ts";
import type { Runtime } from "./_runtimes.ts";
import type { TestServer } from "./_servers.ts";

/** How {@link runSuite} runs. */
export interface SuiteOptions {
  /** Regular expression for the names of the tests to run. @default all */
  readonly filter?: string | undefined;
  /** Milliseconds after which the run is killed and counts as failed. */
  readonly timeoutMs: number;
  /** Folder to run in. @default this repository */
  readonly folder?: string | undefined;
  /** Show the runner's output as it comes. @default true */
  readonly echo?: boolean | undefined;
}

/** The counts of one run. */
export interface SuiteResult {
  readonly runtime: Runtime;
  readonly server: TestServer;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly ms: number;
  /** Tests in the runner's report; 0 when no file could be loaded. */
  readonly reported: number;
  /** Whether the time limit ended the run. */
  readonly timedOut: boolean;
  /** One text for each failure; its first line names the test. */
  readonly failures: readonly string[];
}

/** Test files that run at the same time. They wait a lot; more would starve each other's limits. */
const CONCURRENCY = 3;

/** Runs the files on a runtime with `NATS_SERVER` set to a server's binary. */
export async function runSuite(
  runtime: Runtime,
  server: TestServer,
  files: readonly string[],
  options: SuiteOptions,
): Promise<SuiteResult> {
  const scratch = await mkdtemp(join(tmpdir(), "jsflow-test-"));
  try {
    const report = join(scratch, "junit.xml");
    const paths = files.map((file) => `./${file}`);
    const { filter, timeoutMs } = options;
    const args = commands[runtime.name]({ report, filter, files: paths, timeoutMs });
    const done = await run(runtime.path, args, {
      cwd: options.folder ?? root,
      env: {
        NATS_SERVER: server.path,
        TMPDIR: scratch,
        DENO_JOBS: `${CONCURRENCY}`,
        ...(process.stdout.isTTY ? {} : { NO_COLOR: "1", FORCE_COLOR: undefined }),
      },
      timeoutMs,
      echo: options.echo === false ? false : joinDots,
    });
    const xml = await readFile(report, "utf8").catch(() => "");
    const counts = count(done, parseJunit(xml), files, options);
    return { runtime, server, ...counts, ms: done.ms, timedOut: done.timedOut };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Deno prints a dot a line when it doesn't write to a terminal. */
function joinDots(text: string): string {
  return text.replace(/^([.,!])\n/gm, "$1");
}

interface CommandOptions {
  readonly report: string;
  readonly filter: string | undefined;
  readonly files: readonly string[];
  readonly timeoutMs: number;
}

type Command = (options: CommandOptions) => string[];

const node: Command = ({ report, filter, files, timeoutMs }) => [
  "--test",
  // A file that hangs is named, and the others go on.
  `--test-timeout=${Math.floor(timeoutMs / 2)}`,
  `--test-concurrency=${CONCURRENCY}`,
  "--disable-warning=ExperimentalWarning",
  "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
  "--test-reporter=dot",
  "--test-reporter-destination=stdout",
  "--test-reporter=junit",
  `--test-reporter-destination=${report}`,
  ...(filter === undefined ? [] : [`--test-name-pattern=${filter}`]),
  ...files,
];

const commands: Readonly<Record<Runtime["name"], Command>> = {
  deno: ({ report, filter, files }) => [
    "test",
    "--allow-all",
    "--no-check",
    "--parallel",
    "--reporter=dot",
    `--junit-path=${report}`,
    ...(filter === undefined ? [] : [`--filter=/${filter}/`]),
    ...files,
  ],
  node22: node,
  node,
  bun: ({ report, filter, files }) => [
    "test",
    "--timeout=600000", // the default of 5 s is meant for unit tests
    `--parallel=${CONCURRENCY}`,
    "--dots",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...(filter === undefined ? [] : [`--test-name-pattern=${filter}`]),
    ...files,
  ],
};

type Counts = Omit<SuiteResult, "runtime" | "server" | "ms" | "timedOut">;

function count(
  done: RunResult,
  reported: readonly TestCase[],
  files: readonly string[],
  options: SuiteOptions,
): Counts {
  // Node reports a file without a matching test as one passed test named after the file.
  const cases = reported.filter((test) =>
    test.status !== "passed" || !/_test\.ts$/.test(test.name)
  );
  const of = (status: TestCase["status"]) => cases.filter((test) => test.status === status);
  const failures = of("failed").map((test) => `${title(test, files)}\n${test.detail}`.trim());
  if (options.filter === undefined && done.code !== 0) {
    failures.push(...silentFiles(reported, files));
  }
  if (done.timedOut) failures.push(`the run did not end within ${options.timeoutMs} ms`);
  else if (done.code !== 0 && failures.length === 0) {
    failures.push(`the runner ended with exit code ${done.code}\n${tail(done)}`);
  }
  for (const left of done.leftovers) failures.push(`a process was left running: ${left}`);
  const passed = of("passed").length;
  if (passed === 0 && failures.length === 0) failures.push("the run executed no test");
  const skipped = of("skipped").length;
  return { passed, failed: failures.length, skipped, reported: cases.length, failures };
}

function title(test: TestCase, files: readonly string[]): string {
  const file = files.find((file) => test.file.endsWith(file)) ?? test.file;
  return test.name === file || file === "" ? test.name : `${file} ${test.name}`;
}

/**
 * Files that could not be loaded: Deno and Bun leave them out of the report. (In a run without
 * failures a file may be silent: Bun doesn't report a group that is skipped.)
 */
function silentFiles(reported: readonly TestCase[], files: readonly string[]): string[] {
  if (!reported.some((test) => test.file !== "")) return []; // Node 22 names no files
  const loud = (file: string) => reported.some((test) => test.file.endsWith(file));
  return files.filter((file) => !loud(file)).map((file) => `${file} reported no test`);
}

function tail(done: RunResult): string {
  return `${done.stdout}${done.stderr}`.trimEnd().split("\n").slice(-20).join("\n");
}
