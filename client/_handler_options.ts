import { checkQueue } from "./_address.ts";
import { checkBypass } from "./call_options.ts";
import {
  DEFAULT_HANDLER_TIMEOUT_MS,
  DEFAULT_MAX_WAITING_BYTES,
  type HandlerOptions,
} from "./handler_options.ts";
import { checkDurationMs, checkInteger, checkOptions, checkSignal } from "./validate.ts";

/** Besides what is the same for both, a queue group. */
interface GivenOptions extends HandlerOptions {
  readonly queue?: string | false | undefined;
}

/** The same, checked and complete. */
export interface HandlerSettings {
  readonly queue: string | undefined;
  readonly concurrency: number;
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly bypassBreaker: boolean | undefined;
}

/** What differs between subscriptions and services. */
export interface HandlerDefaults {
  readonly queue: string | undefined;
  readonly concurrency: number;
  readonly maxWaiting: number;
}

const KEYS: readonly (keyof GivenOptions)[] = [
  "queue",
  "concurrency",
  "maxWaiting",
  "maxWaitingBytes",
  "timeoutMs",
  "signal",
  "bypassBreaker",
];

/** Checks options; `onError` and such are known besides as `otherKeys`. */
export function parseHandlerOptions<O extends GivenOptions>(
  what: string,
  options: O | undefined,
  parse: {
    readonly defaults: HandlerDefaults;
    readonly otherKeys: readonly (keyof O & string)[];
  },
): HandlerSettings {
  const { defaults, otherKeys } = parse;
  const known: GivenOptions = checkOptions(what, options, [...KEYS, ...otherKeys]);
  const { queue = defaults.queue, concurrency = defaults.concurrency } = known;
  const { maxWaiting = defaults.maxWaiting } = known;
  const { maxWaitingBytes = DEFAULT_MAX_WAITING_BYTES } = known;
  const { timeoutMs = DEFAULT_HANDLER_TIMEOUT_MS, signal } = known;
  return {
    queue: queue === undefined || queue === false ? undefined : checkQueue(what, queue),
    concurrency: checkInteger(`${what}: concurrency`, concurrency, { min: 1 }),
    maxWaiting: checkInteger(`${what}: maxWaiting`, maxWaiting),
    maxWaitingBytes: checkInteger(`${what}: maxWaitingBytes`, maxWaitingBytes, { min: 1 }),
    timeoutMs: checkDurationMs(`${what}: timeoutMs`, timeoutMs, { min: 1 }),
    signal: checkSignal(`${what}: signal`, signal),
    bypassBreaker: checkBypass(what, known.bypassBreaker),
  };
}
