import { autoCreateConfig, type StreamAutoCreate } from "./auto_create.ts";
import type { ConsumerEvent } from "./client_event.ts";
import {
  type ConsumeOptions,
  type ConsumerAckPolicy,
  DEFAULT_CANCEL_DELAY_MS,
  DEFAULT_CONSUME_MAX_MESSAGES,
  DEFAULT_ERROR_DELAY_MS,
  DEFAULT_PULL_HEARTBEAT_MS,
  type DefaultSettlement,
  type DeliverFrom,
  type OnConsumerGone,
} from "./consume_options.ts";
import { DEFAULT_CONCURRENCY, DEFAULT_HANDLER_TIMEOUT_MS } from "./handler_options.ts";
import { checkOnDrift, type OnDrift } from "./ensure_stream.ts";
import { checkStreamName } from "./stream_name.ts";
import type { StreamMessage } from "./stream_message.ts";
import type { Subject } from "./subject.ts";
import { checkSubjectFilter, filterCovers } from "./subject_filter.ts";
import {
  checkBoolean,
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSignal,
  describe,
} from "./validate.ts";

/** Options of `consume`, checked; what the caller left out and the server decides is undefined. */
export interface ConsumerSettings<T, K extends string> {
  readonly subject: Subject<T, K>;
  readonly stream: string | undefined;
  readonly name: string | undefined;
  readonly filters: readonly string[];
  readonly deliver: DeliverFrom | undefined;
  readonly ackPolicy: ConsumerAckPolicy | undefined;
  readonly maxDeliver: number | undefined;
  readonly ackWaitMs: number | undefined;
  readonly backoffMs: readonly number[] | undefined;
  readonly maxAckPending: number | undefined;
  readonly inactiveThresholdMs: number | undefined;
  readonly replicas: number | undefined;
  readonly memory: boolean | undefined;
  readonly maxMessages: number;
  readonly maxBytes: number | undefined;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly heartbeatMs: number | false | undefined;
  readonly settle: DefaultSettlement;
  readonly errorDelayMs: number;
  readonly cancelDelayMs: number;
  readonly onUndecodable: "ack" | "nak" | "term";
  readonly confirmAcks: boolean;
  readonly autoCreate: StreamAutoCreate | undefined;
  readonly bypassBreaker: boolean | undefined;
  readonly onDrift: OnDrift;
  readonly onGone: OnConsumerGone;
  readonly pullHeartbeatMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onError: ((error: unknown, message?: StreamMessage<T, K>) => void) | undefined;
  readonly onRecovery: ((event: ConsumerEvent) => void) | undefined;
}

const KEYS = [
  "ackPolicy",
  "ackWaitMs",
  "autoCreate",
  "backoffMs",
  "bypassBreaker",
  "cancelDelayMs",
  "concurrency",
  "confirmAcks",
  "deliver",
  "errorDelayMs",
  "filters",
  "heartbeatMs",
  "inactiveThresholdMs",
  "maxAckPending",
  "maxBytes",
  "maxDeliver",
  "maxMessages",
  "memory",
  "name",
  "onDrift",
  "onError",
  "onGone",
  "onRecovery",
  "onUndecodable",
  "pullHeartbeatMs",
  "replicas",
  "settle",
  "signal",
  "stream",
  "timeoutMs",
] as const satisfies readonly (keyof ConsumeOptions<unknown>)[];

const MAX_COUNT = 100_000;
const MAX_BACKOFFS = 1_000;
const MAX_FILTERS = 1_000;
const MAX_REPLICAS = 5;
/** The server keeps shorter ack waits badly: it looks for expired ones now and then. */
const MIN_ACK_WAIT_MS = 10;
const MIN_HEARTBEAT_MS = 10;
const MIN_PULL_HEARTBEAT_MS = 100;
const MAX_PULL_HEARTBEAT_MS = 60_000;

/**
 * Checks the options of `consume`.
 *
 * @throws {TypeError | RangeError} for what makes no sense, alone or together.
 */
