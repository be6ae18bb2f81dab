import { getLogger } from "@logtape/logtape";
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
} from "@nats-io/jetstream";
import type { Client } from "../client/client.ts";
import type { Clock } from "../client/clock.ts";
import type { Delivery } from "../client/delivery.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { PullLoop } from "../client/pull_loop.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import { toldConsumer } from "../client/told_consumer.ts";
import { translateError } from "../client/translate_error.ts";
import { isFinal } from "./_until_answered.ts";
import type { OpenNamespace } from "./ensure_namespace.ts";
import type { Lane } from "./namespace.ts";

const logger = getLogger(["jsflow", "durable"]);
const NANOS = 1_000_000;

/** Pause between looks at a consumer that can't be had. */
const RETRY: RetryPolicy = { attempts: Infinity, initialMs: 100, factor: 2, maxMs: 5_000 };

/** After so long without trouble the pauses begin small again. */
const CALM_MS = 10_000;

/** Longest and shortest life of one pull request, in milliseconds. */
const MAX_EXPIRES_MS = 5_000;
const MIN_EXPIRES_MS = 300;

/** What a lane needs from its worker. */
export interface LaneOptions {
  readonly client: Client;
  readonly space: OpenNamespace;
  readonly queue: string;
  readonly lane: Lane;
  readonly capacity: number;
  readonly ackWaitMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onDelivery: (delivery: Delivery) => void;
}

/**
 * Pulls the commands of one lane of a queue, and keeps its consumer alive: a deleted consumer is
 * made again, and after silence of the server the requests are renewed.
 */
export class LaneReader {
  readonly #options: LaneOptions;
  readonly #loop: PullLoop;
  readonly #closed = new AbortController();
  #recovery: Promise<void> = Promise.resolve();
  #troubles = 0;
  #lastTroubleAt = -Infinity;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { client, space, queue, lane, capacity, ackWaitMs } = options;
    this.#loop = new PullLoop({
      connection: client.connection,
      jetstream: client.jetstream,
      stream: space.names.commands,
      consumer: space.names.laneConsumer(queue, lane),
      capacity,
      // Well below the ack wait: a frozen worker's requests must be gone before what it held is
      // delivered again, or the commands would go to the frozen worker once more.
      expiresMs: Math.max(MIN_EXPIRES_MS, Math.min(MAX_EXPIRES_MS, ackWaitMs / 3)),
      onMessage: options.onDelivery,
      onTrouble: (trouble, detail) => {
        this.#recovery = this.#recover(trouble, detail);
      },
    });
  }

  /** Begins to pull. */
  begin(): void {
    this.#loop.start();
  }

  /** A delivered command was settled or dropped. */
  release(): void {
    this.#loop.release();
  }

  /** Renews the requests after the connection came back. */
  renew(): void {
    if (this.#closed.signal.aborted || this.#options.client.connection.isDraining()) return;
    this.#loop.start();
  }

  /** Stops pulling for good; what is on its way is still delivered. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#loop.drain().catch((error) => logger.debug("drain: {error}", { error }));
    await this.#recovery;
  }

  async #recover(trouble: string, detail: string): Promise<void> {
    const { queue, lane, clock, random } = this.#options;
    const { signal } = this.#closed;
    const level = trouble === "silent" ? "debug" : "warn";
    logger[level]("queue {queue}, lane {lane}: {trouble}: {detail}", {
      queue,
      lane,
      trouble,
      detail,
    });
    if (clock.monotonic() - this.#lastTroubleAt > CALM_MS) this.#troubles = 0;
    while (!signal.aborted) {
      this.#lastTroubleAt = clock.monotonic();
      this.#troubles++;
      try {
        await clock.sleep(retryDelayMs(RETRY, this.#troubles, random) ?? 0, signal);
        await this.ensure();
        // A reconnect may have been quicker.
        if (!signal.aborted && !this.#loop.isRunning) this.#loop.start();
        return;
      } catch (error) {
        if (signal.aborted || isJsflowError(error, "connection_closed")) return;
        const lasting = isJsflowError(error, "config_drift") || isFinal(error);
        logger[lasting ? "error" : "debug"](
          "queue {queue}, lane {lane} takes no commands: {error}",
          { queue, lane, error },
        );
      }
    }
  }

  /**
   * Makes the consumer if it is missing.
   *
   * @throws {JsflowError} `config_drift` when the consumer has another configuration.
   */
  async ensure(): Promise<void> {
    const { space: { manager, names }, queue, lane, ackWaitMs } = this.#options;
    const wanted = {
      durable_name: names.laneConsumer(queue, lane),
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      filter_subject: names.laneFilter(queue, lane),
      ack_wait: Math.round(ackWaitMs * NANOS),
      max_deliver: -1,
      max_ack_pending: -1,
    };
    const action = `open consumer ${wanted.durable_name} of ${names.commands}`;
    let found: ConsumerInfo;
    try {
      found = toldConsumer(await manager.consumers.info(names.commands, wanted.durable_name));
    } catch (error) {
      const translated = translateError(error, action);
      if (!isJsflowError(translated, "consumer_not_found")) throw translated;
      found = await manager.consumers.add(names.commands, wanted).catch((cause) => {
        throw translateError(cause, action);
      });
    }
    checkConsumer(wanted, found);
  }
}

/** Workers that disagree on the ack wait would take each other's commands over too early. */
function checkConsumer(wanted: Partial<ConsumerConfig>, found: ConsumerInfo): void {
  const { ack_wait, filter_subject } = found.config;
  if (ack_wait === wanted.ack_wait && filter_subject === wanted.filter_subject) return;
  throw new JsflowError(
    "config_drift",
    `cannot use consumer ${found.name}: ackWaitMs is ${(ack_wait ?? 0) / NANOS}, expected ` +
      `${(wanted.ack_wait ?? 0) / NANOS}, filter is ${filter_subject}, expected ` +
      `${wanted.filter_subject}; give every worker of the queue the same ackWaitMs, or delete the ` +
      `consumer while no worker runs`,
  );
}
