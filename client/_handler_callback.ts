import { logger } from "./_logger.ts";

/** What a callback for errors throws, or rejects with, has nowhere to go but the log. */
export function callSafely(callback: () => unknown, subject: string): void {
  const report = (error: unknown) =>
    logger.error("The onError callback of {subject} failed: {error}", { subject, error });
  try {
    const result = callback();
    if (result instanceof Promise) result.catch(report);
  } catch (error) {
    report(error);
  }
}
