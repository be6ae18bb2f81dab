import { checkWait, type WaitBounds } from "../client/call_options.ts";
import { JsflowError } from "../client/errors.ts";
import { checkDurationMs, checkInteger, checkOptions } from "../client/validate.ts";
import { checkLabels, checkMetricName, checkMetricValue } from "./_metrics_check.ts";
import { metricsOf, readMetrics, seriesId } from "./_metrics_state.ts";
import { iterateSnapshots } from "./_metrics_watch.ts";
import { MetricsWriter } from "./_metrics_writer.ts";
import { type Space, spaceOf } from "./_space.ts";
import type { Coordination } from "./coordination.ts";
import type { MetricLabels, MetricsSnapshot } from "./metric.ts";
import type { Watch } from "./watch.ts";

/** How a board is written. */
export interface MetricsBoardOptions {
  /** Milliseconds for which changes are collected before they are stored together. @default 1000 */
  readonly flushMs?: number | undefined;
  /** Series that the board holds at most, of all processes, 1 to 2000. @default 1000 */
  readonly maxSeries?: number | undefined;
}

/** How much a counter is raised, and which one. */
export interface CountOptions {
  /** Which series of the name. @default {} */
  readonly labels?: MetricLabels | undefined;
  /** What is added: a number from 0 to 2⁵³ - 1. @default 1 */
  readonly amount?: number | undefined;
}

/** Which gauge is set. */
export interface GaugeOptions {
  /** Which series of the name. @default {} */
  readonly labels?: MetricLabels | undefined;
}

/**
 * Counters and gauges that many processes update and anyone can watch.
 *
 * Owned by whoever made it: closing stores what was collected; the coordination stays.
 */
export interface MetricsBoard extends AsyncDisposable {
  /** Its name. */
  readonly name: string;
  /**
   * How often changes of a series did not get onto the board: there were too many series, the value
   * became too large, the board was closed, or nobody could tell whether a batch was stored, and
   * storing it again might have counted it twice. Changes of one series in one flush count as one.
   */
  readonly dropped: number;
  /**
   * Adds to a counter; no I/O, stored with the next flush.
   *
   * @throws {TypeError | RangeError} for a name, labels or an amount that make no sense.
   */
  count(name: string, options?: CountOptions): void;
  /**
   * Sets a gauge; no I/O, stored with the next flush. Of several processes that set the same one,
   * the one that stores last counts: give each a label of its own where that is not meant.
   *
   * @throws {TypeError | RangeError} for a name, labels or a value that make no sense.
   */
  gauge(name: string, value: number, options?: GaugeOptions): void;
  /**
   * Stores what was collected until now. When it can't, it stays collected, and is tried again.
   *
   * @throws {JsflowError} `timeout` and others when the server can't be asked; `payload_too_large`.
   * @throws the signal's reason when it aborts.
   */
  flush(options?: WaitBounds): Promise<void>;
  /**
   * Reads what is stored, by all processes. On a replicated bucket it may be an older state.
   *
   * @throws {JsflowError} `timeout` and others when the server can't be asked.
   * @throws the signal's reason when it aborts.
   */
  read(options?: WaitBounds): Promise<MetricsSnapshot>;
  /**
   * Follows what is stored: the present state first, as soon as there is one, then newer ones;
   * states that were replaced meanwhile may be left out. Ends by `break`, when the board is closed,
   * with the signal's reason, and with an error as a watch of a store does.
   */
  watch(options?: Pick<WaitBounds, "signal">): AsyncIterable<MetricsSnapshot>;
  /**
   * Stores what was collected and ends the watches; idempotent. What can't be stored in time is lost
   * and counts as dropped.
   */
  close(): Promise<void>;
}

const DEFAULT_FLUSH_MS = 1_000;
const DEFAULT_MAX_SERIES = 1_000;
const MAX_SERIES = 2_000;

