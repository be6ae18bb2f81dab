import {
  type Attributes,
  type Counter,
  createNoopMeter,
  type Histogram,
  type Meter,
  metrics as otel,
} from "@opentelemetry/api";
import {
  clientAttributes,
  conventions,
  ERROR_TYPE,
  metricAttributes,
  operationAttributes,
  operationTypeAttributes,
} from "./_conventions.ts";
import { Gauges } from "./_gauges.ts";
import { SCOPE_NAME } from "./_tracer_source.ts";
import type { ClientIdentity } from "./client_identity.ts";
import { METRIC_NAMES } from "./metric_names.ts";
import type { MeterProvider } from "./native.ts";
import type { CounterName, GaugeName, OperationDetails, OperationKind } from "./telemetry.ts";

/** The most sets of attributes that are kept for reuse; beyond it they are made each time. */
const MAX_CACHED_ATTRIBUTES = 1_024;
/** The most series of messages in flight; beyond it they are counted by their kind alone. */
const MAX_HANDLED_SERIES = 1_024;

/** Where the conventions put the bounds of durations in seconds. */
const DURATION_BUCKETS = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
];

const counterDescriptions: Readonly<
  Record<CounterName, readonly [unit: string, description: string]>
> = {
  fetchErrors: ["{error}", "Pulls from a consumer that failed."],
  handlerErrors: ["{error}", "Handlers that threw or ran out of time."],
  reconnects: ["{reconnect}", "Connections regained."],
  redeliveries: ["{message}", "Messages that came for a second or later time."],
};

/** The metrics of one client. */
export class Metrics {
  readonly #gauges: Gauges;
  readonly #identity: ClientIdentity;
  readonly #sent: Counter;
  readonly #consumed: Counter;
  readonly #operationDuration: Histogram;
  readonly #processDuration: Histogram;
  readonly #counters: Readonly<Record<CounterName, Counter>>;
  readonly #client: Attributes;
  readonly #cached = new Map<string, Attributes>();
  /** Messages whose handlers run, by what their series is told apart. */
  readonly #handled = new Map<string, { count: number }>();

  constructor(meter: Meter, identity: ClientIdentity) {
    this.#identity = identity;
    this.#client = clientAttributes(identity);
    this.#gauges = new Gauges(meter, this.#client);
    this.#sent = messageCounter(meter, "sentMessages", "Messages published and requests sent.");
    this.#consumed = messageCounter(meter, "consumedMessages", "Messages given to the program.");
    this.#operationDuration = durations(meter, "operationDuration", "Time of an operation.");
    this.#processDuration = durations(meter, "processDuration", "Time of a handler.");
    this.#counters = {
      fetchErrors: ownCounter(meter, "fetchErrors"),
      handlerErrors: ownCounter(meter, "handlerErrors"),
      reconnects: ownCounter(meter, "reconnects"),
      redeliveries: ownCounter(meter, "redeliveries"),
    };
  }

  /** Records an operation that took `seconds`. */
  record(kind: OperationKind, details: OperationDetails, outcome: Outcome): void {
    const { seconds, errorType } = outcome;
    const known = this.#attributesOf(kind, details);
    const attributes = errorType === undefined ? known : { ...known, [ERROR_TYPE]: errorType };
    const { type } = conventions[kind];
    const duration = type === "process" ? this.#processDuration : this.#operationDuration;
    duration.record(seconds, attributes);
    const messages = details.batchCount ?? 1;
    if (messages === 0) return;
    if (type === "send") this.#sent.add(messages, attributes);
    else if (isDelivery(kind, details)) this.#consumed.add(messages, attributes);
  }

  /** Adds to one of the counters without a conventional name. */
  count(name: CounterName, amount: number, attributes?: Readonly<Record<string, string>>): void {
    this.#counters[name].add(
      amount,
      attributes === undefined ? this.#client : { ...this.#client, ...attributes },
    );
  }

  /**
   * Counts a message whose handler begins, or returns undefined for what no handler does; the
   * function that it returns must be called once.
   */
  enter(kind: OperationKind, details: OperationDetails): (() => void) | undefined {
    if (conventions[kind].type !== "process") return undefined;
    const handled = this.#handledOf(kind, details);
    handled.count++;
    return () => void handled.count--;
  }

  /** Has a gauge read; publishers alone feed `inFlight` in this way. */
  gauge(name: GaugeName, read: () => number): () => void {
    const attributes = name === "inFlight" ? operationTypeAttributes("publish") : undefined;
    return this.#gauges.add(name, read, attributes);
  }

  /** Ends all gauges for good. */
  close(): void {
    this.#gauges.close();
  }

  #attributesOf(kind: OperationKind, details: OperationDetails): Attributes {
    const { template, consumerGroup } = details;
    const key = keyOf(kind, details);
    let attributes = this.#cached.get(key);
    if (attributes === undefined) {
      attributes = {
        ...operationAttributes(kind, this.#identity),
        ...metricAttributes(template, consumerGroup),
      };
      if (this.#cached.size < MAX_CACHED_ATTRIBUTES) this.#cached.set(key, attributes);
    }
    return attributes;
  }

  #handledOf(kind: OperationKind, details: Partial<OperationDetails>): { count: number } {
    const { template, consumerGroup } = details;
    const key = keyOf(kind, details);
    const known = this.#handled.get(key);
    if (known !== undefined) return known;
    const isSpecific = template !== undefined || consumerGroup !== undefined;
    if (isSpecific && this.#handled.size >= MAX_HANDLED_SERIES) return this.#handledOf(kind, {});
    const handled = { count: 0 };
    this.#handled.set(key, handled);
    const own = { ...operationTypeAttributes(kind), ...metricAttributes(template, consumerGroup) };
    this.#gauges.add("inFlight", () => handled.count, own);
    return handled;
  }
}

/** Tells apart what is reported as different series. */
function keyOf(
  kind: OperationKind,
  { template, consumerGroup }: Partial<OperationDetails>,
): string {
  return `${kind}\n${template ?? ""}\n${consumerGroup ?? ""}`;
}

/** How an operation went. */
export interface Outcome {
  readonly seconds: number;
  readonly errorType: string | undefined;
}

/** The metrics of a client, or undefined when nobody would collect them. */
export function createMetrics(
  provider: MeterProvider | undefined,
  identity: ClientIdentity,
): Metrics | undefined {
  const meter = (provider ?? otel.getMeterProvider()).getMeter(SCOPE_NAME);
  return meter === createNoopMeter() ? undefined : new Metrics(meter, identity);
}

/** A message counts once: when it is received, else when it is handled. */
function isDelivery(kind: OperationKind, details: OperationDetails): boolean {
  return kind === "receive" ||
    (conventions[kind].type === "process" && details.received !== true);
}

function messageCounter(
  meter: Meter,
  name: "sentMessages" | "consumedMessages",
  description: string,
): Counter {
  return meter.createCounter(METRIC_NAMES[name], { unit: "{message}", description });
}

function durations(
  meter: Meter,
  name: "operationDuration" | "processDuration",
  description: string,
): Histogram {
  return meter.createHistogram(METRIC_NAMES[name], {
    unit: "s",
    description,
    advice: { explicitBucketBoundaries: DURATION_BUCKETS },
  });
}

function ownCounter(meter: Meter, name: CounterName): Counter {
  const [unit, description] = counterDescriptions[name];
  return meter.createCounter(METRIC_NAMES[name], { unit, description });
}
