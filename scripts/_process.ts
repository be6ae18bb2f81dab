/** Running child processes: one place that starts them, times them out and ends their whole tree. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { basename } from "node:path";
import process from "node:process";

/** How {@link run} starts a program. */
export interface RunOptions {
  /** Working directory. @default the caller's */
  readonly cwd?: string | undefined;
  /** Variables added to the environment; `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Milliseconds after which the program and all its children are killed. @default none */
  readonly timeoutMs?: number | undefined;
  /**
   * Pass output through to this process as it comes, besides collecting it; a function may change
   * what is shown. @default false
   */
  readonly echo?: boolean | ((text: string) => string) | undefined;
  /** Text for the program's standard input. @default nothing, closed */
  readonly input?: string | undefined;
}

/** What became of a program. */
export interface RunResult {
  /** Exit code; `null` when a signal ended it, -1 when it could not be started. */
  readonly code: number | null;
  /** Everything written to standard output. */
  readonly stdout: string;
  /** Everything written to standard error. */
  readonly stderr: string;
  /** Whether the time limit ended it. */
  readonly timedOut: boolean;
  /** Wall-clock duration. */
  readonly ms: number;
  /** Command lines of child processes that outlived the program (they have been killed). */
  readonly leftovers: readonly string[];
}

/** The longest that a timer can be set for. */
const NEVER_MS = 2 ** 31 - 1;

const live = new Set<ChildProcess>();
let guarded = false;

/** Runs a program to its end. Never rejects: a program that can't start has code -1 and says why in `stderr`. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  guardExit();
  const started = performance.now();
  const child = spawn(command, [...args], {
    cwd: options.cwd,
    env: environment(options.env),
    stdio: ["pipe", "pipe", "pipe"],
    detached: process.platform !== "win32",
  });
  live.add(child);
  const output = collect(child, options.echo ?? false);
  child.stdin?.on("error", () => {}); // a program may end without reading its input
  child.stdin?.end(options.input ?? "");
  const ended = Promise.withResolvers<number | null>();
  child.once("error", (error) => {
    output.stderr += `${error.message}\n`;
    ended.resolve(-1);
  });
  child.once("exit", ended.resolve);
  const closed = new Promise((resolve) => child.once("close", resolve));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGINT"); // a test runner answers with the names of the tests that hang
    setTimeout(() => killTree(child), 3_000).unref();
  }, options.timeoutMs ?? NEVER_MS);
  const code = await ended.promise;
  clearTimeout(timer);
  const leftovers = timedOut ? [] : await groupMembers(child.pid);
  killTree(child);
  if (code !== -1) await closed; // the rest of the output
  live.delete(child);
  return { code, ...output, timedOut, ms: performance.now() - started, leftovers };
}

/** Runs a program and returns its standard output; throws with its output when it fails. */
export async function runOrThrow(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(command, args, options);
  if (result.code === 0) return result.stdout;
  const how = result.timedOut ? `timed out after ${options.timeoutMs} ms` : `exit ${result.code}`;
  throw new Error(
    `${basename(command)} ${args.join(" ")}: ${how}\n${result.stdout}${result.stderr}`,
  );
}

/** The Deno that runs this script, or the one on PATH when another runtime does. */
export function denoPath(): string {
  return process.versions["deno"] === undefined ? "deno" : process.execPath;
}

function environment(extra: RunOptions["env"]): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const [name, value] of Object.entries(extra ?? {})) {
    if (value === undefined) delete env[name];
    else env[name] = value;
  }
  return env;
}

type Output = { stdout: string; stderr: string };

function collect(child: ChildProcess, echo: NonNullable<RunOptions["echo"]>): Output {
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8");
    child[name]?.on("data", (text: string) => {
      output[name] += text;
      if (echo) process[name].write(echo === true ? text : echo(text));
    });
  }
  return output;
}

function killTree(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === "win32") child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // already gone
  }
}

/** What still runs in the process group that the program led; empty where `ps` can't tell. */
function groupMembers(group: number | undefined): Promise<string[]> {
  if (group === undefined || process.platform === "win32") return Promise.resolve([]);
  const { promise, resolve } = Promise.withResolvers<string[]>();
  execFile("ps", ["-A", "-o", "pgid=,stat=,args="], (error, stdout) => {
    const lines = error ? [] : stdout.split("\n").map((line) => line.trim().split(/\s+/));
    const alive = lines.filter(([pgid, stat]) => pgid === `${group}` && !stat?.startsWith("Z"));
    resolve(alive.map((line) => line.slice(2).join(" ")));
  });
  return promise;
}

function guardExit(): void {
  if (guarded) return;
  guarded = true;
  process.on("exit", () => live.forEach(killTree));
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    process.on(signal, () => process.exit(code));
  }
}
