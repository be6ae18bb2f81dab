import { checkSize, concreteName, encodeValue } from "./_address.ts";
import { hasTraceRoom, outgoingHeaders } from "./_outgoing_headers.ts";
import { serverOf } from "./_stream_api.ts";
import type { StreamAutoCreate } from "./auto_create.ts";
import { CALL_KEYS, type CallBounds, callBounds, type CallOptions } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import { headerBytes, type MessageHeaders } from "./message_headers.ts";
import type { NatsHeaders } from "./native.ts";
import { type RetryPolicy, validateRetryPolicy } from "./retry_policy.ts";
import { checkStreamName } from "./stream_name.ts";
import type { BoundSubject } from "./subject.ts";
import { checkDurationMs, checkInteger, checkOptions, checkString, describe } from "./validate.ts";

/** What must hold for a stream to take a message; else it refuses with `sequence_conflict`. */
export interface PublishExpectations {
  /** The stream that must capture the subject. */
  readonly stream?: string | undefined;
  /** The id of the stream's last message. */
  readonly lastId?: string | undefined;
  /** The sequence of the stream's last message, deleted or not; 0 if it never stored anything. */
  readonly lastSequence?: number | undefined;
  /**
   * The sequence of the subject's last message; 0 when it must have none.
   *
   * On a stream with several replicas a server below 2.11 checks it before the replicas agree: of
   * two publishers at once both may succeed. `serverCapabilities` tells as `replicated_cas`.
   * While such a stream changes its leader, the one that was replaced may refuse what its successor
   * stores: read the subject's last message before the refusal is believed, as stores do.
   */
  readonly lastSubjectSequence?: number | undefined;
}

/**
 * How one message is published, by a call or a publisher. Each attempt has its `timeoutMs` for the
 * ack; a message that is given up may be stored all the same.
 */
export interface StreamMessageOptions extends CallOptions {
  /**
   * Identity of the message: within the stream's duplicate window a second one of the same id is
   * dropped and acknowledged as a duplicate. Without whitespace at its ends, and without CR, LF and
   * NUL.
   * @default none
   */
  readonly id?: string | undefined;
  /** What must hold for the stream to take it. @default nothing */
  readonly expect?: PublishExpectations | undefined;
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Milliseconds after which the stream drops this one message, at least 1,000 and rounded up to
   * seconds. Needs nats-server 2.11 and a stream with `allowMessageTtl`.
   * @default as long as the stream keeps messages
   */
  readonly ttlMs?: number | undefined;
  /**
   * Tries again when no ack came in time, the connection is lost or JetStream is not available.
   * Only together with an `id`, without which a second attempt could store the message twice.
   * @default one attempt
   */
  readonly retry?: RetryPolicy | undefined;
}

/** The names of the options above. */
export const MESSAGE_KEYS: readonly (keyof StreamMessageOptions)[] = [
  ...CALL_KEYS,
  "id",
  "expect",
  "headers",
  "ttlMs",
  "retry",
];

/** A message that is ready to be sent. */
export interface Publication {
  /** The bounds of one attempt, and of every look at the server for it. */
  readonly bounds: CallBounds;
  /** The subject. */
  readonly name: string;
  readonly template: string;
  readonly payload: Uint8Array;
  readonly headers: NatsHeaders | undefined;
  /** Payload, headers and subject. */
  readonly bytes: number;
  readonly id: string | undefined;
  readonly stream: string | undefined;
  readonly retry: RetryPolicy | undefined;
}

/** What a publication is made of. */
export interface PublicationSource<T> {
  readonly subject: BoundSubject<T>;
  readonly value: T;
  /** Checked for unknown keys already. */
  readonly options: StreamMessageOptions | undefined;
  /** Used when the options have none. */
  readonly timeoutMs: number;
  /** Retries of messages with an id whose options have none. */
  readonly retry?: RetryPolicy | undefined;
  /** Whether the stream is created when it is missing. */
  readonly autoCreate?: true | StreamAutoCreate | undefined;
}

/**
 * Checks and encodes a message, before any I/O.
 *
 * @throws {TypeError | RangeError} for a subject, value, header or option that makes no sense.
 * @throws {JsflowError} `encode_failed`, `invalid_payload`, `payload_too_large`, or `unsupported`
 * when the server knows no lifetime of messages.
 */
