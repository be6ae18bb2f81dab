import { ConsumerChecks, type ConsumingCall } from "./_consumer_checks.ts";
import type { StreamAutoCreate } from "./auto_create.ts";
import type { ConsumerEvent } from "./client_event.ts";
import {
  type ConsumeOptions,
  type ConsumerAckPolicy,
  DEFAULT_CANCEL_DELAY_MS,
  DEFAULT_CONSUME_MAX_MESSAGES,
  DEFAULT_ERROR_DELAY_MS,
  type DefaultSettlement,
  type DeliverFrom,
  type OnConsumerGone,
} from "./consume_options.ts";
import type { OnDrift } from "./ensure_stream.ts";
import { DEFAULT_CONCURRENCY, DEFAULT_HANDLER_TIMEOUT_MS } from "./handler_options.ts";
import type { StreamMessage } from "./stream_message.ts";
import type { Subject } from "./subject.ts";
import { checkOptions } from "./validate.ts";

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

const MAX_REPLICAS = 5;
/** The server keeps shorter ack waits badly: it looks for expired ones now and then. */
const MIN_ACK_WAIT_MS = 10;
const MIN_HEARTBEAT_MS = 10;
const MAX_ACK_PENDING = 2 ** 31 - 1;

/**
 * Checks the options of `consume`, or what `fetch` shares with it; errors name the call.
 *
 * @throws {TypeError | RangeError} for what makes no sense, alone or together.
 */
export function parseConsumeOptions<T, K extends string>(
  subject: Subject<T, K>,
  options: ConsumeOptions<T, K> | undefined,
  { call = "consume" }: { readonly call?: ConsumingCall } = {},
): ConsumerSettings<T, K> {
  const check = new ConsumerChecks(call);
  check.subject(subject);
  const given: Partial<ConsumeOptions<T, K>> = checkOptions(call, options, KEYS);
  const concurrency = check.count("concurrency", given.concurrency) ?? DEFAULT_CONCURRENCY;
  const settings: ConsumerSettings<T, K> = {
    subject,
    stream: check.name("stream", given.stream),
    name: check.name("name", given.name),
    filters: check.filters(subject, given.filters),
    deliver: check.deliver(given.deliver),
    ackPolicy: check.oneOf("ackPolicy", given.ackPolicy, ["all", "explicit", "none"]),
    maxDeliver: check.countOrAny("maxDeliver", given.maxDeliver),
    ackWaitMs: check.duration("ackWaitMs", given.ackWaitMs, MIN_ACK_WAIT_MS),
    backoffMs: check.backoff(given.backoffMs, MIN_ACK_WAIT_MS),
    maxAckPending: check.countOrAny("maxAckPending", given.maxAckPending, MAX_ACK_PENDING),
    inactiveThresholdMs: check.duration("inactiveThresholdMs", given.inactiveThresholdMs, 1),
    replicas: check.count("replicas", given.replicas, MAX_REPLICAS),
    memory: check.boolean("memory", given.memory),
    maxMessages: check.count("maxMessages", given.maxMessages) ??
      Math.max(DEFAULT_CONSUME_MAX_MESSAGES, concurrency),
    maxBytes: check.count("maxBytes", given.maxBytes, Number.MAX_SAFE_INTEGER),
    concurrency,
    timeoutMs: check.duration("timeoutMs", given.timeoutMs, 1) ?? DEFAULT_HANDLER_TIMEOUT_MS,
    heartbeatMs: given.heartbeatMs === false
      ? false
      : check.duration("heartbeatMs", given.heartbeatMs, MIN_HEARTBEAT_MS),
    settle: check.oneOf("settle", given.settle, ["ack", "nak", "none"]) ?? "ack",
    errorDelayMs: check.duration("errorDelayMs", given.errorDelayMs, 0) ?? DEFAULT_ERROR_DELAY_MS,
    cancelDelayMs: check.duration("cancelDelayMs", given.cancelDelayMs, 0) ??
      DEFAULT_CANCEL_DELAY_MS,
    onUndecodable: check.oneOf("onUndecodable", given.onUndecodable, ["ack", "nak", "term"]) ??
      "term",
    confirmAcks: check.boolean("confirmAcks", given.confirmAcks) ?? false,
    autoCreate: check.autoCreate(subject, given),
    bypassBreaker: check.boolean("bypassBreaker", given.bypassBreaker),
    onDrift: check.onDrift(given.onDrift),
    onGone: check.oneOf("onGone", given.onGone, ["fail", "restart", "resume"]) ?? "resume",
    pullHeartbeatMs: check.pullHeartbeat(given.pullHeartbeatMs),
    signal: check.signal(given.signal),
    onError: check.callback("onError", given.onError),
    onRecovery: check.callback("onRecovery", given.onRecovery),
  };
  check.together(settings);
  return settings;
}
