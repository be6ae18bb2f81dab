import type { Attributes, Meter, ObservableGauge, ObservableResult } from "@opentelemetry/api";
import { METRIC_NAMES } from "./metric_names.ts";
import type { GaugeName } from "./telemetry.ts";

const descriptions: Readonly<Record<GaugeName, readonly [unit: string, description: string]>> = {
  activeConsumers: ["{consumer}", "Consumers of streams that are open."],
  activeSubscriptions: ["{subscription}", "Subscriptions and services that are open."],
  breakerState: ["1", "The circuit breaker: 0 closed, 1 half-open, 2 open."],
  inFlight: ["{message}", "Messages of publishers that wait for their acknowledgement."],
  knownStreams: ["{stream}", "Streams made through the client and not deleted by it."],
};

/** One metric that is read from all who know a part of it. */
interface OpenGauge {
  readonly readers: Set<() => number>;
  end(): void;
}

/** The gauges of one client. */
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
  add(name: GaugeName, read: () => number): () => void {
    if (this.#closed) return () => {};
    const reader = () => read(); // each call of `add` counts, even with the same function
    let gauge = this.#open.get(name);
    if (gauge === undefined) this.#open.set(name, gauge = this.#openGauge(name));
    const { readers } = gauge;
    readers.add(reader);
    return () => {
      readers.delete(reader);
      if (readers.size === 0 && this.#open.get(name)?.readers === readers) this.#end(name);
    };
  }

  /** Ends all gauges for good. */
  close(): void {
    this.#closed = true;
    for (const name of [...this.#open.keys()]) this.#end(name);
  }

  #openGauge(name: GaugeName): OpenGauge {
    const [unit, description] = descriptions[name];
    const gauge: ObservableGauge = this.#meter.createObservableGauge(METRIC_NAMES[name], {
      unit,
      description,
    });
    const readers = new Set<() => number>();
    const observe = (result: ObservableResult) => {
      result.observe(sumOf(readers), this.#attributes);
    };
    gauge.addCallback(observe);
    return { readers, end: () => gauge.removeCallback(observe) };
  }

  #end(name: GaugeName): void {
    this.#open.get(name)?.end();
    this.#open.delete(name);
  }
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
