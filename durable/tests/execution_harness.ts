import { create, fromBinary } from "@bufbuild/protobuf";
import type { Client } from "../../client/client.ts";
import { systemClock } from "../../client/clock.ts";
import { connect } from "../../client/connect.ts";
import { JsflowError } from "../../client/errors.ts";
import { NatsServer } from "../../testing/nats_server.ts";
import { checkStorage, ensureNamespace, type OpenNamespace } from "../ensure_namespace.ts";
import { Namespace } from "../namespace.ts";
import { Execution, type Stop } from "../execution.ts";
import {
  type Entry,
  type Event,
  type Record as JournalRecord,
  RecordSchema,
  StartedSchema,
  StartSchema,
} from "../gen/jsflow/durable/v1/journal_pb.ts";
import { Journal, type Writer } from "../journal.ts";
import { type AppendResult, JournalStore } from "../journal_store.ts";
import { toPayload } from "../payload.ts";
import { type Workflow, workflow, type WorkflowFunction } from "../workflow.ts";
import { entries, entryOf } from "./journal_builder.ts";

/** One server for the tests of a file. */
export class Bench {
  readonly server: NatsServer;
  readonly client: Client;
  readonly space: OpenNamespace;
  #serial = 0;

  private constructor(server: NatsServer, client: Client, space: OpenNamespace) {
    this.server = server;
    this.client = client;
    this.space = space;
  }

  static async open(): Promise<Bench> {
    const server = await NatsServer.start();
    try {
      const client = await connect(server.connectOptions);
      return new Bench(
        server,
        client,
        await ensureNamespace(client, new Namespace("bench"), checkStorage({})),
      );
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.server.close();
  }

  /** An invocation with a journal of its own. */
  case<I>(run: WorkflowFunction<I, unknown>, input?: I): Case {
    const made = workflow<I, unknown>("case", run) as Workflow<unknown, unknown>;
    return new Case(this, made, `case ${++this.#serial}`, input);
  }
}

/** What to do around an append; the append itself is what `next` does. */
export type AppendHook = (
  record: JournalRecord,
  next: () => Promise<AppendResult>,
) => Promise<AppendResult>;

/** A store whose appends can be met half-way. */
class HookedStore extends JournalStore {
  hook: AppendHook | undefined;

  override append(
    subject: string,
    bytes: Uint8Array,
    expected: { readonly recordId: string; readonly lastSeq: number },
  ): Promise<AppendResult> {
    const next = () => super.append(subject, bytes, expected);
    return this.hook ? this.hook(fromBinary(RecordSchema, bytes), next) : next();
  }
}

/** The error of an append of which nobody knows whether it was written. */
export function unknownOutcome(): JsflowError {
  return new JsflowError("timeout", "no answer");
}

/** Settings of one run. */
export interface RunOptions {
  /** Other code for the same invocation. */
  readonly code?: WorkflowFunction<never, unknown> | undefined;
  readonly maxRecordBytes?: number | undefined;
  readonly replayStallMs?: number | undefined;
  readonly hook?: AppendHook | undefined;
}

/** A run that has begun. */
export interface Run {
  readonly execution: Execution;
  readonly writer: Writer;
  readonly journal: Journal;
  readonly stopped: Promise<Stop>;
  /** Ends it as a dying worker would: nothing more is appended. */
  crash(): Promise<void>;
}

/** One invocation, its journal, and as many workers as a test wants. */
export class Case {
  readonly subject: string;
  readonly #bench: Bench;
  readonly #workflow: Workflow<unknown, unknown>;
  readonly #id: string;
  readonly #input: unknown;
  #commands = 0;

  constructor(bench: Bench, made: Workflow<unknown, unknown>, id: string, input: unknown) {
    this.#bench = bench;
    this.#workflow = made;
    this.#id = id;
    this.#input = input;
    this.subject = bench.space.names.journalSubject(made.name, id);
  }

  /** Claims as the next worker and runs the code. */
  async run(options: RunOptions = {}): Promise<Run> {
    const store = this.#newStore();
    const journal = this.#newJournal(store);
    const crashed = new AbortController();
    await journal.load(crashed.signal);
    const writer = await this.#claim(journal);
    store.hook = options.hook;
    const code = options.code ? workflow("case", options.code) : this.#workflow;
    const execution = new Execution({
      workflow: code as Workflow<unknown, unknown>,
      id: this.#id,
      journal,
      writer,
      clock: systemClock,
      random: Math.random,
      maxRecordBytes: options.maxRecordBytes ?? this.#bench.client.maxPayloadBytes - 4_096,
      isFresh: () => true,
      replayStallMs: options.replayStallMs ?? 5_000,
      signal: crashed.signal,
    });
    const stopped = execution.run();
    stopped.catch(() => {});
    const crash = async () => {
      crashed.abort(new Error("crashed"));
      await stopped.catch(() => {});
    };
    return { execution, writer, journal, stopped, crash };
  }

