import { injectTrace } from "./_outgoing_headers.ts";
import { checkPublication, MESSAGE_KEYS, type StreamMessageOptions } from "./_publication.ts";
import { PublisherEngine } from "./_publisher_engine.ts";
import { stoppedError } from "./_publisher_errors.ts";
import { createEntry, type PublisherStats, untilSettled } from "./_publisher_entry.ts";
import { checkAutoCreateOptions, type StreamAutoCreate } from "./auto_create.ts";
import { checkWait, type WaitBounds } from "./call_options.ts";
import type { Abandoned, ClientCore, Resource } from "./core.ts";
import { timeoutError, untilAborted, withDeadline } from "./deadline.ts";
import type { PubAck } from "./pub_ack.ts";
import { type RetryPolicy, validateRetryPolicy } from "./retry_policy.ts";
import type { BoundSubject } from "./subject.ts";
import { checkDurationMs, checkInteger, checkOptions } from "./validate.ts";

export type { PublisherStats } from "./_publisher_entry.ts";

/** Messages that a publisher has in flight at most, unless its options say otherwise. */
export const PUBLISHER_MAX_MESSAGES: number = 256;
/** Bytes that a publisher has in flight at most, unless its options say otherwise: 8 MiB. */
export const PUBLISHER_MAX_BYTES: number = 8 * 1_048_576;
/** Bytes that wait for room at most, unless the options say otherwise: 64 MiB. */
export const PUBLISHER_MAX_WAITING_BYTES: number = 64 * 1_048_576;

/** How a publisher works. */
export interface PublisherOptions {
  /** Messages sent and not yet settled, 1 to 65,536. @default {@link PUBLISHER_MAX_MESSAGES}, 256 */
  readonly maxMessages?: number | undefined;
  /**
   * Bytes sent and not yet settled: subjects, headers and payloads.
   * @default {@link PUBLISHER_MAX_BYTES}, 8 MiB
   */
  readonly maxBytes?: number | undefined;
  /**
   * Bytes that wait for room, where each message counts for 512 bytes more than it has. Beyond that
   * `publish` fails with `buffer_full`.
   * @default {@link PUBLISHER_MAX_WAITING_BYTES}, 64 MiB
   */
  readonly maxWaitingBytes?: number | undefined;
  /**
   * Milliseconds that a message waits for room, and each attempt for its ack.
   * @default the client's request timeout, 5000
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Tries messages with an `id` again when no ack came in time, the connection is lost or JetStream
   * is not available; messages without one are never sent twice.
   * @default one attempt
   */
  readonly retry?: RetryPolicy | undefined;
  /** Creates the stream when none captures a subject. @default no */
  readonly autoCreate?: true | StreamAutoCreate | undefined;
}

/**
 * Publishes to streams without waiting for one ack before sending the next message.
 *
 * Messages are sent in the order of the calls. One that is sent again after a failure may come
 * behind later ones.
 */
export interface Publisher extends AsyncDisposable {
  /**
   * Publishes a value and resolves once it is stored.
   *
   * When too much is in flight it waits for room, first come, first served. Without a `timeoutMs` of
   * its own it has that of the publisher. Await the promises, or handle their rejections, and wait
   * for room by awaiting some of them.
   *
   * @throws {TypeError | RangeError} for a subject, header or option that makes no sense, or a message
   * that exceeds `maxBytes`, before any I/O.
   * @throws {JsflowError} as `publishToStream` does, or `buffer_full` when too much waits for room,
   * or `connection_closed` once the publisher is closed. When the connection is lost, messages in
   * flight fail with `not_connected` and may have been stored, unless they have an id and are
   * retried.
   * @throws the signal's reason when it aborts.
   */
  publish<T>(subject: BoundSubject<T>, value: T, options?: StreamMessageOptions): Promise<PubAck>;
  /**
   * Resolves when all messages published until now are settled, stored or not.
   *
   * @throws {JsflowError} `timeout`
   * @throws the signal's reason when it aborts.
   */
  flush(options?: WaitBounds): Promise<void>;
  /** What it has done, and has to do. */
  readonly stats: PublisherStats;
  /** Takes nothing new, and resolves when everything is settled. Idempotent and joined. */
  close(): Promise<void>;
}

/** As `StreamMessaging.createPublisher` says. */
export function createPublisher(core: ClientCore, options?: PublisherOptions): Publisher {
  return new PipelinedPublisher(core, checkPublisherOptions(core, options));
}

interface PublisherSettings {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly maxWaitingBytes: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy | undefined;
  readonly autoCreate: true | StreamAutoCreate | undefined;
}

