import type { PublishOptions as NativePublishOptions } from "@nats-io/nats-core";
import type { Operation } from "../trace/telemetry.ts";
import { checkConcrete, checkSize, concreteName, encodeValue } from "./_address.ts";
import type { ClientCore } from "./core.ts";
import { copyHeaders, headerBytes, type MessageHeaders } from "./message_headers.ts";
import type { NatsHeaders } from "./native.ts";
import type { BoundSubject } from "./subject.ts";
import { translateError } from "./translate_error.ts";
import { checkDurationMs, checkOptions, checkSignal } from "./validate.ts";

/** The most that a trace context and a content type add to the headers of a message. */
const MAX_TRACE_BYTES = 2_048;

/** How a message is published. */
export interface PublishOptions {
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
  /** Where replies are to go: a subject, or its name. @default nowhere */
  readonly reply?: string | BoundSubject<unknown> | undefined;
  /** Gives up waiting for the connection, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds to wait for the connection, when it is down. @default the client's requestTimeoutMs */
  readonly timeoutMs?: number | undefined;
}

interface Outgoing {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
}

/** As `Messaging.publish` says. */
export async function publish<T>(
  core: ClientCore,
  subject: BoundSubject<T>,
  value: T,
  options?: PublishOptions,
): Promise<void> {
  const name = concreteName("publish to", subject);
  const { codec } = subject;
  const payload = encodeValue("publish", codec, value);
  const { telemetry } = core;
  if (options !== undefined || telemetry.tracing) {
    return await publishWith(core, { name, payload, contentType: codec.contentType }, options);
  }
  const operation = telemetry.begin("publish", { destination: name, bodyBytes: payload.length });
  try {
    checkSize("publish", payload.length, core.maxPayloadBytes);
    if (!isReady(core)) await waitReady(core, name, { bytes: payload.length });
    core.connection.publish(name, payload);
    operation.end();
  } catch (error) {
    throw failed(operation, error);
  }
}

async function publishWith(
  core: ClientCore,
  message: Outgoing,
  options: PublishOptions | undefined,
): Promise<void> {
  const { reply, headers: given, signal, timeoutMs } = checkPublishOptions(options);
  const { name, payload, contentType } = message;
  const tracing = core.telemetry.tracing && hasTraceRoom(core, payload);
  const headers = outgoingHeaders("publish", contentType, { headers: given, tracing });
  const extra: NativePublishOptions = {};
  if (reply !== undefined) extra.reply = replyName(reply);
  if (headers !== undefined) extra.headers = headers;
  signal?.throwIfAborted();
  const operation = core.telemetry.begin("publish", {
    destination: name,
    bodyBytes: payload.length,
  });
  try {
    if (headers !== undefined && tracing && hasTraceRoom(core, payload, headers)) {
      operation.inject(headers);
    }
    const bytes = payload.length + headerBytes(headers);
    checkSize("publish", bytes, core.maxPayloadBytes);
    if (!isReady(core)) await waitReady(core, name, { signal, timeoutMs, bytes });
    core.connection.publish(name, payload, extra);
    operation.end();
  } catch (error) {
    throw failed(operation, error, signal);
  }
}

/**
 * Makes the headers of an outgoing message: the user's, with the content type, or fresh ones for a
 * trace context, or none at all.
 */
export function outgoingHeaders(
  what: string,
  contentType: string,
  options: { readonly headers: MessageHeaders | undefined; readonly tracing: boolean },
): NatsHeaders | undefined {
  const { headers, tracing } = options;
  if (headers === undefined && !tracing) return undefined;
  const copy = copyHeaders(`${what}: headers`, headers);
  if (!copy.keys().some((name) => name.toLowerCase() === "content-type")) {
    copy.set("Content-Type", contentType);
  }
  return copy;
}

/** Whether a trace context fits besides: a message that just fits goes without one. */
export function hasTraceRoom(
  core: ClientCore,
  payload: Uint8Array,
  headers?: NatsHeaders,
): boolean {
  return payload.length + headerBytes(headers) + MAX_TRACE_BYTES <= core.maxPayloadBytes;
}

function checkPublishOptions(options: PublishOptions | undefined): PublishOptions {
  const known = checkOptions("publish", options, ["headers", "reply", "signal", "timeoutMs"]);
  checkSignal("publish: signal", known.signal);
  if (known.timeoutMs !== undefined) {
    checkDurationMs("publish: timeoutMs", known.timeoutMs, { min: 1 });
  }
  return known;
}

function replyName(reply: string | BoundSubject<unknown>): string {
  if (typeof reply === "string") return checkConcrete("ask for replies on", reply);
  return concreteName("ask for replies on", reply);
}

/** The way for the usual case: no promise, and no message for an error that is not there. */
function isReady(core: ClientCore): boolean {
  try {
    core.check("publish");
    return true;
  } catch {
    return false; // `ready` waits, or throws the same with the whole story
  }
}

async function waitReady(
  core: ClientCore,
  name: string,
  options: PublishOptions & { readonly bytes: number },
): Promise<void> {
  await core.ready(`publish to ${name}`, {
    signal: options.signal,
    timeoutMs: options.timeoutMs ?? core.requestTimeoutMs,
    bytes: options.bytes + name.length,
  });
}

/** A custom abort reason cannot be told from a failure, and is passed on as it is. */
function failed(operation: Operation, error: unknown, signal?: AbortSignal): unknown {
  const isReason = signal?.aborted === true && error === signal.reason;
  const told = isReason ? error : translateError(error, "publish");
  operation.end(told);
  return told;
}
