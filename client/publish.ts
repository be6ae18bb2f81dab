import type { PublishOptions as NativePublishOptions } from "@nats-io/nats-core";
import type { Operation } from "../trace/telemetry.ts";
import { checkConcrete, checkSize, concreteName, encodeValue } from "./_address.ts";
import { hasTraceRoom, injectTrace, outgoingHeaders } from "./_outgoing_headers.ts";
import { traceHeaders } from "./_trace_headers.ts";
import { type CallBounds, type CallOptions, checkCall } from "./call_options.ts";
import type { ClientCore } from "./core.ts";
import { isReason } from "./deadline.ts";
import { headerBytes, type MessageHeaders } from "./message_headers.ts";
import type { BoundSubject } from "./subject.ts";
import { translateError } from "./translate_error.ts";

/**
 * How a message is published. Its bounds are those of the wait for the connection when that is down,
 * and for a server that does not keep up.
 */
export interface PublishOptions extends CallOptions {
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
  /** Where replies are to go: a subject, or its name. @default nowhere */
  readonly reply?: string | BoundSubject<unknown> | undefined;
}

/** A message on its way to the connection. */
interface Outgoing {
  readonly name: string;
  readonly payload: Uint8Array;
  /** Headers and the address for replies. */
  readonly extra: NativePublishOptions | undefined;
  readonly bounds: CallBounds | undefined;
}

/** A message as its caller gave it, checked and encoded. */
interface Given {
  readonly name: string;
  readonly template: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
}

/** What all get that had nothing to wait for: a promise for each of them took 8 % longer. */
const SENT: Promise<void> = Promise.resolve();

/** As `Messaging.publish` says. */
export function publish<T>(
  core: ClientCore,
  subject: BoundSubject<T>,
  value: T,
  options?: PublishOptions,
): Promise<void> {
  // No async function, see SENT.
  try {
    const name = concreteName("publish to", subject);
    const { codec, template } = subject;
    const payload = encodeValue("publish", codec, value);
    const given = { name, template, payload, contentType: codec.contentType };
    return options === undefined ? publishPlain(core, given) : publishWith(core, given, options);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The usual case. */
function publishPlain(core: ClientCore, given: Given): Promise<void> {
  const { name, payload } = given;
  const operation = begin(core, given);
  try {
    checkSize("publish", payload.length, core.maxPayloadBytes);
    const headers = traceHeaders(core, operation, given);
    const extra = headers === undefined ? undefined : { headers };
    return send(core, operation, { name, payload, extra, bounds: undefined });
  } catch (error) {
    throw failed(operation, error);
  }
}

function publishWith(core: ClientCore, given: Given, options: PublishOptions): Promise<void> {
  const bounds = checkCall(core, "publish", options, ["headers", "reply"]);
  const { name, payload, contentType } = given;
  const tracing = core.telemetry.tracing && hasTraceRoom(core, payload);
  const headers = outgoingHeaders("publish", contentType, { headers: options.headers, tracing });
  const extra: NativePublishOptions = {};
  if (options.reply !== undefined) extra.reply = replyName(options.reply);
  if (headers !== undefined) extra.headers = headers;
  bounds.signal?.throwIfAborted();
  const operation = begin(core, given);
  try {
    injectTrace(core, operation, { payload, headers });
    checkSize("publish", payload.length + headerBytes(headers), core.maxPayloadBytes);
    return send(core, operation, { name, payload, extra, bounds });
  } catch (error) {
    throw failed(operation, error, bounds.signal);
  }
}

function begin(core: ClientCore, { name, template, payload }: Given): Operation {
  return core.telemetry.begin("publish", {
    destination: name,
    template,
    bodyBytes: payload.length,
  });
}

function send(core: ClientCore, operation: Operation, message: Outgoing): Promise<void> {
  const { name, payload, extra, bounds } = message;
  if (!core.isClear && !isReady(core, bounds)) return sendLater(core, operation, message);
  core.connection.publish(name, payload, extra);
  operation.end();
  return SENT;
}

/** Sends it once the connection is there, and the server takes more. */
async function sendLater(
  core: ClientCore,
  operation: Operation,
  { name, payload, extra, bounds }: Outgoing,
): Promise<void> {
  const { timeoutMs } = bounds ?? { timeoutMs: core.requestTimeoutMs };
  const bytes = name.length + payload.length + headerBytes(extra?.headers);
  try {
    await core.ready(`publish to ${name}`, { ...bounds, timeoutMs, bytes });
    core.connection.publish(name, payload, extra);
    operation.end();
  } catch (error) {
    throw failed(operation, error, bounds?.signal);
  }
}

function replyName(reply: string | BoundSubject<unknown>): string {
  if (typeof reply === "string") return checkConcrete("ask for replies on", reply);
  return concreteName("ask for replies on", reply);
}

/** No message for an error that nobody sees. */
function isReady(core: ClientCore, options?: CallOptions): boolean {
  try {
    core.check("publish", options);
    return true;
  } catch {
    return false; // `ready` waits, or throws the same with the whole story
  }
}

/** A custom abort reason cannot be told from a failure, and is passed on as it is. */
function failed(operation: Operation, error: unknown, signal?: AbortSignal): unknown {
  const told = isReason(error, signal) ? error : translateError(error, "publish");
  operation.end(told);
  return told;
}