  /** Runs to the stop. */
  async finish(options: RunOptions = {}): Promise<Stop> {
    return await (await this.run(options)).stopped;
  }

  /** Appends entries as somebody who owns nothing. */
  async outsider(...list: readonly Entry[]): Promise<void> {
    await this.as({ epoch: 0, owner: crypto.randomUUID() }, ...list);
  }

  /** Journals an event of an outsider. */
  async event(event: Event): Promise<void> {
    await this.outsider(entries.event(event));
  }

  /** Claims without running anything. */
  async steal(): Promise<void> {
    const journal = this.#newJournal(this.#newStore());
    await journal.load(new AbortController().signal);
    await this.#claim(journal);
  }

  /** Appends entries under a writer's name, after whatever the journal holds now. */
  async as(writer: Writer, ...list: readonly Entry[]): Promise<void> {
    const { signal } = new AbortController();
    const journal = this.#newJournal(this.#newStore());
    for (let written = false; !written;) {
      await journal.load(signal);
      written = await journal.append(list, writer, signal);
    }
  }

  /** Puts bytes into the journal past all rules. */
  async publish(bytes: Uint8Array): Promise<void> {
    await this.#bench.client.jetstream.publish(this.subject, bytes);
  }

  /** Removes the journal. */
  async purge(): Promise<void> {
    const { manager, names } = this.#bench.space;
    await manager.streams.purge(names.journal, { filter: this.subject });
  }

  /** The journal as it is stored, folded by an uninvolved reader. */
  async journal(): Promise<Journal> {
    const journal = this.#newJournal(this.#newStore());
    await journal.load(new AbortController().signal);
    return journal;
  }

  /** The stored records. */
  async records(): Promise<JournalRecord[]> {
    const store = this.#newStore();
    const records: JournalRecord[] = [];
    for (let from = 1;;) {
      const stored = await store.next(this.subject, from);
      if (!stored) return records;
      records.push(fromBinary(RecordSchema, stored.bytes));
      from = stored.seq + 1;
    }
  }

  /** The records in short: `outcome 0, completed`. */
  async story(): Promise<string[]> {
    return (await this.records()).map(({ entries: list }) => list.map(showEntry).join(", "));
  }

  /** How the invocation ended, with its result or the message of its error. */
  async end(): Promise<unknown> {
    const kind = (await this.journal()).state.terminal?.kind;
    if (kind?.case === "completed") {
      return this.#workflow.output.decode(kind.value.output?.data ?? new Uint8Array());
    }
    if (kind?.case === "failed") return `failed: ${kind.value.error?.message}`;
    return kind?.case === "cancelled" ? `cancelled: ${kind.value.reason}` : kind?.case;
  }

  async #claim(journal: Journal): Promise<Writer> {
    const { signal } = new AbortController();
    for (;;) {
      const writer = { epoch: journal.state.epoch + 1, owner: crypto.randomUUID() };
      const list = [entries.claimed(++this.#commands)];
      if (!journal.state.started) list.push(this.#started());
      if (await journal.append(list, writer, signal)) return writer;
    }
  }

  #started(): Entry {
    const input = toPayload(this.#workflow.input, this.#input ?? null);
    const start = create(StartSchema, { input });
    return entryOf({ case: "started", value: create(StartedSchema, { start }) });
  }

  #newStore(): HookedStore {
    return new HookedStore(this.#bench.client, this.#bench.space.names.journal);
  }

  #newJournal(store: JournalStore): Journal {
    const newId = () => crypto.randomUUID();
    return new Journal(this.subject, { store, clock: systemClock, random: Math.random, newId });
  }
}

function showEntry({ kind }: Entry): string {
  switch (kind.case) {
    case "outcome":
      return `${kind.value.result.case === "error" ? "error" : "outcome"} ${kind.value.op?.name}`;
    case "attempted":
      return `attempt ${kind.value.attempt} ${kind.value.op?.name}`;
    case "event":
      return kind.value.kind.case ?? "event";
    default:
      return kind.case ?? "nothing";
  }
}
