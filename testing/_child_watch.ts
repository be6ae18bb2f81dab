/** Ends child processes with this process, however it ends. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import process from "node:process";
import type { Writable } from "node:stream";

/**
 * Ties a child to this process: when this process ends, also by SIGKILL, the child is killed and
 * its temporary folder, if it has one, is removed.
 *
 * A handler of the "exit" event is not enough: a killed process runs none, and Deno runs none
 * after an uncaught error. So a shell waits for the end of a pipe that only this process holds.
 * Windows has the handler alone.
 *
 * @returns ends the watch, once the child has ended
 */
export function watchChild(child: ChildProcess, folder?: string): () => void {
  if (atExit.size === 0) process.on("exit", runAtExit);
  const end = () => {
    sendSignal(child, "SIGKILL");
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  };
  atExit.add(end);
  const dismiss = process.platform === "win32" ? () => {} : startWatchdog(child.pid, folder);
  return () => {
    atExit.delete(end);
    if (atExit.size === 0) process.off("exit", runAtExit);
    dismiss();
  };
}

/** One listener for all: more than ten make Node warn of a leak. */
const atExit = new Set<() => void>();

function runAtExit(): void {
  for (const end of atExit) end();
}

/**
 * Sends a signal to a child; false when it has ended.
 *
 * By its id, since Deno's `child.kill` takes a stopped child for a dead one; by `child.kill` where
 * Deno does not allow the other.
 */
export function sendSignal(child: ChildProcess, signal: NodeJS.Signals): boolean {
  if (child.pid === undefined) return false;
  try {
    return process.kill(child.pid, signal);
  } catch (error) {
    const hasEnded = (error as NodeJS.ErrnoException).code === "ESRCH";
    return !hasEnded && child.kill(signal);
  }
}

/** A line dismisses it; the end of its input without one means that this process has ended. */
const WATCHDOG = `trap "" HUP INT TERM
read -r _ && exit
kill -KILL "$1"
[ -z "$2" ] || rm -rf -- "$2"`;

function startWatchdog(pid: number | undefined, folder = ""): () => void {
  if (pid === undefined) return () => {};
  const watchdog = trySpawn(["-c", WATCHDOG, "jsflow-watchdog", `${pid}`, folder]);
  if (watchdog?.pid === undefined) return () => {}; // without a shell the exit handler remains
  watchdog.unref();
  const input = watchdog.stdin;
  input.on("error", () => {});
  // Bun's stream has no such method, and does not keep the process alive.
  (input as { unref?: () => void }).unref?.();
  return () => input.end("\n");
}

function trySpawn(args: readonly string[]): ChildProcessByStdio<Writable, null, null> | undefined {
  try {
    const shell = spawn("/bin/sh", args, {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true, // a signal to this process's group must not end it
    });
    shell.on("error", () => {});
    return shell;
  } catch {
    return undefined; // Deno without the permission to run it
  }
}
