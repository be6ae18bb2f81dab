import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { checkOptions, checkString } from "../client/validate.ts";
import { sendSignal, watchChild } from "./_child_watch.ts";
import { waitUntil } from "./wait_until.ts";

/** How {@link spawnProgram} starts a program. */
export interface SpawnProgramOptions {
  /** Variables added to this process's environment; `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Working folder. @default this process's */
  readonly cwd?: string | undefined;
}

/** How a program ended. */
export interface ProgramExit {
  /** The exit code, or null when a signal ended it. */
  readonly code: number | null;
  /** The signal that ended it, if one did. */
  readonly signal: string | null;
}

/** Signals for {@link SpawnedProgram.kill}. */
export type ProgramSignal = "SIGCONT" | "SIGINT" | "SIGKILL" | "SIGSTOP" | "SIGTERM";

/** A program started by {@link spawnProgram}. */
export interface SpawnedProgram extends AsyncDisposable {
  /** The process id. */
  readonly pid: number;
  /** Resolves once the program has ended and its output is complete; never rejects. */
  readonly exit: Promise<ProgramExit>;
  /** Lines of standard output so far: the newest 10,000. */
  readonly stdout: readonly string[];
  /** Lines of standard error so far: the newest 10,000. */
  readonly stderr: readonly string[];
  /** Sends a signal; false when the program has ended. @default "SIGKILL" */
  kill(signal?: ProgramSignal): boolean;
  /** Writes a line to the program's standard input. */
  writeLine(line: string): void;
  /**
   * Resolves with the first line of standard output that matches, past or future.
   *
   * @throws {Error} with the program's output when it ends without one, or after `timeoutMs`
   */
  waitForLine(pattern: RegExp, options?: { readonly timeoutMs?: number }): Promise<string>;
  /** Kills the program if it still runs, and waits for its end. */
  close(): Promise<void>;
}

const MAX_LINES = 10_000;

/**
 * Runs a TypeScript or JavaScript file in a process of its own on the current runtime (Deno, with
 * all permissions; Node or Bun), to be crashed, frozen or watched by a test.
 *
 * The program is killed when this process exits.
 *
 * @throws {TypeError} for arguments that make no sense
 *
 * @example
 * ```ts
 * import { spawnProgram } from "@x/jsflow/testing";
 *
 * async function test(url: string) {
 *   const worker = spawnProgram(new URL("./worker.ts", import.meta.url), [url]);
 *   try {
 *     await worker.waitForLine(/ready/);
 *     worker.kill("SIGKILL");
 *     await worker.exit;
 *   } finally {
 *     await worker.close();
 *   }
 * }
 * ```
 */
export function spawnProgram(
  file: string | URL,
  args: readonly string[] = [],
  options?: SpawnProgramOptions,
): SpawnedProgram {
  const { env, cwd } = checkOptions("spawnProgram", options, ["env", "cwd"]);
  const path = file instanceof URL ? fileURLToPath(file) : checkString("file", file);
  const child = spawn(process.execPath, [...runtimeArgs(), path, ...args], {
    cwd,
    env: environment(env),
    stdio: ["pipe", "pipe", "pipe"],
  });
  return new Program(child, path);
}

/** What makes the current runtime run a file as given. */
function runtimeArgs(): string[] {
  if (process.versions["deno"] !== undefined) return ["run", "--quiet", "--allow-all"];
  if (process.versions["bun"] !== undefined) return ["run"];
  const quiet = ["ExperimentalWarning", "MODULE_TYPELESS_PACKAGE_JSON"];
  return ["--experimental-strip-types", ...quiet.map((name) => `--disable-warning=${name}`)];
}

function environment(extra: SpawnProgramOptions["env"]): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const [name, value] of Object.entries(extra ?? {})) {
    if (value === undefined) delete env[name];
    else env[name] = value;
  }
  return env;
}

class Program implements SpawnedProgram {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly exit: Promise<ProgramExit>;
  readonly #child: ChildProcess;
  readonly #path: string;
  #ended: ProgramExit | undefined;

  constructor(child: ChildProcess, path: string) {
    this.#child = child;
    this.#path = path;
    collectLines(child.stdout, this.stdout);
    collectLines(child.stderr, this.stderr);
    child.stdin?.on("error", () => {}); // a program may end without reading its input
    const release = watchChild(child);
    const { promise, resolve } = Promise.withResolvers<ProgramExit>();
    const end = (exit: ProgramExit) => {
      release();
      this.#ended ??= exit;
      resolve(this.#ended);
    };
    child.once("close", (code, signal) => end({ code, signal }));
    child.once("error", (error) => {
      this.stderr.push(error.message);
      end({ code: -1, signal: null });
    });
    this.exit = promise;
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  kill(signal: ProgramSignal = "SIGKILL"): boolean {
    return this.#ended === undefined && sendSignal(this.#child, signal);
  }

  writeLine(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async waitForLine(
    pattern: RegExp,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<string> {
    const found = await waitUntil(() => {
      const line = this.stdout.find((line) => pattern.test(line));
      if (line !== undefined) return { line };
      return this.#ended === undefined ? undefined : "ended";
    }, {
      what: `${this.#path} prints ${pattern}`,
      timeoutMs: options.timeoutMs ?? 10_000,
      intervalMs: 5,
    }).catch((error) => {
      throw new Error(`${error.message}\n${this.#output()}`);
    });
    if (found !== "ended") return found.line;
    throw new Error(`${this.#path} ended without printing ${pattern}\n${this.#output()}`);
  }

  async close(): Promise<void> {
    this.kill("SIGKILL");
    await this.exit;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #output(): string {
    return [...this.stdout, ...this.stderr].slice(-100).join("\n");
  }
}

function collectLines(stream: ChildProcess["stdout"], lines: string[]): void {
  if (stream === null) return;
  createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
    lines.push(line);
    if (lines.length > MAX_LINES) lines.shift();
  });
}
