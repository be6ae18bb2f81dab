import { headers as nativeHeaders, MsgHdrsImpl } from "@nats-io/nats-core";
import type { HeaderCarrier, Operation } from "../trace/telemetry.ts";
import { hasTraceRoom } from "./_outgoing_headers.ts";
import type { ClientCore } from "./core.ts";
import type { NatsHeaders } from "./native.ts";

/**
 * Makes the headers of a message that has none but its content type and the context of its
 * operation; undefined when contexts do not travel, or not with a message of that size.
 *
 * They are made of a record, since the native `set` looks up and canonicalizes each name: 0.1 µs
 * instead of 0.8 for two of them, where the whole of an untraced publish takes one.
 */
export function traceHeaders(
  core: ClientCore,
  operation: Operation,
  { payload, contentType }: { readonly payload: Uint8Array; readonly contentType: string },
): NatsHeaders | undefined {
  // No unit of UTF-16 has more than three bytes.
  const length = payload.length + 3 * contentType.length;
  if (!core.telemetry.tracing || !hasTraceRoom(core, { length })) return undefined;
  const fresh = new FreshHeaders(safeContentType(contentType));
  operation.inject(fresh);
  return MsgHdrsImpl.fromRecord(fresh.record);
}

/** Headers that are written once, each name at most once. */
class FreshHeaders implements HeaderCarrier {
  readonly record: Record<string, string[]>;

  constructor(contentType: string) {
    this.record = { "Content-Type": [contentType] };
  }

  get(name: string): string | undefined {
    return this.record[name]?.[0];
  }

  /** What a propagator writes must not begin another header. */
  set(name: string, value: string): void {
    if (!/[\r\n:]/.test(name) && !/[\r\n]/.test(value)) this.record[name] = [value];
  }

  /** Nothing of another trace is there. */
  keys(): string[] {
    return [];
  }
}

let checked = "";
let checkedValue = "";

/** Of a codec that somebody wrote: it must not add headers of its own. Most programs use one. */
function safeContentType(contentType: string): string {
  if (contentType !== checked) {
    const headers = nativeHeaders();
    headers.set("Content-Type", contentType);
    [checked, checkedValue] = [contentType, headers.get("Content-Type")];
  }
  return checkedValue;
}
