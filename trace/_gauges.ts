import type { Attributes, Meter, ObservableGauge, ObservableResult } from "@opentelemetry/api";
import { METRIC_NAMES } from "./metric_names.ts";
import type { GaugeName } from "./telemetry.ts";

const descriptions: Readonly<Record<GaugeName, readonly [unit: string, description: string]>> = {
  activeConsumers: ["{consumer}", "Consumers of streams that are open."],
  activeSubscriptions: ["{subscription}", "Subscriptions and services that are open."],
  breakerState: ["1", "The circuit breaker: 0 closed, 1 half-open, 2 open."],
  inFlight: [
    "{message}",
    "Messages that publishers await the acknowledgement of, or handlers work on.",
  ],
  knownStreams: ["{stream}", "Streams made through the client and not deleted by it."],
};

/** The most sets of attributes of one gauge; beyond it what is read counts for the client alone. */
const MAX_SERIES = 2_048;

/** One set of attributes, read from all who know a part of its value. */
interface Series {
  readonly attributes: Attributes;
  readonly readers: Set<() => number>;
  /** Whether it was collected, and is remembered by whoever collects. */
  isSeen: boolean;
}

/** One metric, by its attributes beyond those of the client. */
interface OpenGauge {
  readonly series: Map<string, Series>;
  /** Has it read no more. */
  end(): void;
}

/**
 * The gauges of one client.
 *
 * SDKs go on to export what was observed last: a series that nobody reads any more, and all of them
 * when the client is closed, are observed as 0 once more.
 */
export class Gauges {
  readonly #meter: Meter;
  readonly #attributes: Attributes;
  readonly #open = new Map<GaugeName, OpenGauge>();
  #closed = false;

  constructor(meter: Meter, attributes: Attributes) {
    this.#meter = meter;
    this.#attributes = attributes;
  }

  /** Has a function read whenever metrics are collected; returns the function that ends that. */
  add(name: GaugeName, read: () => number, attributes?: Attributes): () => void {
    if (this.#closed) return () => {};
    const reader = () => read(); // each call of `add` counts, even with the same function
    let gauge = this.#open.get(name);
    if (gauge === undefined) this.#open.set(name, gauge = this.#openGauge(name));
    const [key, series] = this.#seriesOf(gauge, attributes);
    series.readers.add(reader);
    return () => {
      series.readers.delete(reader);
      forgetUnseen(gauge.series, key, series);
    };
  }

  /** Ends all gauges for good. */
  close(): void {
    this.#closed = true;
    for (const { series, end } of this.#open.values()) {
      for (const [key, one] of series) {
        one.readers.clear();
        forgetUnseen(series, key, one);
      }
      if (series.size === 0) end();
    }
    this.#open.clear();
  }

  #seriesOf({ series }: OpenGauge, attributes: Attributes | undefined): [string, Series] {
    const wanted = attributes === undefined ? "" : JSON.stringify(attributes);
    const key = series.has(wanted) || series.size < MAX_SERIES ? wanted : "";
    let found = series.get(key);
    if (found === undefined) {
      const own = key === "" ? undefined : attributes;
      found = { attributes: { ...this.#attributes, ...own }, readers: new Set(), isSeen: false };
      series.set(key, found);
    }
    return [key, found];
  }

  #openGauge(name: GaugeName): OpenGauge {
    const [unit, description] = descriptions[name];
    const gauge: ObservableGauge = this.#meter.createObservableGauge(METRIC_NAMES[name], {
      unit,
      description,
    });
    const series = new Map<string, Series>();
    const observe = async (result: ObservableResult) => {
      for (const one of series.values()) {
        result.observe(sumOf(one.readers), one.attributes);
        one.isSeen = true;
      }
      if (!this.#closed) return;
      await undefined; // the SDK goes through its callbacks now, and would leave one out
      gauge.removeCallback(observe);
    };
    gauge.addCallback(observe);
    return { series, end: () => gauge.removeCallback(observe) };
  }
}

/** What nobody has collected nobody remembers. */
function forgetUnseen(all: Map<string, Series>, key: string, series: Series): void {
  const isCurrent = all.get(key) === series;
  if (isCurrent && series.readers.size === 0 && !series.isSeen) all.delete(key);
}

/** A reader that fails is left out, lest it hide what the others say. */
function sumOf(readers: Iterable<() => number>): number {
  let sum = 0;
  for (const read of readers) {
    try {
      const value = read();
      if (Number.isFinite(value)) sum += value;
    } catch {
      // What it would have said is not known.
    }
  }
  return sum;
}
