import type { PublishOptions as NativePublishOptions } from "@nats-io/nats-core";
import type { Operation } from "../trace/telemetry.ts";
import { checkConcrete, checkSize, concreteName, encodeValue } from "./_address.ts";
import { hasTraceRoom, injectTrace, outgoingHeaders } from "./_outgoing_headers.ts";
import { type CallOptions, checkCall } from "./call_options.ts";
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
    if (!isReady(core)) {
      const { requestTimeoutMs: timeoutMs } = core;
      await core.ready(`publish to ${name}`, { timeoutMs, bytes: name.length + payload.length });
    }
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
  const { reply, headers: given } = options ?? {};
  const bounds = checkCall(core, "publish", options, ["headers", "reply"]);
  const { name, template, payload, contentType } = message;
  const tracing = core.telemetry.tracing && hasTraceRoom(core, payload);
  const headers = outgoingHeaders("publish", contentType, { headers: given, tracing });
  const extra: NativePublishOptions = {};
  if (reply !== undefined) extra.reply = replyName(reply);
  if (headers !== undefined) extra.headers = headers;
  bounds.signal?.throwIfAborted();
  const operation = core.telemetry.begin("publish", {
    destination: name,
    template,
    bodyBytes: payload.length,
  });
  try {
    injectTrace(core, operation, { payload, headers });
    const bytes = payload.length + headerBytes(headers);
    checkSize("publish", bytes, core.maxPayloadBytes);
    if (!isReady(core, bounds)) {
      await core.ready(`publish to ${name}`, { ...bounds, bytes: name.length + bytes });
    }
    core.connection.publish(name, payload, extra);
    operation.end();
  } catch (error) {
    throw failed(operation, error, bounds.signal);
  }
}

function replyName(reply: string | BoundSubject<unknown>): string {
  if (typeof reply === "string") return checkConcrete("ask for replies on", reply);
  return concreteName("ask for replies on", reply);
}

/** The way for the usual case: no promise, and no message for an error that is not there. */
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