export function parseConsumeOptions<T, K extends string>(
  subject: Subject<T, K>,
  options: ConsumeOptions<T, K> | undefined,
): ConsumerSettings<T, K> {
  checkSubject(subject);
  const given: Partial<ConsumeOptions<T, K>> = checkOptions("consume", options, KEYS);
  const concurrency = count("concurrency", given.concurrency) ?? DEFAULT_CONCURRENCY;
  const settings: ConsumerSettings<T, K> = {
    subject,
    stream: checkName("stream", given.stream),
    name: checkName("name", given.name),
    filters: checkFilters(subject, given.filters),
    deliver: given.deliver === undefined ? undefined : checkDeliver(given.deliver),
    ackPolicy: oneOf("ackPolicy", given.ackPolicy, ["all", "explicit", "none"]),
    maxDeliver: maxDeliver(given.maxDeliver),
    ackWaitMs: duration("ackWaitMs", given.ackWaitMs, MIN_ACK_WAIT_MS),
    backoffMs: checkBackoff(given.backoffMs),
    maxAckPending: maxAckPending(given.maxAckPending),
    inactiveThresholdMs: duration("inactiveThresholdMs", given.inactiveThresholdMs, 1),
    replicas: count("replicas", given.replicas, MAX_REPLICAS),
    memory: boolean("memory", given.memory),
    maxMessages: count("maxMessages", given.maxMessages) ??
      Math.max(DEFAULT_CONSUME_MAX_MESSAGES, concurrency),
    maxBytes: count("maxBytes", given.maxBytes, Number.MAX_SAFE_INTEGER),
    concurrency,
    timeoutMs: duration("timeoutMs", given.timeoutMs, 1) ?? DEFAULT_HANDLER_TIMEOUT_MS,
    heartbeatMs: given.heartbeatMs === false
      ? false
      : duration("heartbeatMs", given.heartbeatMs, MIN_HEARTBEAT_MS),
    settle: oneOf("settle", given.settle, ["ack", "nak", "none"]) ?? "ack",
    errorDelayMs: duration("errorDelayMs", given.errorDelayMs, 0) ?? DEFAULT_ERROR_DELAY_MS,
    cancelDelayMs: duration("cancelDelayMs", given.cancelDelayMs, 0) ?? DEFAULT_CANCEL_DELAY_MS,
    onUndecodable: oneOf("onUndecodable", given.onUndecodable, ["ack", "nak", "term"]) ?? "term",
    confirmAcks: boolean("confirmAcks", given.confirmAcks) ?? false,
    autoCreate: checkAutoCreate(subject, given),
    bypassBreaker: boolean("bypassBreaker", given.bypassBreaker),
    onDrift: checkOnDrift("consume", given.onDrift),
    onGone: oneOf("onGone", given.onGone, ["fail", "restart", "resume"]) ?? "resume",
    pullHeartbeatMs: pullHeartbeat(given.pullHeartbeatMs),
    signal: checkSignal("consume: signal", given.signal),
    onError: callback("onError", given.onError),
    onRecovery: callback("onRecovery", given.onRecovery),
  };
  checkTogether(settings);
  return settings;
}

function checkTogether<T, K extends string>(settings: ConsumerSettings<T, K>): void {
  const { ackPolicy, backoffMs, concurrency, maxDeliver, maxMessages } = settings;
  if (maxMessages < concurrency) {
    throw new RangeError(
      `consume: maxMessages (${maxMessages}) must not be below concurrency (${concurrency})`,
    );
  }
  if (ackPolicy === "all" && concurrency > 1) {
    throw new TypeError(
      'consume: ackPolicy "all" needs concurrency 1: an ack settles the messages before it too',
    );
  }
  if (ackPolicy === "none" && backoffMs !== undefined) {
    throw new TypeError('consume: backoffMs makes no sense with ackPolicy "none"');
  }
  if (backoffMs && maxDeliver !== undefined && maxDeliver > 0 && maxDeliver <= backoffMs.length) {
    throw new RangeError(
      `consume: maxDeliver (${maxDeliver}) must exceed the ${backoffMs.length} entries of backoffMs`,
    );
  }
}

function checkSubject(subject: unknown): void {
  const candidate = subject as Partial<Subject<unknown, never>> | null | undefined;
  if (typeof candidate?.filter === "string" && typeof candidate.match === "function") return;
  throw new TypeError(`consume needs a subject, got ${describe(subject)}`);
}

function checkName(name: string, value: unknown): string | undefined {
  return value === undefined ? undefined : checkStreamName(`consume: ${name}`, value);
}

