import assert from "node:assert/strict";
import { test } from "node:test";
import { Kvm } from "@nats-io/kv";
import type { Client } from "../client/client.ts";
import type { ConnectOptions } from "../client/connect_options.ts";
import { isJsflowError } from "../client/errors.ts";
import { json } from "../client/json.ts";
import { withClient, withProxy, withServer } from "../client/testdata/server_ground.ts";
import { RevisionConflictError } from "../kv/errors.ts";
import { openStore } from "../kv/open_store.ts";
import type { Store } from "../kv/store.ts";
import type { FaultProxy } from "../testing/fault_proxy.ts";
import type { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { faultCount } from "./_fault_count.ts";
import { seededRandom } from "./seeded_random.ts";

const ROUNDS = faultCount({ ci: 8, soak: 400 });
/** Long for what is slow here, and short enough for what is in vain. */
const TIMEOUT_MS = 8_000;
/** A dead peer is not noticed within a test: only writes that ask again get on. */
const PATIENT: ConnectOptions = {
  breaker: false,
  pingIntervalMs: 60_000,
  reconnect: { initialMs: 20, maxMs: 50 },
};

interface Ground {
  readonly server: NatsServer;
  readonly proxy: FaultProxy;
  readonly client: Client;
  /** Behind the proxy. */
  readonly store: Store<unknown>;
  /** Not behind it. */
  readonly other: Store<unknown>;
  readonly otherClient: Client;
}

function open(client: Client, history: number): Promise<Store<unknown>> {
  const timeoutMs = TIMEOUT_MS;
  return openStore(client, { bucket: "b", codec: json<unknown>(), history, timeoutMs });
}

async function withFaults(history: number, use: (ground: Ground) => Promise<void>): Promise<void> {
  await withServer({}, async (server) => {
    await withProxy({ target: { port: server.port } }, async (proxy) => {
      await withClient({ ...PATIENT, servers: proxy.url }, async (client) => {
        // Its calls wait until it is back after a restart.
        const waiting = { ...PATIENT, servers: server.url, offline: {} };
        await withClient(waiting, async (otherClient) => {
          const store = await open(client, history);
          const other = await open(otherClient, history);
          await use({ server, proxy, client, store, other, otherClient });
        });
      }, { graceMs: 0 });
    });
  });
}

/** A write that loses its answer, or its request, just before it is sent. */
type Write = (
  store: Store<unknown>,
  at: { revision: number; lose: () => void },
) => Promise<unknown>;

const losing =
  (send: (store: Store<unknown>, revision: number) => Promise<unknown>): Write =>
  async (store, { revision, lose }) => {
    lose();
    return await send(store, revision);
  };

const WRITES: Readonly<Record<string, Write>> = {
  put: losing((store) => store.put("k", "mine")),
  updateAt: losing((store, revision) => store.updateAt("k", "mine", { revision })),
  delete: losing((store) => store.delete("k")),
  "delete at a revision": losing((store, revision) => store.delete("k", { revision })),
  // These read first.
  update: async (store, { lose }) =>
    (await store.update("k", () => {
      lose();
      return "mine";
    })).revision,
  create: losing((store) => store.create("new", "mine")),
};

/** Waits until the other client sees a revision of the key after this one. */
async function untilAfter(other: Store<unknown>, revision: number, key = "k"): Promise<void> {
  const hasCome = async () => ((await other.entry(key))?.revision ?? 0) > revision;
  await waitUntil(hasCome, { what: "the write arrives" });
}

for (const [name, write] of Object.entries(WRITES)) {
  test(`a write whose answer is lost is stored once (${name})`, async () => {
    await withFaults(20, async ({ proxy, store, other }) => {
      const first = await store.put("k", "old");
      const key = name === "create" ? "new" : "k";
      const lose = () => proxy.drop({ direction: "toClient" });
      const writing = write(store, { revision: first, lose });
      await untilAfter(other, first, key);
      proxy.heal();
      const written = await writing;
      const last = await other.entry(key);
      assert.equal(last?.revision, first + 1, "one revision more");
      if (typeof written === "number") assert.equal(written, first + 1);
    });
  });
}

for (const name of ["updateAt", "update", "put"] as const) {
  test(`a write that was replaced before its answer came is no failure (${name})`, async () => {
    await withFaults(1, async ({ server, proxy, store, other }) => {
      const first = await store.put("k", "old");
      const lose = () => proxy.drop({ direction: "toClient" });
      const writing = WRITES[name]!(store, { revision: first, lose });
      await untilAfter(other, first);
      await other.update("k", (value) => `${value} and theirs`);
      await other.update("k", (value) => `${value} twice`);
      await server.restart(); // which makes it forget the ids of what was replaced
      proxy.heal();
      assert.equal(await writing, first + 1);
      assert.equal(await other.get("k"), "mine and theirs twice");
    });
  });
}

test("a write that never arrived, and that another one came before, has met a conflict", async () => {
  await withFaults(1, async ({ client, proxy, store, other }) => {
    const first = await store.put("k", "old");
    proxy.drop({ direction: "toTarget" });
    const writing = store.updateAt("k", "mine", { revision: first });
    await other.update("k", (value) => `${value} and theirs`);
    proxy.heal();
    await assert.rejects(writing, (error) => {
      assert.ok(error instanceof RevisionConflictError);
      return error.expected === first;
    });
    assert.equal(await other.get("k"), "old and theirs");
    await client.waitForConnection();
    const sent = Promise.withResolvers<void>();
    const updating = store.update("k", (value, { attempt }) => {
      if (attempt === 1) proxy.drop({ direction: "toTarget" });
      sent.resolve();
      return `${value} and mine`;
    });
    await sent.promise;
    await other.update("k", (value) => `${value} twice`);
    proxy.heal();
    await updating;
    assert.equal(await other.get("k"), "old and theirs twice and mine");
  });
});

for (const history of [1, 20]) {
  const what = history === 1 ? "nobody can tell" : "the history tells";
  test(`a foreign write hides what was before it: ${what}`, async () => {
    await withFaults(history, async ({ server, proxy, store, other, otherClient }) => {
      const foreign = await new Kvm(otherClient.jetstream).open("b");
      const first = await store.put("k", "old");
      proxy.drop({ direction: "toClient" });
      const writing = store.updateAt("k", "mine", { revision: first });
      await untilAfter(other, first);
      await foreign.put("k", JSON.stringify("theirs"));
      await server.restart();
      proxy.heal();
      if (history > 1) assert.equal(await writing, first + 1);
      else await assert.rejects(writing, (error) => isJsflowError(error, "outcome_unknown"));
      assert.equal(await other.get("k"), "theirs");
    });
  });
}

test("what was there before a write was sent is not the write", async () => {
  await withFaults(1, async ({ server, proxy, store, other, otherClient }) => {
    const foreign = await new Kvm(otherClient.jetstream).open("b");
    await foreign.put("k", JSON.stringify("old"));
    await foreign.put("new", JSON.stringify("old"));
    await foreign.delete("new");
    await store.put("another", 1); // so the client knows how far the bucket is
    proxy.drop({ direction: "toTarget" });
    const updating = store.updateAt("k", "mine", { revision: 0 });
    const creating = store.create("new", "mine");
    await other.get("k");
    await server.restart();
    proxy.heal();
    await assert.rejects(updating, RevisionConflictError);
    await creating;
    assert.deepEqual([await other.get("k"), await other.get("new")], ["old", "mine"]);
  });
});

test("a server that stands still longer than a call lasts leaves its outcome open", async () => {
  await withFaults(5, async ({ server, store, other }) => {
    const first = await store.put("k", 0);
    server.pause();
    try {
      const calls = [
        store.put("k", 1, { timeoutMs: 500 }),
        store.updateAt("k", 2, { revision: first, timeoutMs: 500 }),
        store.create("new", 3, { timeoutMs: 500 }),
        store.delete("gone", { timeoutMs: 500 }),
      ];
      for (const outcome of await Promise.allSettled(calls)) {
        const reason: unknown = outcome.status === "rejected" ? outcome.reason : undefined;
        assert.ok(isJsflowError(reason, "outcome_unknown"), String(reason));
      }
      const reading = store.update("k", () => 4, { timeoutMs: 500 });
      await assert.rejects(reading, (error) => isJsflowError(error, "timeout"), "nothing was sent");
    } finally {
      server.continue();
    }
    await other.put("k", 5);
    assert.notEqual(await store.get("k"), 4);
  });
});

test("a server that stands still for a moment stores a write once", async () => {
  await withFaults(20, async ({ server, store, other }) => {
    const first = await store.put("k", 0);
    server.pause();
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const writing = store.update("other", () => {
      ask();
      return 1;
    });
    const blind = store.put("k", 1);
    setTimeout(() => server.continue(), 2_500); // by then each was sent more than once
    assert.equal(await blind, first + 1);
    await Promise.all([asked, writing]);
    assert.equal((await other.history("k")).length, 2);
    assert.equal((await other.history("other")).length, 1);
  });
});

/** One fault, begun and ended. */
async function fault({ server, proxy }: Ground, random: () => number): Promise<void> {
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms * random()));
  const kind = Math.floor(random() * 5);
  if (kind === 0) proxy.drop({ direction: "toClient" });
  if (kind === 1) proxy.drop({ direction: "toTarget" });
  if (kind === 2) proxy.cut();
  if (kind === 3) await server.restart();
  if (kind === 4) server.pause();
  await pause(400);
  if (kind === 4) server.continue();
  proxy.heal();
  await pause(200);
}

