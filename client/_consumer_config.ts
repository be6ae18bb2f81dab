import { AckPolicy, type ConsumerConfig, DeliverPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import type { ConsumerSettings } from "./_consumer_settings.ts";
import { type ConfigDifference, diffConfig } from "./config_diff.ts";
import {
  type ConsumerAckPolicy,
  DEFAULT_ACK_WAIT_MS,
  DEFAULT_INACTIVE_THRESHOLD_MS,
  type DeliverFrom,
} from "./consume_options.ts";

type Settings = ConsumerSettings<unknown, never>;

const NANOS = 1_000_000;

const ACK_POLICIES: Readonly<Record<ConsumerAckPolicy, AckPolicy>> = {
  all: AckPolicy.All,
  explicit: AckPolicy.Explicit,
  none: AckPolicy.None,
};

/** How the consumer at the server works, whatever was asked for. */
export interface EffectiveConfig {
  readonly ackPolicy: ConsumerAckPolicy;
  readonly backoffMs: readonly number[];
  readonly maxDeliver: number;
  /** Milliseconds until an unsettled message comes again, by the number of its delivery. */
  waitMs(deliveryCount: number): number;
  /** The shortest of these times. */
  readonly shortestWaitMs: number;
}

/** Makes the native configuration of a consumer that does not exist yet. */
export function nativeConfig(
  settings: Settings,
  consumer: string,
  startAt?: number,
): Partial<ConsumerConfig> {
  const { inactiveThresholdMs, name } = settings;
  const threshold = inactiveThresholdMs ??
    (name === undefined ? DEFAULT_INACTIVE_THRESHOLD_MS : undefined);
  return {
    ...(name === undefined ? { name: consumer } : { durable_name: consumer }),
    ...settlementFields(settings),
    ...(startAt === undefined ? deliverFields(settings.deliver ?? "all") : {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: startAt,
    }),
    ...definedFields({
      inactive_threshold: wholeNanos(threshold),
      num_replicas: settings.replicas,
      mem_storage: settings.memory,
    }),
    ...filterFields(settings.filters),
  };
}

/**
 * Makes the native configuration of a consumer that takes the place of one that is gone: as that one
 * was, whoever made it, but for where it begins.
 */
export function successorConfig(
  settings: Settings,
  stored: Partial<ConsumerConfig>,
  startAt?: number,
): Partial<ConsumerConfig> {
  const { deliver_policy, opt_start_seq: _seq, opt_start_time, metadata, ...kept } = stored;
  // The server adds notes of its own, and says no when it gets them back.
  const notes = Object.entries(metadata ?? {}).filter(([key]) => !key.startsWith("_nats."));
  return {
    ...kept,
    ...(notes.length === 0 ? {} : { metadata: Object.fromEntries(notes) }),
    ...(startAt !== undefined
      ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: startAt }
      : settings.deliver !== undefined
      ? deliverFields(settings.deliver)
      // That one may have taken another's place itself, and begun where that one ended.
      : deliver_policy === undefined || deliver_policy === DeliverPolicy.StartSequence
      ? deliverFields("all")
      : { deliver_policy, ...definedFields({ opt_start_time }) }),
  };
}

/** Whether the options, or else the stored consumer, ask for the last message of each subject. */
export function isLastPerSubject(settings: Settings, stored: Partial<ConsumerConfig>): boolean {
  return settings.deliver === undefined
    ? stored.deliver_policy === DeliverPolicy.LastPerSubject
    : settings.deliver === "last-per-subject";
}

function settlementFields(settings: Settings): Partial<ConsumerConfig> {
  const { ackPolicy = "explicit", ackWaitMs, backoffMs, maxAckPending, maxDeliver } = settings;
  const settles = ackPolicy !== "none";
  const waitMs = ackWaitMs ?? (settles ? DEFAULT_ACK_WAIT_MS : undefined);
  return {
    ack_policy: ACK_POLICIES[ackPolicy],
    ...definedFields({
      ack_wait: backoffMs === undefined ? wholeNanos(waitMs) : undefined,
      backoff: backoffMs?.map((ms) => Math.round(nanos(ms))),
      max_ack_pending: maxAckPending,
      max_deliver: maxDeliver ?? (settles ? -1 : undefined),
    }),
  };
}

function deliverFields(deliver: DeliverFrom): Partial<ConsumerConfig> {
  if (deliver === "all") return { deliver_policy: DeliverPolicy.All };
  if (deliver === "last") return { deliver_policy: DeliverPolicy.Last };
  if (deliver === "new") return { deliver_policy: DeliverPolicy.New };
  if (deliver === "last-per-subject") return { deliver_policy: DeliverPolicy.LastPerSubject };
  if ("sequence" in deliver) {
    return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: deliver.sequence };
  }
  const opt_start_time = deliver.time.toISOString();
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time };
}

function filterFields(filters: readonly string[]): Partial<ConsumerConfig> {
  const [only] = filters;
  return filters.length === 1 && only !== undefined
    ? { filter_subject: only }
    : { filter_subjects: [...filters] };
}