function checkFilters<T, K extends string>(
  subject: Subject<T, K>,
  value: unknown,
): readonly string[] {
  if (value === undefined) return [subject.filter];
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_FILTERS) {
    throw new TypeError(
      `consume: filters must be an array of 1 to ${MAX_FILTERS} subjects, got ${describe(value)}`,
    );
  }
  return value.map((item: unknown, index) => {
    const filter = checkSubjectFilter(`consume: filters[${index}]`, item);
    if (filterCovers(subject.filter, filter)) return filter;
    throw new TypeError(
      `consume: filters[${index}] must lie within ${subject.filter}, got ${describe(filter)}`,
    );
  });
}

function checkDeliver(value: unknown): DeliverFrom {
  if (typeof value === "object" && value !== null) {
    const { time, sequence } = value as { time?: unknown; sequence?: unknown };
    if (time !== undefined && sequence === undefined) return { time: checkTime(time) };
    if (sequence !== undefined && time === undefined) {
      return { sequence: checkInteger("consume: deliver.sequence", sequence, { min: 1 }) };
    }
    throw new TypeError("consume: deliver must have either time or sequence");
  }
  const known = ["all", "last", "last-per-subject", "new"] as const;
  return oneOf("deliver", value, known) ?? "all";
}

function checkTime(value: unknown): Date {
  if (!(value instanceof Date)) {
    throw new TypeError(`consume: deliver.time must be a Date, got ${describe(value)}`);
  }
  const ms = value.getTime();
  if (!(ms >= 0 && ms <= MAX_TIME_MS)) {
    throw new RangeError("consume: deliver.time must lie between 1970 and 2262");
  }
  return new Date(ms); // the caller's may change
}

/** The server counts nanoseconds in 64 bits. */
const MAX_TIME_MS = 9_223_372_036_854;

function checkBackoff(value: unknown): readonly number[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) {
    throw new TypeError(`consume: backoffMs must be an array, got ${describe(value)}`);
  }
  if (value.length === 0 || value.length > MAX_BACKOFFS) {
    throw new RangeError(`consume: backoffMs must have from 1 to ${MAX_BACKOFFS} entries`);
  }
  return value.map((ms: unknown, index) =>
    checkDurationMs(`consume: backoffMs[${index}]`, ms, { min: MIN_ACK_WAIT_MS })
  );
}

function checkAutoCreate<T, K extends string>(
  subject: Subject<T, K>,
  given: Partial<ConsumeOptions<T, K>>,
): StreamAutoCreate | undefined {
  const { autoCreate = false, stream } = given;
  if (autoCreate === false) return undefined;
  const named = stream === undefined ? {} : { stream };
  const plan = autoCreate === true ? named : { ...autoCreate, ...named };
  autoCreateConfig("consume: autoCreate", subject, autoCreate === true ? plan : autoCreate);
  if (autoCreate !== true) autoCreateConfig("consume: autoCreate", subject, plan);
  return plan;
}

function maxDeliver(value: unknown): number | undefined {
  return value === undefined || value === -1 ? value : count("maxDeliver", value);
}

function maxAckPending(value: unknown): number | undefined {
  return value === undefined || value === -1 ? value : count("maxAckPending", value, 2 ** 31 - 1);
}

function pullHeartbeat(value: unknown): number {
  if (value === undefined) return DEFAULT_PULL_HEARTBEAT_MS;
  const bounds = { min: MIN_PULL_HEARTBEAT_MS, max: MAX_PULL_HEARTBEAT_MS };
  return checkDurationMs("consume: pullHeartbeatMs", value, bounds);
}

function count(name: string, value: unknown, max = MAX_COUNT): number | undefined {
  if (value === undefined) return undefined;
  return checkInteger(`consume: ${name}`, value, { min: 1, max });
}

function duration(name: string, value: unknown, min: number): number | undefined {
  return value === undefined ? undefined : checkDurationMs(`consume: ${name}`, value, { min });
}

function boolean(name: string, value: unknown): boolean | undefined {
  return value === undefined ? undefined : checkBoolean(`consume: ${name}`, value);
}

function callback<F extends (...args: never[]) => unknown>(
  name: string,
  value: unknown,
): F | undefined {
  return value === undefined ? undefined : checkFunction<F>(`consume: ${name}`, value);
}

function oneOf<V extends string>(
  name: string,
  value: unknown,
  allowed: readonly V[],
): V | undefined {
  return value === undefined ? undefined : checkOneOf(`consume: ${name}`, value, allowed);
}
