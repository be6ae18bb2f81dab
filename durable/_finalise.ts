import { create, toBinary } from "@bufbuild/protobuf";
import type { Client } from "../client/client.ts";
import type { OpenNamespace } from "./ensure_namespace.ts";
import {
  CancelledSchema,
  CompletedSchema,
  ConfirmationSchema,
  type Entry,
  FailedSchema,
  type Outcome,
  OutcomeSchema,
  type Party,
  type Tombstone,
} from "./gen/jsflow/durable/v1/journal_pb.ts";
import type { JournalState } from "./journal_state.ts";
import { statusOf, summarise, writeSummary } from "./summary.ts";

/** Which invocation. */
export interface Target {
  readonly workflow: string;
  readonly id: string;
}

/** Writes the summary of where the invocation stands now. */
export async function publishSummary(
  space: OpenNamespace,
  { workflow, id }: Target,
  state: JournalState,
): Promise<void> {
  const key = space.names.stateKey(workflow, id);
  await writeSummary(space.states, key, summarise(workflow, id, state));
}

/**
 * Makes the end of an invocation known: summary first, then the replies.
 *
 * May be repeated at any time; `also` is a starter that the journal doesn't list.
 */
export async function finalise(
  client: Client,
  space: OpenNamespace,
  target: Target,
  state: JournalState,
  also?: Party,
): Promise<void> {
  await publishSummary(space, target, state);
  const outcome = toOutcome(target, state.terminalSeq, state.terminal);
  if (!outcome) return;
  const reply = toBinary(OutcomeSchema, outcome);
  const inboxes = new Set([...state.parties.values(), ...(also ? [also] : [])].map(inboxOf));
  for (const inbox of inboxes) {
    if (inbox) client.connection.publish(inbox, reply);
  }
}

/** Tells whoever sent a command that the journal holds it. */
export function confirm(client: Client, inbox: string, state: JournalState): void {
  if (!inbox) return;
  const value = create(ConfirmationSchema, {
    journalSeq: BigInt(state.lastSeq),
    status: statusOf(state),
  });
  client.connection.publish(inbox, toBinary(ConfirmationSchema, value));
}

/** How a record's entry ended the invocation; undefined when it is no end. */
export function toOutcome(
  { workflow, id }: Target,
  seq: number,
  end: Entry | undefined,
): Outcome | undefined {
  const result = end && toResult(end.kind);
  return result && create(OutcomeSchema, { workflow, id, journalSeq: BigInt(seq), result });
}

function toResult(kind: Entry["kind"]): Outcome["result"] | undefined {
  switch (kind.case) {
    case "completed":
      return { case: kind.case, value: kind.value };
    case "failed":
      return { case: kind.case, value: kind.value };
    case "cancelled":
      return { case: kind.case, value: kind.value };
    case "tombstone":
      return fromTombstone(kind.value);
  }
}

/** What a purged journal has left of its end. */
function fromTombstone({ status, output, error, reason }: Tombstone): Outcome["result"] {
  switch (status) {
    case "failed":
      return { case: status, value: create(FailedSchema, error ? { error } : {}) };
    case "cancelled":
      return { case: status, value: create(CancelledSchema, { reason }) };
    default:
      return { case: "completed", value: create(CompletedSchema, output ? { output } : {}) };
  }
}

function inboxOf({ kind }: Party): string {
  return kind.case === "inbox" ? kind.value : "";
}
