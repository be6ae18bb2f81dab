import type { PublishOptions as NativePublishOptions } from "@nats-io/nats-core";
import type { Operation } from "../trace/telemetry.ts";
import { checkConcrete, checkSize, concreteName, encodeValue } from "./_address.ts";
import { hasTraceRoom, injectTrace, outgoingHeaders } from "./_outgoing_headers.ts";
import type { ClientCore } from "./core.ts";
import { headerBytes, type MessageHeaders } from "./message_headers.ts";
import type { BoundSubject } from "./subject.ts";
import { translateError } from "./translate_error.ts";
import { checkDurationMs, checkOptions, checkSignal } from "./validate.ts";

/** How a message is published. */
export interface PublishOptions {
  /** Headers to send along; they are copied. @default none */
  readonly headers?: MessageHeaders | undefined;
  /** Where replies are to go: a subject, or its name. @default nowhere */
  readonly reply?: string | BoundSubject<unknown> | undefined;
  /** Gives up waiting, for the connection or for a slow server, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds to wait for the connection when it is down, and for a server that does not keep up.
   * @default the client's requestTimeoutMs
   */
  readonly timeoutMs?: number | undefined;
}

interface Outgoing {
  readonly name: string;
  readonly template: string;
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
    const { template } = subject;
    const message = { name, template, payload, contentType: codec.contentType };
    return await publishWith(core, message, options);
  }
  const operation = telemetry.begin("publish", {
    destination: name,
    template: subject.template,
    bodyBytes: payload.length,
  });
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
  const { name, template, payload, contentType } = message;
  const tracing = core.telemetry.tracing && hasTraceRoom(core, payload);
  const headers = outgoingHeaders("publish", contentType, { headers: given, tracing });
  const extra: NativePublishOptions = {};
  if (reply !== undefined) extra.reply = replyName(reply);
  if (headers !== undefined) extra.headers = headers;
  signal?.throwIfAborted();
  const operation = core.telemetry.begin("publish", {
    destination: name,
    template,
    bodyBytes: payload.length,
  });
  try {
    injectTrace(core, operation, { payload, headers });
    const bytes = payload.length + headerBytes(headers);
    checkSize("publish", bytes, core.maxPayloadBytes);
    if (!isReady(core)) await waitReady(core, name, { signal, timeoutMs, bytes });
    core.connection.publish(name, payload, extra);
    operation.end();
  } catch (error) {
    throw failed(operation, error, signal);
  }
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
