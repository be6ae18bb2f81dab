import { getLogger } from "@logtape/logtape";
import type { RunningConsumption } from "./_consumer_consumption.ts";
import { deleteConsumer } from "./_consumer_setup.ts";
import type { Consumption, ConsumptionDrainOptions } from "./consumption.ts";
import type { ClientCore } from "./core.ts";
import { checkStreamName } from "./stream_name.ts";

const logger = getLogger(["jsflow", "client"]);

/** The consumptions of one client. */
export interface Consumers {
  /** Those that have not ended, the oldest first. */
  list(): readonly Consumption[];
  /**
   * Drains all consumptions of the consumer; returns how many there were. The consumer stays at the
   * server, unless it had no name of the caller's.
   *
   * @throws {TypeError | RangeError} for a name or options that make no sense.
   */
  stop(name: string, options?: ConsumptionDrainOptions): Promise<number>;
  /** Drains all consumptions; returns how many there were. */
  stopAll(options?: ConsumptionDrainOptions): Promise<number>;
  /**
   * Drains all consumptions of the consumer and deletes it at the server.
   *
   * **The consumer's position is lost**, for every process that uses it: another consumer of the
   * name begins where its options say. Meant for tests, and for consumers that nobody needs any
   * more. Only consumptions of this client tell which stream the consumer belongs to: without one
   * of the name nothing is deleted, and 0 is returned.
   *
   * @throws {JsflowError} what the server says, `timeout` or `not_connected`; the consumptions have
   * ended all the same.
   */
  stopAndDelete(name: string, options?: ConsumptionDrainOptions): Promise<number>;
}

/** Keeps the consumptions of one client, and tells them when the connection is back. */
export class ConsumerRegistry implements Consumers {
  readonly #core: ClientCore;
  readonly #all = new Set<RunningConsumption<unknown, never>>();
  #watch: Watch | undefined;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  /** Takes a consumption in until `remove`. */
  add<T, K extends string>(consumption: RunningConsumption<T, K>): void {
    this.#all.add(consumption as unknown as RunningConsumption<unknown, never>);
    this.#watch ??= new Watch(this.#core, this.#all);
  }

  remove<T, K extends string>(consumption: RunningConsumption<T, K>): void {
    this.#all.delete(consumption as unknown as RunningConsumption<unknown, never>);
    if (this.#all.size > 0) return;
    this.#watch?.stop();
    this.#watch = undefined;
  }

  list(): readonly Consumption[] {
    return [...this.#all];
  }

  async stop(name: string, options?: ConsumptionDrainOptions): Promise<number> {
    return await drainAll(this.#named(name), options);
  }

  async stopAll(options?: ConsumptionDrainOptions): Promise<number> {
    return await drainAll([...this.#all], options);
  }

  async stopAndDelete(name: string, options?: ConsumptionDrainOptions): Promise<number> {
    const found = this.#named(name);
    await drainAll(found, options);
    const streams = new Set(found.map(({ stream }) => stream));
    for (const stream of streams) await deleteConsumer(this.#core, { stream, consumer: name });
    return found.length;
  }

  #named(name: string): RunningConsumption<unknown, never>[] {
    checkStreamName("consumer name", name);
    return [...this.#all].filter((consumption) => consumption.name === name);
  }
}

const registries = new WeakMap<ClientCore, ConsumerRegistry>();

/** Returns the registry of a client's core. */
export function consumersOf(core: ClientCore): ConsumerRegistry {
  let registry = registries.get(core);
  if (registry === undefined) {
    registry = new ConsumerRegistry(core);
    registries.set(core, registry);
  }
  return registry;
}

async function drainAll(
  consumptions: readonly Consumption[],
  options: ConsumptionDrainOptions | undefined,
): Promise<number> {
  await Promise.all(consumptions.map((consumption) => consumption.drain(options)));
  return consumptions.length;
}

/** Follows the connection while there is something to renew, and counts that for the gauge. */
class Watch {
  readonly #events: AsyncIterable<{ readonly type: string }>;
  readonly #endGauge: () => void;

  constructor(core: ClientCore, all: ReadonlySet<RunningConsumption<unknown, never>>) {
    this.#endGauge = core.telemetry.gauge("activeConsumers", () => all.size);
    this.#events = core.connection.status();
    this.#follow(all).catch((error) => logger.error("watching failed: {error}", { error }));
  }

  stop(): void {
    this.#endGauge();
    // A loop that is blocked on the iterator ends only when the iterator itself is stopped.
    (this.#events as Partial<{ stop(): void }>).stop?.();
  }

  async #follow(all: ReadonlySet<RunningConsumption<unknown, never>>): Promise<void> {
    for await (const { type } of this.#events) {
      if (type === "reconnect") { for (const consumption of all) consumption.renew(); }
    }
  }
}
