import { untilAborted } from "./deadline.ts";

/** Waits for a promise, but not longer than `ms`; how it ends is of no interest. */
export async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ms);
  await untilAborted(promise, controller.signal).catch(() => {});
  clearTimeout(timer);
}
