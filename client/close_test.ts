import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { connect as connectNative } from "@nats-io/transport-node";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { ClientEvent } from "./client_event.ts";
import { type Abandoned, coreOf, type Resource } from "./core.ts";
import { fromConnection } from "./from_connection.ts";
import { withClientCore } from "./testdata/core_ground.ts";
import { untilLost, withClient, withServer } from "./testdata/server_ground.ts";

/** Work that ends when it is told to, and notes what happens to it. */
class Work implements Resource {
  readonly log: string[];
  readonly #name: string;
  readonly #left: readonly Abandoned[];
  readonly #done = Promise.withResolvers<void>();

  constructor(name: string, log: string[], left: readonly Abandoned[] = []) {
    this.#name = name;
    this.log = log;
    this.#left = left;
  }

  finish(): void {
    this.#done.resolve();
  }

  stop(): void {
    this.log.push(`${this.#name} stopped`);
  }

  async drain(signal: AbortSignal): Promise<readonly Abandoned[]> {
    this.log.push(`${this.#name} drains`);
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const end = await Promise.race([
      this.#done.promise.then(() => "done"),
      aborted.then(() => "aborted"),
    ]);
    this.log.push(`${this.#name} ${end}`);
    return end === "aborted" ? this.#left : [];
  }
}

test("all resources stop, then drain together, then the connection goes", async () => {
  await withClientCore({}, async ({ client }) => {
    const log: string[] = [];
    const works = ["a", "b"].map((name) => new Work(name, log));
    for (const work of works) coreOf(client).own(work);
    const removed = coreOf(client).own(new Work("c", log));
    removed();
    client.connection.closed().then(() => log.push("connection closed"));
    client.onEvent((event) => event.type === "status" && log.push(event.status));
    const closing = client.close();
    assert.equal(client.status, "draining");
    assert.deepEqual(log, ["draining", "a stopped", "b stopped", "a drains", "b drains"]);
    assert.throws(() => coreOf(client).own(works[0]!), { code: "connection_closed" });
    works[1]!.finish();
    works[0]!.finish();
    assert.deepEqual(await closing, { abandoned: [] });
    assert.deepEqual(log.slice(5), ["b done", "a done", "connection closed", "closed"]);
  });
});

test("what a handler sends while it finishes still goes out; nothing does afterwards", async () => {
  await withClientCore({}, async ({ client, server }) => {
    await withClient({ servers: server.url }, async (receiver) => {
      const received: string[] = [];
      receiver.connection.subscribe("x", {
        callback: (_, msg) => void received.push(msg.string()),
      });
      await receiver.connection.flush();
      const core = coreOf(client);
      const finish = Promise.withResolvers<void>();
      core.own({
        stop: () => {},
        drain: async () => {
          await finish.promise;
          core.check("publish");
          core.connection.publish("x", "last words");
          await core.guard("ask", { timeoutMs: 5_000 }, () => client.connection.flush());
          return [];
        },
      });
      const closing = client.close();
      finish.resolve();
      await closing;
      await waitUntil(() => received.length === 1, { what: "it has arrived" });
      for (const call of [() => core.ready("x", { timeoutMs: 5 }), () => client.manager()]) {
        await assert.rejects(call(), { code: "connection_closed" });
      }
      assert.throws(() => core.check("publish"), { code: "connection_closed" });
    });
  });
});

test("at the deadline handlers are aborted, and what was abandoned is reported to all", async () => {
  await withClientCore({}, async ({ client }) => {
    const log: string[] = [];
    coreOf(client).own(new Work("a", log, [{ what: "subscription x", count: 2 }]));
    coreOf(client).own({ stop: () => {}, drain: () => Promise.reject(new Error("broken")) });
    const closing = client.close({ graceMs: 30 });
    assert.equal(client.close({ graceMs: 60_000 }), closing);
    assert.equal(client.stop(), closing);
    const { abandoned } = await closing;
    assert.deepEqual(abandoned[0], { what: "subscription x", count: 2 });
    assert.equal(abandoned.length, 2);
    assert.deepEqual(log, ["a stopped", "a drains", "a aborted"]);
    assert.equal(client.status, "closed");
  });
});

