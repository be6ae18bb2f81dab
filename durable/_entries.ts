import { create } from "@bufbuild/protobuf";
import {
  BlockedSchema,
  CancelledSchema,
  ClaimedSchema,
  CompletedSchema,
  type Entry,
  EntrySchema,
  FailedSchema,
  type Failure,
  OperationSchema,
  ParkedSchema,
  type Payload,
  ReleasedSchema,
  SuspendedSchema,
} from "./gen/jsflow/durable/v1/journal_pb.ts";
import type { DeliveredCommand } from "./decide.ts";
import type { Mismatch } from "./_replay.ts";

/** Wraps one kind of entry. */
export function entry(kind: Entry["kind"]): Entry {
  return create(EntrySchema, { kind });
}

export function claimed(
  { seq, delivery = 0 }: DeliveredCommand,
  worker: string,
  takeovers: number,
): Entry {
  const value = create(ClaimedSchema, { commandSeq: BigInt(seq), worker, takeovers, delivery });
  return entry({ case: "claimed", value });
}

export function completed(output: Payload): Entry {
  return entry({ case: "completed", value: create(CompletedSchema, { output }) });
}

export function failed(error: Failure): Entry {
  return entry({ case: "failed", value: create(FailedSchema, { error }) });
}

export function cancelled(reason: string): Entry {
  return entry({ case: "cancelled", value: create(CancelledSchema, { reason }) });
}

export function suspended(): Entry {
  return entry({ case: "suspended", value: create(SuspendedSchema) });
}

export function released(reason: string): Entry {
  return entry({ case: "released", value: create(ReleasedSchema, { reason }) });
}

export function parked(takeovers: number): Entry {
  return entry({ case: "parked", value: create(ParkedSchema, { takeovers }) });
}

export function blocked({ reason, expected, actual }: Mismatch): Entry {
  const value = create(BlockedSchema, {
    reason,
    ...(expected && { expected }),
    ...(actual && { actual: create(OperationSchema, actual) }),
  });
  return entry({ case: "blocked", value });
}
