/** Ends child processes with this process, however it ends. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import process from "node:process";
import type { Writable } from "node:stream";

/** A child that must not outlive this process. */
export interface Watched {
  readonly pid: number | undefined;
  /** A temporary folder of the child's, removed if this process ends first. */
  readonly folder?: string | undefined;
}

/**
 * Ties a child to this process: when this process ends, also by SIGKILL, the child is killed.
 *
 * A handler of the "exit" event is not enough: a killed process runs none, and Deno runs none
 * after an uncaught error. So a shell waits for the end of a pipe that only this process holds.
 * Windows has the handler alone.
 *
 * @returns ends the watch, once the child has ended
 */
export function watchChild(child: Watched): () => void {
  const onExit = () => {
    sendSignal(child.pid, "SIGKILL");
    if (child.folder !== undefined) rmSync(child.folder, { recursive: true, force: true });
  };
  process.on("exit", onExit);
  const dismiss = process.platform === "win32" ? () => {} : startWatchdog(child);
  return () => {
    process.off("exit", onExit);
    dismiss();
  };
}

/**
 * Sends a signal to one of this process's own children; false when it has ended.
 *
 * By its id, since Deno's `child.kill` takes a stopped child for a dead one.
 */
export function sendSignal(pid: number | undefined, signal: NodeJS.Signals): boolean {
  if (pid === undefined) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** A line dismisses it; the end of its input without one means that this process has ended. */
const WATCHDOG = `trap "" HUP INT TERM
read -r _ && exit
kill -KILL "$1"
[ -z "$2" ] || rm -rf -- "$2"`;

function startWatchdog({ pid, folder = "" }: Watched): () => void {
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