export function checkPublication<T>(
  core: ClientCore,
  what: string,
  source: PublicationSource<T>,
): Publication {
  const { subject, options } = source;
  const name = concreteName("publish to", subject);
  const { codec } = subject;
  const payload = encodeValue(what, codec, source.value);
  const tracing = core.telemetry.tracing && hasTraceRoom(core, payload);
  const given = options?.headers;
  let headers = outgoingHeaders(what, codec.contentType, { headers: given, tracing });
  if (options !== undefined) {
    const reserved = reservedHeaders(core, what, options);
    if (reserved.length > 0) {
      headers ??= outgoingHeaders(what, codec.contentType, { headers: {}, tracing });
    }
    for (const [key, text] of reserved) headers?.set(key, text);
  }
  const length = payload.length + headerBytes(headers);
  checkSize(what, length, core.maxPayloadBytes);
  return {
    name,
    template: subject.template,
    payload,
    headers,
    bytes: name.length + length,
    id: options?.id,
    stream: options?.expect?.stream,
    bounds: callBounds(what, options, source.timeoutMs),
    retry: retryOf(what, options) ?? (options?.id === undefined ? undefined : source.retry),
  };
}

function retryOf(what: string, options: StreamMessageOptions | undefined): RetryPolicy | undefined {
  if (options?.retry === undefined) return undefined;
  validateRetryPolicy(`${what}: retry`, options.retry);
  if (options.id !== undefined) return options.retry;
  throw new TypeError(
    `${what}: retry needs an id, without which a second attempt could store the message twice`,
  );
}

/** The headers that carry options. */
function reservedHeaders(
  core: ClientCore,
  what: string,
  options: StreamMessageOptions,
): [string, string][] {
  const { id, expect, ttlMs } = options;
  const headers: [string, string][] = [];
  if (id !== undefined) headers.push(["Nats-Msg-Id", checkId(`${what}: id`, id)]);
  if (expect !== undefined) headers.push(...expectationHeaders(`${what}: expect`, expect));
  if (ttlMs !== undefined) {
    // The server counts whole seconds.
    const max = 100 * 365 * 86_400_000;
    const seconds = checkDurationMs(`${what}: ttlMs`, ttlMs, { min: 1_000, max }) / 1_000;
    serverOf(core).require("message_ttl");
    headers.push(["Nats-TTL", `${Math.ceil(seconds)}s`]);
  }
  return headers;
}

function expectationHeaders(what: string, expect: PublishExpectations): [string, string][] {
  const { stream, lastId, lastSequence, lastSubjectSequence } = checkOptions(what, expect, [
    "stream",
    "lastId",
    "lastSequence",
    "lastSubjectSequence",
  ]);
  const headers: [string, string][] = [];
  if (stream !== undefined) {
    headers.push(["Nats-Expected-Stream", checkStreamName(`${what}.stream`, stream)]);
  }
  if (lastId !== undefined) {
    headers.push(["Nats-Expected-Last-Msg-Id", checkId(`${what}.lastId`, lastId)]);
  }
  if (lastSequence !== undefined) {
    const sequence = checkInteger(`${what}.lastSequence`, lastSequence);
    headers.push(["Nats-Expected-Last-Sequence", String(sequence)]);
  }
  if (lastSubjectSequence !== undefined) {
    const sequence = checkInteger(`${what}.lastSubjectSequence`, lastSubjectSequence);
    headers.push(["Nats-Expected-Last-Subject-Sequence", String(sequence)]);
  }
  return headers;
}

const MAX_ID_LENGTH = 4_096;

/** Headers lose whitespace at their ends: ids that differ only there would be the same. */
function checkId(name: string, value: unknown): string {
  const id = checkString(name, value, { maxLength: MAX_ID_LENGTH });
  if (id === id.trim() && !/[\r\n\0]/.test(id) && id.isWellFormed()) return id;
  throw new TypeError(
    `${name} must not have whitespace at its ends, CR, LF, NUL or a lone surrogate, got ` +
      describe(id),
  );
}
