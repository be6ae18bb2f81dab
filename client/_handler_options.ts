import { checkQueue } from "./_address.ts";
import { checkDurationMs, checkInteger, checkOptions, checkSignal } from "./validate.ts";

/** The longest that a handler may take unless it says that it is alive, in milliseconds. */
export const DEFAULT_HANDLER_TIMEOUT_MS: number = 30_000;
/** How long handlers are given to finish when their subscription is drained, in milliseconds. */
export const DEFAULT_GRACE_MS: number = 30_000;

const MAX_PENDING_BYTES = 64 * 1_048_576;

/** The options that all handlers have in common. */
export interface HandlerOptions {
  readonly queue?: string | false | undefined;
  readonly concurrency?: number | undefined;
  readonly maxPending?: number | undefined;
  readonly maxPendingBytes?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The same, checked and complete. */
export interface HandlerSettings {
  readonly queue: string | undefined;
  readonly concurrency: number;
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** What differs between subscriptions and services. */
export interface HandlerDefaults {
  readonly queue: string | undefined;
  readonly concurrency: number;
  readonly maxPending: number;
}

/** The names of {@link HandlerOptions}. */
const KEYS: readonly (keyof HandlerOptions)[] = [
  "queue",
  "concurrency",
  "maxPending",
  "maxPendingBytes",
  "timeoutMs",
  "signal",
];

/** Checks options; `onError` and such are known besides as `otherKeys`. */
export function parseHandlerOptions<O extends HandlerOptions>(
  what: string,
  options: O | undefined,
  parse: {
    readonly defaults: HandlerDefaults;
    readonly otherKeys: readonly (keyof O & string)[];
  },
): HandlerSettings {
  const { defaults, otherKeys } = parse;
  const known: HandlerOptions = checkOptions(what, options, [...KEYS, ...otherKeys]);
  const { queue = defaults.queue, concurrency = defaults.concurrency } = known;
  const { maxPending = defaults.maxPending, maxPendingBytes = MAX_PENDING_BYTES } = known;
  const { timeoutMs = DEFAULT_HANDLER_TIMEOUT_MS, signal } = known;
  return {
    queue: queue === undefined || queue === false ? undefined : checkQueue(what, queue),
    concurrency: checkInteger(`${what}: concurrency`, concurrency, { min: 1 }),
    maxPending: checkInteger(`${what}: maxPending`, maxPending),
    maxPendingBytes: checkInteger(`${what}: maxPendingBytes`, maxPendingBytes, { min: 1 }),
    timeoutMs: checkDurationMs(`${what}: timeoutMs`, timeoutMs, { min: 1 }),
    signal: checkSignal(`${what}: signal`, signal),
  };
}
