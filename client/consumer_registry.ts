import type { RunningConsumption } from "./_consumer_consumption.ts";
import { deleteConsumer } from "./_consumer_setup.ts";
import { logger } from "./_logger.ts";
import { type CallOptions, checkCall } from "./call_options.ts";
import type { Consumption } from "./consumption.ts";
import type { ClientCore } from "./core.ts";
import { checkGrace, type DrainOptions } from "./drain_options.ts";
import { stopStatus } from "./stop_status.ts";
import { checkStreamName } from "./stream_name.ts";

/** How {@link Consumers.stopAndDelete} drains, and the bounds of each deletion after that. */
export interface StopAndDeleteOptions extends DrainOptions, CallOptions {}

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
  stop(name: string, options?: DrainOptions): Promise<number>;
  /** Drains all consumptions; returns how many there were. */
  stopAll(options?: DrainOptions): Promise<number>;
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
  stopAndDelete(name: string, options?: StopAndDeleteOptions): Promise<number>;
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

  async stop(name: string, options?: DrainOptions): Promise<number> {
    return await drainAll(this.#named(name), options);
  }

  async stopAll(options?: DrainOptions): Promise<number> {
    return await drainAll([...this.#all], options);
  }

  async stopAndDelete(name: string, options?: StopAndDeleteOptions): Promise<number> {
    const found = this.#named(name);
    const bounds = checkCall(this.#core, "stopAndDelete", options, ["graceMs"]);
    const { graceMs } = options ?? {};
    bounds.signal?.throwIfAborted();
    await drainAll(found, { graceMs });
    const streams = new Set(found.map(({ stream }) => stream));
    for (const stream of streams) {
      await deleteConsumer(this.#core, { stream, consumer: name, ...bounds });
    }
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
  options: DrainOptions | undefined,
): Promise<number> {
  checkGrace(options); // also when there are none
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
    stopStatus(this.#events);
  }

  async #follow(all: ReadonlySet<RunningConsumption<unknown, never>>): Promise<void> {
    for await (const { type } of this.#events) {
      if (type === "reconnect") { for (const consumption of all) consumption.renew(); }
    }
  }
}
