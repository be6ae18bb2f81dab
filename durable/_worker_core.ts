import { getLogger } from "@logtape/logtape";
import type { NatsConnection, Subscription } from "@nats-io/nats-core";
import type { Client } from "../client/client.ts";
import type { Clock } from "../client/clock.ts";
import type { Delivery } from "../client/delivery.ts";
import { Semaphore } from "../client/semaphore.ts";
import { decodeCommand } from "./command.ts";
import { CommandHandler, type Settlement } from "./_command_handler.ts";
import type { OpenNamespace } from "./ensure_namespace.ts";
import { Inflight } from "./_inflight.ts";
import { LaneReader } from "./_lane.ts";
import type { Lane } from "./namespace.ts";
import type { AnyWorkflow } from "./workflow.ts";

const logger = getLogger(["jsflow", "durable"]);

/** Everything that a worker is made of, checked. */
export interface WorkerCoreOptions {
  readonly client: Client;
  readonly space: OpenNamespace;
  readonly workflows: ReadonlyMap<string, AnyWorkflow>;
  readonly name: string;
  readonly maxConcurrent: number;
  readonly ackWaitMs: number;
  readonly maxTakeovers: number;
  readonly replayStallMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
}

/** A command that no worker of this deployment can run comes back after so long. */
const UNKNOWN_DELAY_MS = 5_000;
/** After an unexpected error a command comes back after so long. */
const ERROR_DELAY_MS = 1_000;

/** Reads the lanes of all queues, keeps what is held alive, and closes in order. */
export class WorkerCore {
  readonly #options: WorkerCoreOptions;
  readonly #readers: LaneReader[] = [];
  readonly #handlers: Record<Lane, CommandHandler>;
  /** By sequence in the command stream: a second delivery joins the first. */
  readonly #inflight = new Map<number, Inflight>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  /** Begins the name of every owner here; random, so that no restored or older owner is like it. */
  readonly #nonce: string;
  #claims = 0;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #nudges: Subscription | undefined;
  #stopWatching: () => void = () => {};
  #closing: Promise<void> | undefined;

  constructor(options: WorkerCoreOptions) {
    this.#options = options;
    this.#nonce = options.newId().replaceAll("-", "");
    this.#handlers = { start: this.#newHandler("start"), event: this.#newHandler("event") };
    const queues = new Set([...options.workflows.values()].map(({ queue }) => queue));
    for (const queue of queues) {
      this.#readers.push(this.#newReader(queue, "start"), this.#newReader(queue, "event"));
    }
  }

