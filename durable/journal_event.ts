import { fromBinary } from "@bufbuild/protobuf";
import { JsflowError } from "../client/errors.ts";
import type { FailureInfo } from "./errors.ts";
import { failureInfo } from "./failure.ts";
import {
  type Entry,
  type Payload,
  type Record as JournalRecord,
  RecordSchema,
} from "./gen/jsflow/durable/v1/journal_pb.ts";

/** One entry of an invocation's journal, as people and tools read it. */
export interface JournalEvent {
  /** Stream sequence of the record that holds it. */
  readonly seq: number;
  /** When its writer wrote it, by the writer's clock. */
  readonly time: Date;
  /** Claim that it was written under; 0 for what came from outside. */
  readonly epoch: number;
  /** What happened: `claimed`, `started`, `outcome`, `attempted`, `completed`, `failed`, … */
  readonly type: string;
  /** The operation that it is about. */
  readonly operation?: {
    readonly index: number;
    readonly kind: string;
    readonly name: string;
  } | undefined;
  /** Name of the worker that claimed. */
  readonly worker?: string | undefined;
  /** The value of a step or of the workflow, when it is JSON. */
  readonly value?: unknown;
  /** The error of a failed step or invocation. */
  readonly error?: FailureInfo | undefined;
  /** Attempts made so far. */
  readonly attempts?: number | undefined;
  /** Why it was blocked, cancelled or released. */
  readonly reason?: string | undefined;
}

/**
 * Decodes a stored record into its events.
 *
 * @throws {JsflowError} `journal_corrupt` when it can't be read.
 */
export function toJournalEvents(seq: number, bytes: Uint8Array): JournalEvent[] {
  const record = decodeRecord(seq, bytes);
  return record.entries.map((entry) => toEvent(seq, record, entry));
}

/**
 * Decodes a stored record.
 *
 * @throws {JsflowError} `journal_corrupt` when it can't be read.
 */
export function decodeRecord(seq: number, bytes: Uint8Array): JournalRecord {
  try {
    return fromBinary(RecordSchema, bytes);
  } catch (cause) {
    throw new JsflowError("journal_corrupt", `cannot read journal record ${seq}`, { cause });
  }
}

function toEvent(seq: number, record: JournalRecord, { kind }: Entry): JournalEvent {
  const base = {
    seq,
    time: new Date(Number(record.atMs)),
    epoch: Number(record.epoch),
    type: kind.case ?? "unknown",
  };
  switch (kind.case) {
    case "claimed":
      return { ...base, worker: kind.value.worker };
    case "started":
      return { ...base, value: showPayload(kind.value.start?.input) };
    case "attempted": {
      const { op, error, attempt } = kind.value;
      return { ...base, ...showOp(op), error: failureInfo(error), attempts: attempt };
    }
    case "outcome": {
      const { op, result, attempts } = kind.value;
      const shown = result.case === "error"
        ? { error: failureInfo(result.value) }
        : { value: showPayload(result.value) };
      return { ...base, ...showOp(op), ...shown, attempts };
    }
    case "completed":
      return { ...base, value: showPayload(kind.value.output) };
    case "failed":
      return { ...base, error: failureInfo(kind.value.error) };
    case "event":
      return { ...base, type: kind.value.kind.case ?? "event" };
    case "blocked":
      return { ...base, ...showOp(kind.value.expected), reason: kind.value.reason };
    case "cancelled":
    case "released":
      return { ...base, reason: kind.value.reason };
    default:
      return base;
  }
}

function showOp(op: JournalEvent["operation"]): Pick<JournalEvent, "operation"> {
  return op ? { operation: { index: op.index, kind: op.kind, name: op.name } } : {};
}

/** JSON is shown as its value, anything else as its size: the codec is not known here. */
function showPayload(payload: Payload | undefined): unknown {
  if (!payload || payload.data.byteLength === 0) return undefined;
  if (payload.contentType !== "application/json") {
    return `${payload.data.byteLength} bytes of ${payload.contentType}`;
  }
  try {
    return JSON.parse(new TextDecoder().decode(payload.data));
  } catch {
    return `${payload.data.byteLength} bytes that are not JSON`;
  }
}
