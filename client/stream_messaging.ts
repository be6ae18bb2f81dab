import type { Batch } from "./batch.ts";
import type { ConsumeHandler, ConsumeOptions } from "./consume_options.ts";
import type { Consumers } from "./consumer_registry.ts";
import type { Consumption } from "./consumption.ts";
import type { EnsureStreamOptions } from "./ensure_stream.ts";
import type { FetchOptions } from "./fetch_options.ts";
import type { PubAck } from "./pub_ack.ts";
import type { PublishToStreamOptions } from "./publish_to_stream.ts";
import type { Publisher, PublisherOptions } from "./publisher.ts";
import type { StreamConfig } from "./stream_config.ts";
import type { StreamInfo } from "./stream_info.ts";
import type { Streams } from "./streams.ts";
import type { BoundSubject, Subject } from "./subject.ts";

/** What a client does with streams and their messages. */
export interface StreamMessaging {
  /** The streams on the server: lookups, deletion, purging. */
  readonly streams: Streams;
  /** The consumers that this client runs. */
  readonly consumers: Consumers;
  /**
   * Creates a stream, or checks the one that exists. Idempotent: callers that race all succeed.
   *
   * Only the fields that the configuration names are compared. What the server stored is compared as
   * well, since servers ignore what they don't know: nothing that was asked for is left out silently.
   *
   * @throws {TypeError | RangeError} for a configuration or an option that makes no sense, before any
   * I/O.
   * @throws {JsflowError} `config_drift` with the differences, one a line, or when the server refuses
   * the update; `unsupported` when the server lacks a feature; `permission_denied`, `timeout`,
   * `not_connected`, `circuit_open`, `jetstream_disabled`, `jetstream_unavailable`, or `nats` when
   * the server refuses the configuration.
   * @throws the signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { connect } from "@x/jsflow/client";
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   try {
   *     const { config } = await client.ensureStream({
   *       name: "ORDERS",
   *       subjects: ["orders", "orders.>"],
   *       maxAgeMs: 7 * 86_400_000,
   *     }, { onDrift: "update" });
   *     console.log(config.duplicateWindowMs); // 120000
   *   } finally {
   *     await client.close();
   *   }
   * }
   * console.log(main);
   * ```
   */
  ensureStream(config: StreamConfig, options?: EnsureStreamOptions): Promise<StreamInfo>;
  /**
   * Publishes a value to the stream that captures the subject, and waits until it is stored.
   *
   * With an `id` the message is stored once within the stream's duplicate window, however often it is
   * published. A failure after the message was sent says that it may have been stored all the same.
   * For many messages at a time use a publisher.
   *
   * @throws {TypeError | RangeError} for a subject, header or option that makes no sense, before any
   * I/O.
   * @throws {JsflowError} before any I/O `encode_failed`, `invalid_payload`, `payload_too_large` or
   * `unsupported`; then `stream_not_found` when no stream captures the subject, `sequence_conflict`
   * when an expectation doesn't hold, `timeout`, `not_connected`, `circuit_open`,
   * `jetstream_unavailable`, `permission_denied`, `payload_too_large`, or `nats` when the stream
   * refuses the message.
   * @throws the signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { connect, json, subject } from "@x/jsflow/client";
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   try {
   *     const orders = subject("orders.created", json<{ id: string }>());
   *     const ack = await client.publishToStream(orders, { id: "o-1" }, {
   *       id: "o-1",
   *       retry: { attempts: 5 },
   *       autoCreate: true,
   *     });
   *     console.log(ack.stream, ack.sequence, ack.duplicate);
   *   } finally {
   *     await client.close();
   *   }
   * }
   * console.log(main);
   * ```
   */
  publishToStream<T>(
    subject: BoundSubject<T>,
    value: T,
    options?: PublishToStreamOptions,
  ): Promise<PubAck>;
  /**
   * Makes a publisher that pipelines: several messages are in flight at a time, within bounds.
   *
   * It ends with the client, whose `close` waits until everything is settled.
   *
   * @throws {TypeError | RangeError} for an option that makes no sense.
   *
   * @example
   * ```ts
   * import { connect, subject, text } from "@x/jsflow/client";
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   try {
   *     const logs = subject("logs.web", text());
   *     const publisher = client.createPublisher({ maxMessages: 64, autoCreate: true });
   *     const acks = ["one", "two", "three"].map((line) => publisher.publish(logs, line));
   *     console.log((await Promise.all(acks)).map(({ sequence }) => sequence));
   *     await publisher.close();
   *   } finally {
   *     await client.close();
   *   }
   * }
   * console.log(main);
   * ```
   */
  createPublisher(options?: PublisherOptions): Publisher;
  /**
   * Consumes the messages of a subject from its stream: each is handed to `handler`, and settled when
   * that returns (by default acknowledged), fails (delivered again after a pause) or says that it
   * never can succeed (see `PermanentError`).
   *
   * - **Delivery**: at least once. A message may come again after a lost ack, a crash, or a handler
   *   that outlived its deadline; only `ackPolicy: "none"` may lose messages instead.
   * - **Order**: with `concurrency: 1` messages are handled one after another in the order of the
   *   stream, except those that come again.
   * - **Bounds**: at most `maxMessages` are held here, and `concurrency` handlers run.
   * - **Faults**: a consumer that was deleted, a new leader, a silent server and a lost connection are
   *   noticed within two heartbeats and overcome; events say so. A deleted stream ends it, unless
   *   `autoCreate` makes it again.
   *
   * @throws {TypeError | RangeError} for options that make no sense, before any I/O.
   * @throws {JsflowError} `stream_not_found`, `config_drift` when the consumer exists and differs,
   * `unsupported` for several filters on a server older than 2.10, or what the server says.
   * @throws the signal's reason when it aborts meanwhile.
   *
   * @example
   * ```ts
   * import { connect, json, subject } from "@x/jsflow/client";
   *
   * const Orders = subject("orders.{region}", json<{ id: string }>());
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   const options = { name: "billing", concurrency: 8, autoCreate: true } as const;
   *   const billing = await client.consume(Orders, options, async (order, { params, signal }) => {
   *     await fetch(`http://127.0.0.1:8080/${params.region}/${order.id}`, { signal });
   *   });
   *   await billing.drain({ graceMs: 10_000 });
   *   await client.close();
   * }
   * console.log(main);
   * ```
   */
  consume<T, K extends string>(
    subject: Subject<T, K>,
    handler: ConsumeHandler<T, K>,
  ): Promise<Consumption>;
  /** Consumes the messages of a subject from its stream, with options. */
  consume<T, K extends string>(
    subject: Subject<T, K>,
    options: ConsumeOptions<T, K> | undefined,
    handler: ConsumeHandler<T, K>,
  ): Promise<Consumption>;
  /**
   * Fetches one batch of messages from a durable consumer, for programs that work in batches; whoever
   * calls it settles the messages.
   *
   * The consumer is found and checked, or made, as `consume` does with the same options: two requests
   * to the server besides the one for messages. One that was deleted between two calls is made again,
   * and begins where `deliver` says.
   *
   * - **Delivery**: at least once. A message that nobody settles is delivered again after the
   *   consumer's ack wait, which begins with the delivery or the last sign of life; those are sent
   *   until the batch is handed over, and then by `message.heartbeat()` alone.
   * - **Bounds**: at most `maxMessages` come, and none is asked for that would not be handed over.
   *   Fewer, or none at all, after `expiresMs` is no error.
   * - **Sharing**: calls with the same `name`, in any process, get different messages.
   * - **Undecodable payloads** are settled as `onUndecodable` says, terminated by default, are told to
   *   `onError` and counted in the batch, and leave the other messages alone.
   * - **Faults**: a new leader or a server that is about to stop is asked again while there is time. A
   *   lost connection, a server that is not heard for a second, and a consumer or stream that is
   *   deleted meanwhile end the call: with the messages that have come, if any, and `onError` is told;
   *   else with an error.
   * - **Cancellation**: when the signal aborts or the client closes, what has come is delivered again
   *   at once.
   *
   * @throws {TypeError | RangeError} for options that make no sense, before any I/O.
   * @throws {JsflowError} `stream_not_found`, `consumer_not_found`, `config_drift` when the consumer
   * exists and differs, `unsupported` for several filters on a server older than 2.10,
   * `payload_too_large` when the next message exceeds `maxBytes`, `not_connected`, `circuit_open`,
   * `timeout`, `jetstream_unavailable`, `connection_closed`, or what the server says.
   * @throws the signal's reason when it aborts.
   *
   * @example
   * ```ts
   * import { connect, json, subject } from "@x/jsflow/client";
   *
   * const Orders = subject("orders.{region}", json<{ id: string }>());
   *
   * async function main(): Promise<void> {
   *   const client = await connect({ servers: "127.0.0.1:4222" });
   *   try {
   *     const batch = await client.fetch(Orders, { name: "billing", maxMessages: 50 });
   *     for (const { value, params } of batch.messages) console.log(params.region, value.id);
   *     batch.ackAll();
   *   } finally {
   *     await client.close();
   *   }
   * }
   * console.log(main);
   * ```
   */
  fetch<T, K extends string>(
    subject: Subject<T, K>,
    options: FetchOptions<T, K>,
  ): Promise<Batch<T, K>>;
}
