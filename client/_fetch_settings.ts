import { type ConsumerSettings, parseConsumeOptions } from "./_consumer_settings.ts";
import { type CallBounds, callBounds } from "./call_options.ts";
import type { ConsumeOptions } from "./consume_options.ts";
import type { ClientCore } from "./core.ts";
import {
  DEFAULT_FETCH_EXPIRES_MS,
  DEFAULT_FETCH_MAX_MESSAGES,
  type FetchOptions,
} from "./fetch_options.ts";
import { checkStreamName } from "./stream_name.ts";
import type { Subject } from "./subject.ts";
import { checkDurationMs, checkInteger, checkOptions } from "./validate.ts";

/** Options of `fetch`, checked. */
export interface FetchSettings<T, K extends string> {
  /** The consumer, as `consume` would use it. */
  readonly consumer: ConsumerSettings<T, K>;
  readonly name: string;
  readonly maxMessages: number;
  readonly maxBytes: number | undefined;
  readonly expiresMs: number;
  /** For all but the wait for messages. */
  readonly bounds: CallBounds;
}

/** What makes sense for a consumer whoever pulls from it. */
const SHARED_KEYS = [
  "ackPolicy",
  "ackWaitMs",
  "autoCreate",
  "backoffMs",
  "bypassBreaker",
  "deliver",
  "filters",
  "inactiveThresholdMs",
  "maxAckPending",
  "maxDeliver",
  "memory",
  "name",
  "onDrift",
  "onError",
  "onUndecodable",
  "replicas",
  "stream",
] as const satisfies readonly (keyof ConsumeOptions<unknown> & keyof FetchOptions<unknown>)[];

const KEYS = [
  ...SHARED_KEYS,
  "expiresMs",
  "maxBytes",
  "maxMessages",
  "signal",
  "timeoutMs",
] as const satisfies readonly (keyof FetchOptions<unknown>)[];

const MAX_MESSAGES = 100_000;
/** Shorter requests may be over before the server has looked for messages. */
const MIN_EXPIRES_MS = 10;

/**
 * Checks the options of `fetch`.
 *
 * @throws {TypeError | RangeError} for what makes no sense, alone or together.
 */
export function parseFetchOptions<T, K extends string>(
  core: ClientCore,
  subject: Subject<T, K>,
  options: FetchOptions<T, K>,
): FetchSettings<T, K> {
  const given: Partial<FetchOptions<T, K>> = checkOptions<FetchOptions<T, K>>(
    "fetch",
    options,
    KEYS,
  );
  if (given.name === undefined) {
    throw new TypeError("fetch needs a name, the one of a durable consumer, got undefined");
  }
  const { expiresMs = DEFAULT_FETCH_EXPIRES_MS, maxBytes } = given;
  const { maxMessages = DEFAULT_FETCH_MAX_MESSAGES } = given;
  return {
    name: checkStreamName("fetch: name", given.name),
    maxMessages: checkInteger("fetch: maxMessages", maxMessages, { min: 1, max: MAX_MESSAGES }),
    maxBytes: maxBytes === undefined
      ? undefined
      : checkInteger("fetch: maxBytes", maxBytes, { min: 1, max: MAX_BYTES }),
    expiresMs: checkDurationMs("fetch: expiresMs", expiresMs, { min: MIN_EXPIRES_MS }),
    bounds: callBounds("fetch", options, core.requestTimeoutMs),
    consumer: parseConsumeOptions(subject, sharedOf(given), { call: "fetch" }),
  };
}

/** The server keeps it in 31 bits. */
const MAX_BYTES = 2 ** 31 - 1;

function sharedOf<T, K extends string>(given: Partial<FetchOptions<T, K>>): ConsumeOptions<T, K> {
  return Object.fromEntries(
    SHARED_KEYS.map((key) => [key, given[key]]),
  ) as ConsumeOptions<T, K>;
}