test("a resource that never ends does not keep the client open", async () => {
  await withClientCore({}, async ({ client }) => {
    coreOf(client).own({ stop: () => {}, drain: () => new Promise(() => {}) });
    const { abandoned } = await client.close({ graceMs: 0 });
    assert.deepEqual(abandoned, [{ what: "work that did not end when it was aborted", count: 1 }]);
    assert.equal(client.status, "closed");
  });
});

test("the signal ends the grace at once, and leaves no listener", async () => {
  await withClientCore({}, async ({ client }) => {
    const log: string[] = [];
    coreOf(client).own(new Work("a", log));
    const controller = new AbortController();
    const closing = client.close({ graceMs: 60_000, signal: controller.signal });
    controller.abort(new Error("now"));
    await closing;
    assert.deepEqual(log, ["a stopped", "a drains", "a aborted"]);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  });
});

test("the events of a close: draining, closed, the end", async () => {
  await withClientCore({}, async ({ client }) => {
    const events = client.events();
    const types: unknown[] = [];
    const reading = (async () => {
      for await (const event of events) types.push(event);
    })();
    await client.close();
    await reading;
    assert.deepEqual(types, [
      { type: "status", status: "draining", previous: "connected" },
      { type: "status", status: "closed", previous: "draining" },
      { type: "closed" },
    ]);
    client.onEvent(() => assert.fail("there are no more events"));
    for await (const _ of client.events()) assert.fail("there are no more events");
  });
});

test("reconnecting given up: closed with the cause, resources stopped, waiters told", async () => {
  const options = { reconnect: { attempts: 2, initialMs: 500, maxMs: 500 }, offline: {} };
  await withClientCore(options, async ({ client, server }) => {
    const log: string[] = [];
    const events: ClientEvent[] = [];
    client.onEvent((event) => events.push(event));
    const work = new Work("a", log);
    coreOf(client).own(work);
    await server.kill();
    await untilLost(client);
    const waiter = coreOf(client).ready("publish", { timeoutMs: 20_000 });
    await assert.rejects(waiter, { code: "connection_closed" });
    assert.equal(client.status, "closed");
    const last = events.at(-1);
    assert.ok(last?.type === "closed" && last.cause instanceof Error, JSON.stringify(last));
    assert.match(last.cause.message, /nothing listens|connection/);
    await client.close();
    assert.deepEqual(log, ["a stopped", "a drains", "a aborted"]);
    assert.deepEqual(await client.close(), { abandoned: [] });
    assert.equal(events.at(-1), last);
  });
});

test("a borrowed connection is flushed and stays; its client tells why it is closed", async () => {
  await withServer({}, async (server) => {
    const connection = await connectNative({ servers: server.url });
    const client = await fromConnection(connection);
    const other = await fromConnection(connection);
    const events: ClientEvent[] = [];
    other.onEvent((event) => events.push(event));
    await client.close();
    assert.ok(!connection.isClosed());
    await connection.close();
    await waitUntil(() => events.at(-1)?.type === "closed", { what: "the end is told" });
    const last = events.at(-1);
    assert.ok(last?.type === "closed" && /closed underneath/.test(last.cause?.message ?? ""));
    await other.close();
  });
});

test("a connection that ends by itself takes the handlers along, and close tells what was left", async () => {
  await withClientCore({ reconnect: false }, async ({ client, server }) => {
    const log: string[] = [];
    const left = [{ what: "subscription x", count: 2 }];
    coreOf(client).own(new Work("a", log, left));
    await server.kill();
    await waitUntil(() => log.includes("a aborted"), { what: "the handlers are aborted" });
    assert.equal(client.status, "closed");
    assert.deepEqual(await client.close(), { abandoned: left });
    assert.deepEqual(log, ["a stopped", "a drains", "a aborted"]);
  });
});
