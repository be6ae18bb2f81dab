import { readdirSync, readFileSync } from "node:fs";

const GIVE_UP_MS = 200;

/**
 * Blocks until every thread of a process that was sent SIGSTOP has stopped, which the kernel
 * does a moment after the signal. Where there is no `/proc`, or it must not be read, it returns
 * at once.
 */
export function awaitStandstill(pid: number): void {
  const deadlineMs = performance.now() + GIVE_UP_MS;
  try {
    while (!standsStill(pid) && performance.now() < deadlineMs);
  } catch {
    // no /proc
  }
}

function standsStill(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.every((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    const state = stat.charAt(stat.lastIndexOf(")") + 2); // the name before it may hold anything
    return state === "T" || state === "t";
  });
}