/**
 * Returns a metrics board; does no I/O until something was collected.
 *
 * All series stand in one value, and each process stores its changes as one compare-and-set of it in
 * each interval: meant for tens of processes and hundreds of series, not as a replacement of a
 * metrics backend. A batch whose answer was lost is found again, and never counted twice. A process
 * that dies loses what it collected since its last flush.
 *
 * What would be one series too many is dropped, counted in `dropped`, and logged once.
 *
 * @throws {TypeError | RangeError} for a name or options that make no sense.
 *
 * @example
 * ```ts
 * import { type Coordination, metricsBoard } from "@x/jsflow/kv";
 *
 * async function main(coordination: Coordination): Promise<void> {
 *   const board = metricsBoard(coordination, "shop", { flushMs: 500 });
 *   try {
 *     board.count("orders", { labels: { region: "eu" } });
 *     board.gauge("queue_depth", 12, { labels: { worker: "w1" } });
 *     await board.flush();
 *     console.log((await board.read()).metrics);
 *   } finally {
 *     await board.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export function metricsBoard(
  coordination: Coordination,
  name: string,
  options?: MetricsBoardOptions,
): MetricsBoard {
  const space = spaceOf(coordination);
  const key = space.keyOf("metrics", name);
  checkOptions("metricsBoard", options, ["flushMs", "maxSeries"]);
  const { flushMs = DEFAULT_FLUSH_MS, maxSeries = DEFAULT_MAX_SERIES } = options ?? {};
  return new OpenMetricsBoard(space, name, {
    key,
    flushMs: checkDurationMs("metricsBoard: flushMs", flushMs, { min: 1 }),
    maxSeries: checkInteger("metricsBoard: maxSeries", maxSeries, { min: 1, max: MAX_SERIES }),
  });
}

class OpenMetricsBoard implements MetricsBoard {
  readonly name: string;
  readonly #space: Space;
  readonly #key: string;
  readonly #writer: MetricsWriter;
  readonly #watches = new Set<Watch<unknown>>();
  readonly #forget: () => void;
  #closing: Promise<void> | undefined;

  constructor(
    space: Space,
    name: string,
    rules: { readonly key: string; readonly flushMs: number; readonly maxSeries: number },
  ) {
    this.name = name;
    this.#space = space;
    this.#key = rules.key;
    this.#writer = new MetricsWriter(space, rules);
    this.#forget = space.own(this);
  }

  get dropped(): number {
    return this.#writer.dropped;
  }

  count(name: string, options?: CountOptions): void {
    checkOptions("count", options, ["labels", "amount"]);
    const { labels = {}, amount = 1 } = options ?? {};
    checkMetricName(name);
    checkMetricValue("count: amount", amount, 0);
    this.#writer.collect([...seriesId("counter", name, checkLabels(labels)), amount]);
  }

  gauge(name: string, value: number, options?: GaugeOptions): void {
    checkOptions("gauge", options, ["labels"]);
    checkMetricName(name);
    checkMetricValue("gauge: value", value, -Number.MAX_SAFE_INTEGER);
    const labels = checkLabels(options?.labels ?? {});
    this.#writer.collect([...seriesId("gauge", name, labels), value]);
  }

  async flush(options?: WaitBounds): Promise<void> {
    const { signal, timeoutMs } = checkWait("flush", options, this.#space.timeoutMs);
    await this.#writer.flush({ signal, timeoutMs });
  }

  async read(options?: WaitBounds): Promise<MetricsSnapshot> {
    const { signal, timeoutMs } = checkWait("read", options, this.#space.timeoutMs);
    const entry = await this.#space.store.entry(this.#key, { signal, timeoutMs });
    return this.#snapshot(entry?.value, entry?.revision ?? 0);
  }

  watch(options?: Pick<WaitBounds, "signal">): AsyncIterable<MetricsSnapshot> {
    checkOptions("watch", options, ["signal"]);
    const { signal } = checkWait("watch", { signal: options?.signal }, 1);
    return { [Symbol.asyncIterator]: () => this.#follow(signal) };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #follow(signal: AbortSignal | undefined): AsyncIterator<MetricsSnapshot> {
    if (this.#closing !== undefined) throw closedError(this.name);
    const watch = this.#space.store.watch({ key: this.#key, signal });
    const forget = () => this.#watches.delete(watch);
    this.#watches.add(watch);
    watch.closed.then(forget, forget);
    return iterateSnapshots(watch, ({ value, revision }) => this.#snapshot(value, revision));
  }

  #snapshot(value: unknown, revision: number): MetricsSnapshot {
    return { metrics: metricsOf(readMetrics(this.#key, { value, revision })), revision };
  }

  async #close(): Promise<void> {
    try {
      await Promise.all([...this.#watches].map((watch) => watch.close()));
      await this.#writer.close();
    } finally {
      this.#forget();
    }
  }
}

function closedError(name: string): JsflowError {
  return new JsflowError(
    "connection_closed",
    `cannot watch metrics board ${JSON.stringify(name)}: it is closed; make another`,
  );
}
