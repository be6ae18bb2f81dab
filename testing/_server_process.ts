import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { killNow, onProcessExit } from "./_child_guard.ts";

/** How a server process ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One run of the nats-server program; its output is appended to a log file. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #exit = Promise.withResolvers<ServerExit>();
  #exited: ServerExit | undefined;

  constructor(binary: string, args: readonly string[], logFile: string) {
    // A file rather than a pipe: a busy or stopped parent must never block the server.
    const log = openSync(logFile, "a");
    try {
      this.#child = spawn(binary, [...args], { stdio: ["ignore", log, log] });
    } finally {
      closeSync(log);
    }
    const release = onProcessExit(() => killNow(this.#child.pid));
    const ended = (exit: ServerExit) => {
      release();
      this.#exited ??= exit;
      this.#exit.resolve(this.#exited);
    };
    this.#exit.promise.catch(() => {});
    this.#child.once("exit", (code, signal) => ended({ code, signal }));
    this.#child.once("error", (error) => {
      release();
      this.#exited ??= { code: -1, signal: null };
      this.#exit.reject(error);
    });
    this.#child.unref(); // a forgotten server must not keep its parent alive
  }

  /** Rejects when the program could not be started at all. */
  get exit(): Promise<ServerExit> {
    return this.#exit.promise;
  }

  get hasExited(): boolean {
    return this.#exited !== undefined;
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Sends a signal; false when the process has ended. */
  send(signal: NodeJS.Signals): boolean {
    if (this.hasExited) return false;
    return this.#child.kill(signal);
  }

  /** Waits for the end while holding the event loop, which the process itself does not. */
  async waitForExit(): Promise<void> {
    this.#child.ref();
    await this.exit.catch(() => {});
  }
}
