import { randomUUID } from "node:crypto";
import type { ConsumerInfo } from "@nats-io/jetstream";
import type { StreamDelivery } from "../client/delivery.ts";
import { PullLoop, type PullTrouble } from "../client/pull_loop.ts";
import type { Bucket } from "./_bucket.ts";
import {
  consumerInfo,
  type ConsumerPlan,
  type ConsumerTarget,
  makeConsumer,
} from "./_watch_consumer.ts";
import type { Farewells } from "./_watch_farewell.ts";

/** How a watch finds out that something is wrong; tests are in a hurry. */
export interface WatchTiming {
  /** Milliseconds between heartbeats of the server; silence is noticed after two that are missed. */
  readonly heartbeatMs: number;
  /**
   * Milliseconds between looks at an idle consumer; a heartbeat's, while the state at the beginning
   * is read or something seems to be wrong.
   */
  readonly auditMs: number;
  /**
   * Milliseconds for which a replicated bucket must seem to be gone, or to have lost what it held:
   * so long a leader that was cut off from the others may go on to answer.
   */
  readonly absenceMs: number;
}

/** How users' watches do it. */
export const WATCH_TIMING: WatchTiming = {
  heartbeatMs: 1_000,
  auditMs: 30_000,
  absenceMs: 20_000,
};

/** Looks in a row that find messages waiting while none comes. */
const MAX_SUSPICIONS = 5;
/** Requests live so long at the server; silence is noticed by missed heartbeats, not by this. */
const EXPIRES_MS = 30_000;
/** How long one look may take. */
const AUDIT_TIMEOUT_MS = 2_000;

/** Why a session has ended. */
export interface SessionEnd {
  readonly cause: PullTrouble | "closed" | "gap" | "reconnected";
  readonly detail: string;
}

/** What a session is made of. */
export interface WatchSessionOptions {
  readonly bucket: Bucket;
  readonly plan: ConsumerPlan;
  /** Messages that are asked for or held at most. */
  readonly capacity: number;
  readonly timing: WatchTiming;
  /** Takes a message, which counts as held until `release` is called if it returns true. */
  readonly onMessage: (delivery: StreamDelivery) => boolean;
  /** The server serves the consumer. */
  readonly onServed: () => void;
  /** Whether what there was at the beginning has been delivered. */
  readonly isCaughtUp: () => boolean;
  /** Nothing waits at the server any more. Must not reject. */
  readonly onIdle: () => void | Promise<void>;
}

/**
 * One consumer and what is pulled from it, until something is wrong: then it is over, and another
 * session takes its place.
 *
 * Deliveries of a consumer are numbered, and each message is delivered once: a number that is missing
 * is a message that was lost on its way. That nothing is missing at the end, behind which no number
 * follows, is found out by asking now and then.
 */
export class WatchSession {
  readonly ended: Promise<SessionEnd>;
  readonly #options: WatchSessionOptions;
  readonly #target: ConsumerTarget;
  readonly #resolve: (end: SessionEnd) => void;
  readonly #over = new AbortController();
  #making: Promise<unknown> | undefined;
  #loop: PullLoop | undefined;
  #received = 0;
  #held = 0;
  #isServed = false;
  #audit: ReturnType<typeof setTimeout> | undefined;
  #receivedAtAudit = 0;
  #suspicions = 0;
  #auditing: Promise<void> | undefined;

  constructor(options: WatchSessionOptions) {
    this.#options = options;
    const consumer = `jsflow_watch_${randomUUID().replaceAll("-", "")}`;
    this.#target = { bucket: options.bucket, consumer };
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.ended = promise;
    this.#resolve = resolve;
  }

  /** Whether the server was heard to serve it. */
  get isServed(): boolean {
    return this.#isServed;
  }