test("whatever happens, an update that succeeded is in the value once, and one refused is not", async () => {
  const { next } = seededRandom("kv settled writes");
  await withFaults(1, async (ground) => {
    const succeeded: string[] = [];
    const refused: string[] = [];
    let open = 0;
    let isOver = false;
    const writer = async (store: Store<unknown>, name: string) => {
      for (let n = 0; !isOver; n++) {
        const id = `${name}${n}`;
        try {
          const key = `k${n % 2}`;
          await store.update(key, (ids) => [...(ids as string[] ?? []), id], { timeoutMs: 3_000 });
          succeeded.push(id);
        } catch (error) {
          if (isJsflowError(error, "outcome_unknown")) open++;
          else refused.push(id);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const writing = ["a", "b", "c"].map((name) => writer(ground.store, name));
    writing.push(...["x", "y"].map((name) => writer(ground.other, name)));
    for (let round = 0; round < ROUNDS; round++) await fault(ground, next);
    isOver = true;
    await Promise.all(writing);
    const stored = [await ground.other.get("k0"), await ground.other.get("k1")].flat();
    const counts = new Map<unknown, number>();
    for (const id of stored) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const [id, count] of counts) assert.equal(count, 1, `${id} is in it ${count} times`);
    for (const id of succeeded) assert.equal(counts.get(id), 1, `${id} succeeded`);
    for (const id of refused) assert.equal(counts.get(id), undefined, `${id} was refused`);
    assert.ok(succeeded.length > ROUNDS, `${succeeded.length} succeeded, ${open} stay open`);
  });
});
