import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fromBinary } from "@bufbuild/protobuf";
import type { MsgRequest } from "@nats-io/jetstream";
import type { Client } from "../client/mod.ts";
import type { InvocationHandle, JournalEvent } from "../durable/mod.ts";
import { RecordSchema } from "../durable/gen/jsflow/durable/v1/journal_pb.ts";
import { waitUntil } from "../testing/mod.ts";

/** A journal record as the server stores it. */
export interface RawRecord {
  readonly seq: number;
  readonly hex: string;
}

/** Where a journal is; its names are used as they are, so they must need no encoding. */
export interface JournalAddress {
  readonly namespace: string;
  readonly workflow: string;
  readonly id: string;
}

/** Every stored record of an invocation, byte by byte. */
export async function rawJournal(client: Client, address: JournalAddress): Promise<RawRecord[]> {
  const { namespace, workflow, id } = address;
  const subject = `jsflow.${namespace}.journal.${workflow}.${id}`;
  const { streams } = await client.manager();
  const records: RawRecord[] = [];
  for (let seq = 1;; seq = (records.at(-1)?.seq ?? 0) + 1) {
    const query = { seq, next_by_subj: subject } as MsgRequest;
    const message = await streams.getMessage(`JSFLOW_${namespace}_JOURNAL`, query)
      .catch((error) => {
        if (error?.code === 10037) return null;
        throw error;
      });
    if (!message) return records;
    records.push({ seq: message.seq, hex: Buffer.from(message.data).toString("hex") });
  }
}

/** Under which delivery of its command the latest claim was made; undefined when there is none. */
export function claimedDelivery(records: readonly RawRecord[]): number | undefined {
  const claims = records.flatMap(({ hex }) =>
    fromBinary(RecordSchema, Buffer.from(hex, "hex")).entries
  )
    .flatMap(({ kind }) => kind.case === "claimed" ? [kind.value.delivery] : []);
  return claims.at(-1);
}

/** All events of a journal. */
export async function journalEvents(handle: InvocationHandle<unknown>): Promise<JournalEvent[]> {
  const events: JournalEvent[] = [];
  for await (const event of handle.journal()) events.push(event);
  return events;
}

/** Names of the operations with an outcome, in journal order; fails when one was decided twice. */
export function outcomeNames(events: readonly JournalEvent[]): string[] {
  const operations = events.filter(({ type }) => type === "outcome").map(({ operation }) =>
    operation
  );
  const indexes = operations.map((operation) => operation?.index);
  assert.equal(new Set(indexes).size, indexes.length, `decided twice: ${indexes}`);
  return operations.map((operation) => operation?.name ?? "");
}

/** How many events of a type a journal holds. */
export function countEvents(events: readonly JournalEvent[], type: string): number {
  return events.filter((event) => event.type === type).length;
}

/** Waits until every command was acked. */
export async function commandsSettled(client: Client, namespace: string): Promise<void> {
  const { streams } = await client.manager();
  await waitUntil(
    async () => (await streams.info(`JSFLOW_${namespace}_COMMANDS`)).state.messages === 0,
    { what: "all commands are acked", timeoutMs: 20_000 },
  );
}
