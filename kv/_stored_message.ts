import type { MsgHdrs } from "@nats-io/nats-core";
import type { RawEntry } from "./_bucket.ts";
import type { Operation } from "./entry.ts";

/** What says which operation a message stands for; values carry none of it. */
const OPERATION_HEADER = "KV-Operation";
const MARKER_HEADER = "Nats-Marker-Reason";

/** Operations by what is written in these headers. */
const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ["DEL", "delete"],
  ["PURGE", "purge"],
  ["MaxAge", "expire"],
  ["Purge", "purge"],
  ["Remove", "delete"],
]);

/** Which operation a message stands for, by its headers. */
export function operationOf(headers: MsgHdrs | undefined): Operation {
  if (headers === undefined) return "put";
  const said = headers.get(OPERATION_HEADER) || headers.get(MARKER_HEADER);
  return OPERATIONS.get(said) ?? "put";
}

/** A message of a bucket's stream, from whichever request it came. */
export interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  /** RFC 3339 with nanoseconds. */
  readonly timestamp: string;
  readonly data: Uint8Array;
  readonly header: MsgHdrs | undefined;
}

/** The revision that a message is. */
export function toRawEntry(subjectPrefix: string, message: StoredMessage): RawEntry {
  const { header } = message;
  return {
    name: message.subject.slice(subjectPrefix.length),
    revision: message.seq,
    time: new Date(message.timestamp),
    operation: operationOf(header),
    bytes: message.data,
    header: (name) => header?.get(name) || undefined,
  };
}

/** The message within the answer to a direct get; undefined when the answer says that there is none. */
export function readDirect(
  answer: { readonly data: Uint8Array; readonly headers?: MsgHdrs | undefined },
): StoredMessage | undefined {
  const { headers } = answer;
  const subject = headers?.get("Nats-Subject") ?? "";
  const seq = Number(headers?.get("Nats-Sequence"));
  if (headers === undefined || subject === "" || !Number.isSafeInteger(seq)) return undefined;
  const timestamp = headers.get("Nats-Time-Stamp");
  return { subject, seq, timestamp, data: answer.data, header: headers };
}
