import { checkDurationMs, checkOptions } from "./validate.ts";

/** How long handlers may take to finish when what they belong to is drained, in milliseconds. */
export const DEFAULT_GRACE_MS: number = 30_000;

/** How subscriptions, services and consumptions are drained. */
export interface DrainOptions {
  /**
   * Milliseconds for handlers to finish; then their signals abort.
   *
   * @default {@link DEFAULT_GRACE_MS}, 30 seconds
   */
  readonly graceMs?: number | undefined;
}

/** Checks the options of a drain, and returns the grace in milliseconds. */
export function checkGrace(options: DrainOptions | undefined): number {
  const { graceMs = DEFAULT_GRACE_MS } = checkOptions<DrainOptions>("drain", options, ["graceMs"]);
  return checkDurationMs("drain: graceMs", graceMs);
}