  /** Makes the consumer. */
  async open(bounds: { signal: AbortSignal; timeoutMs: number }): Promise<ConsumerInfo> {
    const onSent = (answer: Promise<unknown>) => void (this.#making = answer);
    return await makeConsumer(this.#target, this.#options.plan, { ...bounds, onSent });
  }

  /** Begins to pull. */
  start(): void {
    if (this.#over.signal.aborted) return;
    const { bucket: { core, stream }, capacity, timing: { heartbeatMs } } = this.#options;
    this.#loop = new PullLoop({
      connection: core.connection,
      jetstream: core.jetstream,
      stream,
      consumer: this.#target.consumer,
      capacity,
      expiresMs: Math.max(EXPIRES_MS, heartbeatMs * 3),
      heartbeatMs,
      onMessage: (delivery) => this.#receive(delivery),
      onServed: () => this.#serve(),
      onTrouble: (trouble, detail) => this.end(trouble, detail),
    });
    this.#loop.start();
    this.#scheduleAudit();
  }

  /** A message that was held was handed on. */
  release(): void {
    this.#held--;
    this.#loop?.release();
  }

  /** Ends it. Idempotent. */
  end(cause: SessionEnd["cause"], detail: string): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort(new Error(detail));
    clearTimeout(this.#audit);
    this.#loop?.stop();
    this.#resolve({ cause, detail });
  }

  /** Has the consumer removed, if there may be one; resolves when nothing runs here any more. */
  async dismiss(farewells: Farewells): Promise<void> {
    if (this.#making !== undefined) farewells.add(this.#target, this.#making);
    await this.#auditing;
  }

  #receive(delivery: StreamDelivery): void {
    const isNext = delivery.consumer === this.#target.consumer &&
      delivery.consumerSeq === this.#received + 1;
    if (this.#over.signal.aborted) return;
    if (!isNext) {
      const detail = `delivery ${delivery.consumerSeq} came after ${this.#received}`;
      return this.end("gap", detail);
    }
    this.#received++;
    this.#held++;
    if (!this.#options.onMessage(delivery)) this.release();
  }

  #serve(): void {
    this.#isServed = true;
    this.#options.onServed();
  }

  #scheduleAudit(): void {
    if (this.#over.signal.aborted) return;
    const { isCaughtUp, timing: { auditMs, heartbeatMs } } = this.#options;
    const isCalm = isCaughtUp() && this.#suspicions === 0;
    const delayMs = isCalm ? auditMs : heartbeatMs;
    clearTimeout(this.#audit);
    this.#audit = setTimeout(() => this.#auditing = this.#runAudit(), delayMs);
  }

  /** The state at the beginning is complete: no more haste. */
  relax(): void {
    if (this.#loop !== undefined) this.#scheduleAudit();
  }

  async #runAudit(): Promise<void> {
    const isIdle = this.#received === this.#receivedAtAudit;
    this.#receivedAtAudit = this.#received;
    // With all places taken nothing is asked for: that nothing comes is as it should be.
    if (isIdle && this.#held < this.#options.capacity) await this.#compare();
    else this.#suspicions = 0;
    this.#scheduleAudit();
  }

  async #compare(): Promise<void> {
    const received = this.#received;
    const { signal } = this.#over;
    let info: ConsumerInfo;
    try {
      info = await consumerInfo(this.#target, { signal, timeoutMs: AUDIT_TIMEOUT_MS });
    } catch {
      return; // the pulls show what is wrong
    }
    if (signal.aborted || this.#received !== received) return;
    const lost = info.delivered.consumer_seq - received;
    if (lost === 0 && info.num_pending === 0) {
      this.#suspicions = 0;
      return await this.#options.onIdle();
    }
    this.#suspicions++;
    // What was sent before the answer may come behind it: it has until the next look.
    if (lost !== 0 && this.#suspicions > 1) this.end("gap", `${lost} deliveries were lost`);
    else if (this.#suspicions >= MAX_SUSPICIONS) {
      this.end("gap", `${info.num_pending} messages are said to wait, but none comes`);
    }
  }
}
