import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamManager,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import type { CallBounds } from "../client/call_options.ts";
import { toldConsumer } from "../client/told_consumer.ts";
import type { Bucket } from "./_bucket.ts";

/** Milliseconds after which the server forgets a consumer that nobody pulls from. */
export const INACTIVE_MS: number = 30_000;

/** Where a consumer begins: with the last revision of each key, with all, or with one of them. */
export type ConsumerStart = "last" | "all" | { readonly atRevision: number };

/** What a consumer delivers. */
export interface ConsumerPlan {
  /** A pattern behind the bucket's subject prefix. */
  readonly pattern: string;
  readonly start: ConsumerStart;
  /** Whether values stay at the server. */
  readonly headersOnly: boolean;
}

/** One consumer of a bucket's stream. */
export interface ConsumerTarget {
  readonly bucket: Bucket;
  readonly consumer: string;
}

/** Builds the configuration of a consumer that lives in memory, and as long as it is used. */
export function consumerConfig(
  { bucket, consumer }: ConsumerTarget,
  plan: ConsumerPlan,
): Partial<ConsumerConfig> {
  return {
    name: consumer,
    description: `jsflow: watches bucket ${bucket.name}`,
    ack_policy: AckPolicy.None,
    filter_subject: `${bucket.subjectPrefix}${plan.pattern}`,
    inactive_threshold: nanos(INACTIVE_MS),
    max_deliver: 1,
    mem_storage: true,
    num_replicas: 1,
    ...(plan.headersOnly ? { headers_only: true } : {}),
    ...startOf(plan.start),
  };
}

function startOf(start: ConsumerStart): Pick<ConsumerConfig, "deliver_policy" | "opt_start_seq"> {
  if (start === "last") return { deliver_policy: DeliverPolicy.LastPerSubject };
  if (start === "all") return { deliver_policy: DeliverPolicy.All };
  return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: start.atRevision };
}

/** How a consumer is made. */
export interface MakeConsumerOptions extends CallBounds {
  /** Told of the request that has been sent: it may succeed although the call gives up. */
  readonly onSent: (answer: Promise<unknown>) => void;
}

/** Makes a consumer. */
export function makeConsumer(
  target: ConsumerTarget,
  plan: ConsumerPlan,
  { onSent, ...bounds }: MakeConsumerOptions,
): Promise<ConsumerInfo> {
  const config = consumerConfig(target, plan);
  return exchange(target, bounds, ({ consumers }) => {
    const answer = consumers.add(target.bucket.stream, config as ConsumerConfig);
    onSent(answer);
    return answer;
  });
}

/** Asks how far a consumer is. */
export function consumerInfo(target: ConsumerTarget, bounds: CallBounds): Promise<ConsumerInfo> {
  return exchange(
    target,
    bounds,
    async ({ consumers }) =>
      toldConsumer(await consumers.info(target.bucket.stream, target.consumer)),
  );
}

/** The last revision that a pattern matches, as the leader has it; 0 for none. */
export function lastMatch(bucket: Bucket, pattern: string, bounds: CallBounds): Promise<number> {
  const query = { last_by_subj: bucket.subjectPrefix + pattern };
  return exchange(
    { bucket },
    bounds,
    async ({ streams }) => (await streams.getMessage(bucket.stream, query))?.seq ?? 0,
  );
}

/** Deletes a consumer, also while the breaker is open. */
export async function deleteConsumer(
  { bucket: { core, name, stream }, consumer }: ConsumerTarget,
  bounds: CallBounds,
): Promise<void> {
  const options = { ...bounds, bypassBreaker: true, failOnDisconnect: true };
  await core.guard(`end a watch of bucket ${name}`, options, async (signal) => {
    const manager = await core.manager({ signal, bypassBreaker: true });
    await manager.consumers.delete(stream, consumer);
  });
}

async function exchange<R>(
  { bucket: { core, name } }: Pick<ConsumerTarget, "bucket">,
  bounds: CallBounds,
  work: (manager: JetStreamManager) => Promise<R>,
): Promise<R> {
  const options = { ...bounds, jetstream: true, failOnDisconnect: true };
  return await core.guard(`watch bucket ${name}`, options, async (signal) => {
    return await work(await core.manager({ ...bounds, signal }));
  });
}
