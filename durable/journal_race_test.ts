import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Client } from "../client/client.ts";
import { systemClock } from "../client/clock.ts";
import { connect } from "../client/connect.ts";
import { NatsCluster } from "../testing/nats_cluster.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { checkStorage, ensureNamespace, type OpenNamespace } from "./ensure_namespace.ts";
import { Namespace } from "./namespace.ts";
import { entry } from "./_entries.ts";
import { type Entry, EventSchema, SignalSchema } from "./gen/jsflow/durable/v1/journal_pb.ts";
import { Journal } from "./journal.ts";
import { JournalStore } from "./journal_store.ts";

const WRITERS = 6;
const ROUNDS = process.env["JSFLOW_FAULTS"] === "soak" ? 2_000 : 150;
/** Rounds on one subject: the first of them races for a fresh one. */
const DEPTH = 25;

const never = new AbortController().signal;

function signal(id: string): Entry {
  const value = create(SignalSchema, { name: "race" });
  const event = create(EventSchema, { id, kind: { case: "signal", value } });
  return entry({ case: "event", value: event });
}

function openJournal(client: Client, space: OpenNamespace, id: string): Journal {
  return new Journal(space.names.journalSubject("race", id), {
    store: new JournalStore(client, space.names.journal),
    clock: systemClock,
    random: Math.random,
    newId: () => crypto.randomUUID(),
  });
}

/** Lets all writers append at once, on what all of them have read; returns who has won. */
async function raceOnce(journals: readonly Journal[], round: number): Promise<number[]> {
  await Promise.all(journals.map((journal) => journal.load(never)));
  assert.equal(new Set(journals.map(({ state }) => state.lastSeq)).size, 1);
  const won = await Promise.all(journals.map((journal, writer) => {
    const owner = crypto.randomUUID();
    return journal.append([signal(`${round}/${writer}`)], { epoch: 0, owner }, never);
  }));
  return won.flatMap((isWinner, writer) => isWinner ? [writer] : []);
}

async function race(clients: readonly Client[], replicas: number): Promise<void> {
  const space = await ensureNamespace(
    clients[0]!,
    new Namespace("race"),
    checkStorage({ replicas }),
  );
  let journals: Journal[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    if (round % DEPTH === 0) {
      journals = clients.map((client) => openJournal(client, space, `o-${round}`));
    }
    const winners = await raceOnce(journals, round);
    assert.equal(winners.length, 1, `round ${round} was won by ${winners}`);
  }
  const { streams } = space.manager;
  assert.equal((await streams.info(space.names.journal)).state.messages, ROUNDS);
  for (const { state } of journals) assert.equal(state.fault, undefined);
}

async function withWriters(urls: readonly string[], work: (clients: Client[]) => Promise<void>) {
  const clients: Client[] = [];
  try {
    for (let writer = 0; writer < WRITERS; writer++) {
      clients.push(await connect({ servers: urls[writer % urls.length]! }));
    }
    await work(clients);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

test("of six writers that append at once, one wins, on one server", async () => {
  const server = await NatsServer.start();
  try {
    await withWriters([server.url], (clients) => race(clients, 1));
  } finally {
    await server.close();
  }
});

test("of six writers that append at once, one wins, on three nodes", async (context) => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    await withWriters(cluster.urls, async (clients) => {
      if (!clients[0]!.server.supports("replicated_cas")) {
        return context.skip("this server lets two writers win, so the engine refuses replicas");
      }
      await race(clients, 3);
    });
  } finally {
    await cluster.close();
  }
});
