import type { Operation } from "../trace/telemetry.ts";
import type { ClientCore } from "./core.ts";
import { copyHeaders, headerBytes, type MessageHeaders } from "./message_headers.ts";
import type { NatsHeaders } from "./native.ts";

/** The most that a trace context and a content type add to the headers of a message. */
const MAX_TRACE_BYTES = 2_048;

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
  payload: { readonly length: number },
  headers?: NatsHeaders,
): boolean {
  return payload.length + headerBytes(headers) + MAX_TRACE_BYTES <= core.maxPayloadBytes;
}

/** Writes the context of an operation into the headers of its message, if it fits besides. */
export function injectTrace(
  core: ClientCore,
  operation: Operation,
  message: { readonly payload: Uint8Array; readonly headers: NatsHeaders | undefined },
): void {
  const { payload, headers } = message;
  if (headers === undefined || !core.telemetry.tracing) return;
  if (hasTraceRoom(core, payload, headers)) operation.inject(headers);
}