  /** Invocations that run here now. */
  get running(): number {
    return [...this.#inflight.values()].filter(({ execution }) => execution).length;
  }

  /** Ensures the consumers and begins to work. */
  async open(): Promise<void> {
    try {
      for (const reader of this.#readers) await reader.ensure();
    } catch (error) {
      await Promise.all(this.#readers.map((reader) => reader.close()));
      throw error;
    }
    this.#heartbeat = setInterval(() => this.#beat(), this.#options.ackWaitMs / 3);
    this.#nudges = this.#listen();
    void this.#watchConnection();
    for (const reader of this.#readers) reader.begin();
  }

  /** Idempotent: the first call decides on the time that is left. */
  close(graceMs: number): Promise<void> {
    return this.#closing ??= this.#close(graceMs);
  }

  async #close(graceMs: number): Promise<void> {
    const drained = Promise.all(this.#readers.map((reader) => reader.close()));
    this.#release(false);
    await Promise.all([this.#within(DRAIN_MS, drained), this.#idleWithin(graceMs)]);
    this.#release(true);
    await this.#idleWithin(HANDOVER_MS);
    this.#stop.abort(new Error("the worker was closed"));
    await Promise.all(this.#tasks);
    clearInterval(this.#heartbeat);
    this.#stopWatching();
    this.#nudges?.unsubscribe();
    if (!this.#options.client.connection.isClosed()) await this.#flush();
  }

  #release(force: boolean): void {
    for (const { execution } of this.#inflight.values()) execution?.release({ force });
  }

  /** Acks must be on the wire before the caller closes the connection. */
  async #flush(): Promise<void> {
    try {
      await this.#within(DRAIN_MS, this.#options.client.connection.flush());
    } catch (error) {
      logger.debug("the last acks may be lost: {error}", { error });
    }
  }

  async #idleWithin(ms: number): Promise<void> {
    if (this.#tasks.size > 0) await this.#within(ms, Promise.all(this.#tasks));
  }

  /** Waits for the work, at most so long; a server that is silent must not hold up the end. */
  async #within(ms: number, work: Promise<unknown>): Promise<void> {
    const done = new AbortController();
    const over = this.#options.clock.sleep(ms, done.signal).catch(() => {});
    try {
      await Promise.race([work, over]);
    } finally {
      done.abort();
    }
  }

  #beat(): void {
    if (this.#options.client.status !== "connected") return;
    for (const inflight of this.#inflight.values()) inflight.beat();
  }

  /** Others say here that they appended an event to a journal that is owned by this worker. */
  #listen(): Subscription {
    const { client, space } = this.#options;
    return client.connection.subscribe(space.names.nudgeSubject(`${this.#nonce}.*`), {
      callback: (error, message) => {
        if (error) return;
        for (const { execution } of this.#inflight.values()) {
          if (execution && message.subject.endsWith(`.${execution.owner}`)) execution.refresh();
        }
      },
    });
  }

  /** After a reconnect the server has forgotten all pull requests. */
  async #watchConnection(): Promise<void> {
    // A queue of the client: asking its iterator to return would wait for the next event.
    const status = this.#options.client.connection.status() as StoppableStatus;
    this.#stopWatching = () => status.stop?.();
    for await (const { type } of status) {
      if (type !== "reconnect" || this.#closing) continue;
      for (const reader of this.#readers) reader.renew();
    }
  }

  #newHandler(lane: Lane): CommandHandler {
    const places = new Semaphore(this.#options.maxConcurrent);
    return new CommandHandler({
      ...this.#options,
      worker: this.#options.name,
      signal: this.#stop.signal,
      newOwner: () => `${this.#nonce}.${++this.#claims}`,
      isClosing: () => this.#closing !== undefined,
      enter: async (command) => {
        if (lane === "event") {
          // Woken invocations that run for long must not keep out a pause or a cancellation.
          if (!places.tryAcquire()) return undefined;
          command.unblock();
        } else {
          await places.acquire();
        }
        return () => places.release();
      },
    });
  }

  #newReader(queue: string, lane: Lane): LaneReader {
    const reader: LaneReader = new LaneReader({
      ...this.#options,
      queue,
      lane,
      capacity: this.#options.maxConcurrent,
      onDelivery: (delivery) => this.#take(delivery, lane, reader),
    });
    return reader;
  }

  #take(delivery: Delivery, lane: Lane, reader: LaneReader): void {
    if (this.#closing) {
      delivery.nak(0);
      return reader.release();
    }
    const known = this.#inflight.get(delivery.streamSeq);
    if (known) {
      known.renew(delivery);
      return reader.release();
    }
    const { clock, ackWaitMs } = this.#options;
    const inflight = new Inflight(delivery, clock, ackWaitMs, () => reader.release());
    this.#inflight.set(delivery.streamSeq, inflight);
    const task = this.#work(inflight, lane).finally(() => {
      this.#inflight.delete(delivery.streamSeq);
      this.#tasks.delete(task);
      inflight.unblock();
    });
    this.#tasks.add(task);
  }

  /** Never rejects: whatever goes wrong, the command comes back. */
  async #work(inflight: Inflight, lane: Lane): Promise<void> {
    let settlement: Settlement;
    try {
      settlement = await this.#handle(inflight, lane);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      logger.error("a command could not be handled and comes back: {error}", { error });
      settlement = { kind: "nak", delayMs: ERROR_DELAY_MS };
    }
    try {
      if (settlement.kind === "ack") inflight.delivery.ack();
      if (settlement.kind === "nak") inflight.delivery.nak(settlement.delayMs);
    } catch (error) {
      // The connection drains or is closed: the command comes back.
      logger.debug("a command could not be settled: {error}", { error });
    }
  }

  async #handle(inflight: Inflight, lane: Lane): Promise<Settlement> {
    const { subject, data } = inflight.delivery;
    const command = decodeCommand(data);
    const workflow = this.#options.workflows.get(command?.workflow ?? "");
    if (!command || !workflow) {
      const why = command ? `no workflow "${command.workflow}" here` : "it can't be read";
      logger.warn("command on {subject} stays queued: {why}", { subject, why });
      return { kind: "nak", delayMs: UNKNOWN_DELAY_MS };
    }
    return await this.#handlers[lane].handle(command, workflow, inflight);
  }
}

type StoppableStatus = ReturnType<NatsConnection["status"]> & { stop?: () => void };

/** Milliseconds that a silent server may hold up the end. */
const DRAIN_MS = 2_000;

/** Milliseconds to journal the hand-over of what did not finish in time. */
const HANDOVER_MS = 2_000;
