import type { TraceContext } from "./trace_context.ts";

/** Headers of a message, as far as trace contexts travel in them; NATS headers and maps are such. */
export interface HeaderCarrier {
  /** The value, or "" or undefined when there is none. */
  get(name: string): string | undefined;
  /** Replaces the value. */
  set(name: string, value: string): void;
  /**
   * The names that are there, by which headers of another trace are found however they are spelled.
   * @default the usual spellings are looked for
   */
  keys?(): Iterable<string>;
  /** Removes a header. @default it is set to "" */
  delete?(name: string): unknown;
}

/** What is done with messages, in the terms of OpenTelemetry's messaging conventions. */
export type OperationKind = "publish" | "request" | "receive" | "process" | "serve" | "settle";

/** What a span is told about the messages of an {@link Operation}. */
export interface OperationDetails {
  /** The subject of the message, or the filter of a subscription. */
  readonly destination: string;
  /** The pattern of the subject, of low cardinality: `orders.{region}`. */
  readonly template?: string | undefined;
  /** Whether the destination is a reply inbox, or another name made up for one use. */
  readonly temporary?: boolean | undefined;
  /** Identity of the message: its msgID, or stream and sequence. */
  readonly messageId?: string | undefined;
  /** Size of the payload in bytes. */
  readonly bodyBytes?: number | undefined;
  /** Queue group or durable consumer. */
  readonly consumerGroup?: string | undefined;
  /** The stream of JetStream. */
  readonly stream?: string | undefined;
  /** The number of messages in a batch; only for operations on batches. */
  readonly batchCount?: number | undefined;
  /**
   * Whether an operation `receive` was reported for the message that is processed: it counts once
   * as consumed, when it is received, else when it is processed or served. @default false
   */
  readonly received?: boolean | undefined;
  /**
   * Headers of the message that is processed: its context becomes the parent. Without one `process`
   * and `serve` begin a trace, linked to the current one; the others go on in the current one.
   */
  readonly parent?: HeaderCarrier | undefined;
  /** Headers of the messages of a batch: their contexts are linked. */
  readonly links?: readonly HeaderCarrier[] | undefined;
}

/** One operation under way: a span when there is an SDK, a duration in the metrics, a context. */
export interface Operation {
  /** The context of this operation; undefined when tracing is off. */
  readonly trace: TraceContext | undefined;
  /** Writes the context into outgoing headers. */
  inject(headers: HeaderCarrier): void;
  /** Runs a function, and all that it awaits, within the context. */
  run<T>(work: () => T): T;
  /** Adds what became known meanwhile: the message's id, the size of a batch, further links. */
  note(details: Partial<OperationDetails>): void;
  /** Ends it, with the error that it ended by; further calls are ignored. */
  end(error?: unknown): void;
}

/** Counters of a client without conventional names; `METRIC_NAMES` lists all metrics. */
export type CounterName =
  | "fetchErrors"
  | "handlerErrors"
  | "reconnects"
  | "redeliveries";

/** Values that are read whenever metrics are collected. */
export type GaugeName =
  | "activeConsumers"
  | "activeSubscriptions"
  | "breakerState"
  | "inFlight"
  | "knownStreams";

/** Where a client reports to. Made by `createTelemetry`. */
export interface Telemetry {
  /** Whether contexts travel: whether headers must be made for `inject`. */
  readonly tracing: boolean;
  /** Begins an operation; its end is recorded in the metrics. */
  begin(kind: OperationKind, details: OperationDetails): Operation;
  /** Adds to a counter. */
  count(name: CounterName, amount?: number, attributes?: Readonly<Record<string, string>>): void;
  /**
   * Has a gauge read by a function; returns the function that ends it. A gauge that several read
   * is their sum. `inFlight` is for publishers: messages that are processed or served are in flight
   * without it, from the begin of their operation to its end and that of a promise that its `run`
   * has returned.
   */
  gauge(name: GaugeName, read: () => number): () => void;
  /** Ends all gauges. */
  close(): void;
}
