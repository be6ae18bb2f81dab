import { isThenable } from "./_is_thenable.ts";
import { logger } from "./_logger.ts";

/** What a callback of `owner` throws, or rejects with, has nowhere to go but the log. */
export function callSafely(callback: () => unknown, owner: string): void {
  const report = (error: unknown) =>
    logger.error("A callback of {owner} failed: {error}", { owner, error });
  try {
    const result = callback();
    if (isThenable(result)) result.then(() => {}, report);
  } catch (error) {
    report(error);
  }
}
