import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { sendSignal, watchChild } from "./_child_watch.ts";

/** How a server process ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One run of the nats-server program; its output is appended to `server.log` in its folder. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #exit = Promise.withResolvers<ServerExit>();
  #exited: ServerExit | undefined;

  constructor(binary: string, args: readonly string[], folder: string) {
    // A file rather than a pipe: a busy or stopped parent must never block the server.
    const log = openSync(join(folder, "server.log"), "a");
    try {
      this.#child = spawn(binary, [...args], { stdio: ["ignore", log, log] });
    } finally {
      closeSync(log);
    }
    const release = watchChild(this.#child, folder);
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
    // A forgotten server must not keep its parent alive. (Deno throws if the start has failed.)
    if (this.#child.pid !== undefined) this.#child.unref();
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
    return !this.hasExited && sendSignal(this.#child, signal);
  }

  /** Waits for the end while holding the event loop, which the process itself does not. */
  async waitForExit(): Promise<void> {
    if (this.#child.pid !== undefined) this.#child.ref();
    await this.exit.catch(() => {});
  }
}