const MAX_MESSAGES = 65_536;

function checkPublisherOptions(
  core: ClientCore,
  options: PublisherOptions | undefined,
): PublisherSettings {
  const what = "createPublisher";
  const given: PublisherOptions = checkOptions(what, options, [
    "maxMessages",
    "maxBytes",
    "maxWaitingBytes",
    "timeoutMs",
    "retry",
    "autoCreate",
  ]);
  const { maxMessages = PUBLISHER_MAX_MESSAGES, maxBytes = PUBLISHER_MAX_BYTES } = given;
  const { maxWaitingBytes = PUBLISHER_MAX_WAITING_BYTES } = given;
  const { timeoutMs = core.requestTimeoutMs, retry, autoCreate } = given;
  if (retry !== undefined) validateRetryPolicy(`${what}: retry`, retry);
  if (autoCreate !== undefined) checkAutoCreateOptions(`${what}: autoCreate`, autoCreate);
  return {
    maxMessages: checkInteger(`${what}: maxMessages`, maxMessages, { min: 1, max: MAX_MESSAGES }),
    maxBytes: checkInteger(`${what}: maxBytes`, maxBytes, { min: 1 }),
    maxWaitingBytes: checkInteger(`${what}: maxWaitingBytes`, maxWaitingBytes),
    timeoutMs: checkDurationMs(`${what}: timeoutMs`, timeoutMs, { min: 1 }),
    retry,
    autoCreate,
  };
}

class PipelinedPublisher implements Publisher, Resource {
  readonly #core: ClientCore;
  readonly #settings: PublisherSettings;
  readonly #engine: PublisherEngine;
  readonly #disown: () => void;
  readonly #endGauge: () => void;
  #isStopped = false;
  #closing: Promise<void> | undefined;

  constructor(core: ClientCore, settings: PublisherSettings) {
    this.#core = core;
    this.#settings = settings;
    this.#engine = new PublisherEngine(core, settings);
    this.#disown = core.own(this);
    this.#endGauge = core.telemetry.gauge("inFlight", () => this.#engine.stats.inFlight);
  }

  get stats(): PublisherStats {
    return this.#engine.stats;
  }

  publish<T>(
    subject: BoundSubject<T>,
    value: T,
    options?: StreamMessageOptions,
  ): Promise<PubAck> {
    // Everything up to the sending happens within the call: that keeps the order of the calls.
    return new Promise<PubAck>((resolve, reject) => {
      const publication = this.#check(subject, value, options);
      const { telemetry } = this.#core;
      const operation = telemetry.begin("publish", {
        destination: publication.name,
        template: publication.template,
        messageId: publication.id,
        bodyBytes: publication.payload.length,
      });
      injectTrace(this.#core, operation, publication);
      this.#engine.accept(createEntry(publication, operation, { resolve, reject }));
    });
  }

  #check<T>(subject: BoundSubject<T>, value: T, options: StreamMessageOptions | undefined) {
    if (options !== undefined) checkOptions("publish", options, MESSAGE_KEYS);
    const { timeoutMs, retry, maxBytes } = this.#settings;
    const source = { subject, value, options, timeoutMs, retry };
    const publication = checkPublication(this.#core, "publish", source);
    const { name, bytes, bounds } = publication;
    if (bytes > maxBytes) {
      throw new RangeError(
        `cannot publish to ${name}: the message has ${bytes} bytes, more than maxBytes, ${maxBytes}`,
      );
    }
    bounds.signal?.throwIfAborted();
    if (this.#isStopped) throw stoppedError(name);
    return publication;
  }

  async flush(options?: WaitBounds): Promise<void> {
    const { signal, timeoutMs } = checkWait("flush", options, this.#core.requestTimeoutMs);
    const onTimeout = () => timeoutError("settle all messages", timeoutMs);
    await withDeadline(
      { signal, timeoutMs, onTimeout },
      (signal) => untilSettled(this.#engine.open, signal),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  stop(): void {
    this.#isStopped = true;
  }

  async drain(signal: AbortSignal): Promise<readonly Abandoned[]> {
    const closing = this.close();
    try {
      await untilAborted(closing, signal);
      return [];
    } catch {
      const count = this.#engine.abandon(stoppedError);
      await closing;
      return count === 0 ? [] : [{ what: "publisher", count }];
    }
  }

  async #close(): Promise<void> {
    this.#isStopped = true;
    await untilSettled(this.#engine.open, undefined);
    await this.#engine.close();
    this.#endGauge();
    this.#disown();
  }
}