/** What differs between a stored consumer and the options that were given. */
export function consumerDrift(
  settings: Settings,
  stored: Partial<ConsumerConfig>,
): readonly ConfigDifference[] {
  return diffConfig(storedTerms(settings, stored), wantedTerms(settings));
}

/** The changes that make a stored consumer what the options say. */
export function updateOf(settings: Settings): Partial<ConsumerConfig> {
  const { ackPolicy, ackWaitMs, backoffMs, deliver, filters, maxAckPending, maxDeliver } = settings;
  const [only] = filters;
  return {
    ...(deliver === undefined ? {} : deliverFields(deliver)),
    ...definedFields({
      ack_policy: ackPolicy && ACK_POLICIES[ackPolicy],
      ack_wait: backoffMs === undefined ? wholeNanos(ackWaitMs) : wholeNanos(backoffMs[0]),
      backoff: backoffMs?.map((ms) => Math.round(nanos(ms))),
      max_ack_pending: maxAckPending,
      max_deliver: maxDeliver,
      inactive_threshold: wholeNanos(settings.inactiveThresholdMs),
      num_replicas: settings.replicas,
      mem_storage: settings.memory,
    }),
    // Both are named, so that the one that goes is taken away.
    ...({
      filter_subject: filters.length === 1 ? only : undefined,
      filter_subjects: filters.length === 1 ? undefined : [...filters],
    } as Partial<ConsumerConfig>),
  };
}

function wantedTerms(settings: Settings): object {
  const { ackPolicy, ackWaitMs, backoffMs, deliver, filters } = settings;
  return {
    ackPolicy,
    ackWaitMs: backoffMs === undefined ? ackWaitMs : undefined,
    backoffMs,
    deliver: deliver && deliverText(deliver),
    filters,
    inactiveThresholdMs: settings.inactiveThresholdMs,
    maxAckPending: settings.maxAckPending,
    maxDeliver: settings.maxDeliver,
    memory: settings.memory,
    replicas: settings.replicas,
  };
}

function storedTerms(settings: Settings, stored: Partial<ConsumerConfig>): object {
  const only = stored.filter_subject === undefined ? [] : [stored.filter_subject];
  return {
    ackPolicy: stored.ack_policy,
    ackWaitMs: (stored.ack_wait ?? 0) / NANOS,
    backoffMs: stored.backoff?.map((ns) => ns / NANOS),
    deliver: storedDeliver(settings.deliver, stored),
    filters: stored.filter_subjects ?? only,
    inactiveThresholdMs: (stored.inactive_threshold ?? 0) / NANOS,
    maxAckPending: stored.max_ack_pending,
    maxDeliver: stored.max_deliver,
    memory: stored.mem_storage,
    replicas: stored.num_replicas,
  };
}

/** A consumer that was made again begins at a sequence, which agrees with any earlier beginning. */
function storedDeliver(wanted: DeliverFrom | undefined, stored: Partial<ConsumerConfig>): string {
  const { deliver_policy, opt_start_seq = 0, opt_start_time } = stored;
  if (deliver_policy === DeliverPolicy.StartSequence) {
    const floor = typeof wanted === "object" && "sequence" in wanted ? wanted.sequence : 0;
    const resumed = wanted !== undefined && opt_start_seq >= floor;
    return resumed ? deliverText(wanted) : `from sequence ${opt_start_seq}`;
  }
  if (deliver_policy === DeliverPolicy.StartTime && opt_start_time) {
    return deliverText({ time: new Date(opt_start_time) });
  }
  return deliver_policy === DeliverPolicy.LastPerSubject
    ? "last-per-subject"
    : deliver_policy ?? "all";
}

function deliverText(deliver: DeliverFrom): string {
  if (typeof deliver === "string") return deliver;
  return "sequence" in deliver
    ? `from sequence ${deliver.sequence}`
    : `from ${deliver.time.toISOString()}`;
}

/** Reads how a stored consumer works. */
export function effectiveConfig(stored: Partial<ConsumerConfig>): EffectiveConfig {
  const backoffMs = (stored.backoff ?? []).map((ns) => ns / NANOS);
  const ackWaitMs = (stored.ack_wait ?? 0) / NANOS || DEFAULT_ACK_WAIT_MS;
  return {
    ackPolicy: stored.ack_policy === AckPolicy.None
      ? "none"
      : stored.ack_policy === AckPolicy.All
      ? "all"
      : "explicit",
    backoffMs,
    maxDeliver: stored.max_deliver ?? -1,
    shortestWaitMs: backoffMs.length > 0 ? Math.min(...backoffMs) : ackWaitMs,
    waitMs: (deliveryCount) => backoffAt(backoffMs, deliveryCount) ?? ackWaitMs,
  };
}

/** The pause after a delivery, counted from 1; the last one repeats. */
export function backoffAt(backoffMs: readonly number[], deliveryCount: number): number | undefined {
  return backoffMs[Math.min(deliveryCount, backoffMs.length) - 1];
}

function wholeNanos(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(nanos(ms));
}

function definedFields<F extends object>(fields: F): { [P in keyof F]?: NonNullable<F[P]> } {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as { [P in keyof F]?: NonNullable<F[P]> };
}
