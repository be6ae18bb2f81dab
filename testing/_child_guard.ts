/** Ends child processes with this process, however it ends (except by SIGKILL). */
import process from "node:process";

const cleanups = new Set<() => void>();
const SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

/**
 * Registers a synchronous clean-up for the moment this process exits; the returned function
 * takes it back. Signals are listened to only while something is registered.
 */
export function onProcessExit(cleanup: () => void): () => void {
  if (cleanups.size === 0) listen();
  cleanups.add(cleanup);
  return () => {
    cleanups.delete(cleanup);
    if (cleanups.size === 0) unlisten();
  };
}

/** Kills a process by its id, which must be one of this process's own children. */
export function killNow(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended already
  }
}

function runAll(): void {
  for (const cleanup of cleanups) {
    try {
      cleanup();
    } catch {
      // the others must still run
    }
  }
  cleanups.clear();
}

/** A signal that nobody else handles would have ended this process: so it still does. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  runAll();
  unlisten();
  process.kill(process.pid, signal);
}

function listen(): void {
  process.on("exit", runAll);
  for (const signal of SIGNALS) process.on(signal, onSignal);
}

function unlisten(): void {
  process.off("exit", runAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
