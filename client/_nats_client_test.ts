import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { CallOptions } from "./call_options.ts";
import { connect } from "./connect.ts";
import { ConnectionTimeoutError } from "./connection_errors.ts";
import { createClient } from "./create_client.ts";
import { isJsflowError } from "./errors.ts";
import {
  connectionsOf,
  untilLost,
  withClient,
  withConnected,
  withProxy,
  withServer,
} from "./testdata/server_ground.ts";

test("the manager is confirmed once and shared", async () => {
  await withConnected({}, async ({ client }) => {
    const before = client.connection.stats().outMsgs;
    const [one, two] = await Promise.all([client.manager(), client.manager()]);
    assert.equal(one, two);
    assert.equal(await client.manager(), one);
    assert.equal(client.connection.stats().outMsgs, before + 1);
    assert.equal((await one.getAccountInfo()).streams, 0);
    await one.streams.add({ name: "S", subjects: ["s"] });
    assert.equal((await client.jetstream.publish("s")).seq, 1);
  });
});

test("JetStream off: said, with what to do, and asked again next time", async () => {
  await withConnected({ server: { jetstream: false } }, async ({ client }) => {
    const expected = { code: "jetstream_disabled", message: /start nats-server with -js/ };
    await assert.rejects(client.manager(), expected);
    await assert.rejects(client.manager(), expected);
  });
});

test("JetStream off for the account: said", async () => {
  const config = {
    accounts: {
      WITH: { jetstream: "enabled", users: [{ user: "a", password: "a" }] },
      WITHOUT: { users: [{ user: "b", password: "b" }] },
    },
  };
  const credentials = { user: "a", pass: "a" };
  await withConnected({ server: { config, credentials } }, async ({ client, server }) => {
    await client.manager();
    await withClient({ servers: server.url, user: "b", pass: "b" }, async (other) => {
      await assert.rejects(other.manager(), {
        code: "jetstream_disabled",
        message: /for the account/,
      });
    });
  });
});

test("without permission for the API: said", async () => {
  const permissions = { publish: { deny: ["$JS.API.>"] } };
  const config = {
    authorization: { users: [{ user: "a", password: "a", permissions }] },
  };
  const credentials = { user: "a", pass: "a" };
  await withConnected({ server: { config, credentials, jetstream: false } }, async ({ client }) => {
    await assert.rejects(client.manager({ timeoutMs: 2_000 }), { code: "permission_denied" });
  });
});

test("JetStream without a leader: not taken for switched off", async () => {
  const cluster = { name: "lonely", listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:1"] };
  await withConnected({ server: { name: "alone", config: { cluster } } }, async ({ client }) => {
    await assert.rejects(client.manager({ timeoutMs: 300 }), (error) => {
      return isJsflowError(error, "timeout") || isJsflowError(error, "jetstream_unavailable");
    });
  });
});

test("each caller of manager() has a signal and a deadline of its own", async () => {
  await withConnected({}, async ({ client, server }) => {
    server.pause();
    const controller = new AbortController();
    const aborted = client.manager({ signal: controller.signal });
    const late = client.manager({ timeoutMs: 50 });
    const patient = client.manager();
    controller.abort(new Error("not needed"));
    await assert.rejects(aborted, /not needed/);
    await assert.rejects(late, { code: "timeout", message: /reach JetStream.*50 ms/ });
    server.continue();
    assert.equal(await patient, await client.manager());
  });
});

test("options of manager() are checked", async () => {
  await withConnected({}, async ({ client }) => {
    const types: unknown[] = [{ timeout: 5 }, { timeoutMs: "5" }, { signal: 5 }, 5];
    for (const options of types) {
      await assert.rejects(client.manager(options as CallOptions), TypeError);
    }
    await assert.rejects(client.manager({ timeoutMs: 0 }), RangeError);
    await assert.rejects(
      client.manager({ signal: AbortSignal.abort(new Error("early")) }),
      /early/,
    );
  });
});

test("close() lets messages out first, and may be called again", async () => {
  await withConnected({}, async ({ client: receiver, server }) => {
    let received = 0;
    receiver.connection.subscribe("x", { callback: () => void received++ });
    await receiver.connection.flush();
    const sender = await connect({ servers: server.url });
    for (let i = 0; i < 1_000; i++) sender.connection.publish("x", "payload");
    const first = sender.close();
    assert.equal(sender.status, "draining");
    assert.equal(sender.close(), first);
    await first;
    assert.equal(sender.status, "closed");
    await sender[Symbol.asyncDispose]();
    await waitUntil(() => received === 1_000, { what: "all messages are in" });
    await assert.rejects(sender.manager(), {
      code: "connection_closed",
      message: /client is closed/,
    });
    assert.equal(sender.server.version, server.version);
    assert.ok(sender.maxPayloadBytes > 0);
  });
});

test("close() does not wait for a server that is gone", async () => {
  await withConnected({}, async ({ client, server }) => {
    await server.kill();
    await untilLost(client);
    const started = performance.now();
    await client.close();
    assert.ok(performance.now() - started < 2_000);
    assert.equal(client.status, "closed");
  });
});

test("close() gives up on a server that does not answer", { timeout: 30_000 }, async () => {
  await withConnected({}, async ({ client, server }) => {
    server.pause();
    try {
      await client.close();
      assert.equal(client.status, "closed");
    } finally {
      server.continue();
    }
  });
});

test("a connection that its user closes underneath is closed", async () => {
  await withConnected({}, async ({ client }) => {
    await client.connection.close();
    assert.equal(client.status, "closed");
    await assert.rejects(client.manager(), { code: "connection_closed" });
  });
});

test("a connection that is draining underneath is waited for", async () => {
  await withConnected({}, async ({ client }) => {
    const draining = client.connection.drain();
    assert.equal(client.status, "draining");
    await client.close();
    await draining;
    assert.equal(client.status, "closed");
  });
});

for (const status of ["connecting", "connected"]) {
  test(`close() in the event "${status}" leaves nothing open`, async () => {
    await withServer({}, async (server) => {
      const client = createClient({ servers: server.url, health: { intervalMs: 50 } });
      let closing: Promise<unknown> | undefined;
      client.onEvent((event) => {
        if (event.type === "status" && event.status === status) closing = client.close();
      });
      const starting = client.start();
      if (status === "connecting") await assert.rejects(starting, { code: "connection_closed" });
      else await starting;
      assert.ok(closing instanceof Promise);
      await closing;
      assert.equal(client.status, "closed");
      const isAlone = async () => (await connectionsOf(server)).length === 0;
      await waitUntil(isAlone, { what: "nothing is connected" });
    });
  });
}

test("the signal of the options bounds every start, and nothing afterwards", async () => {
  await withProxy({}, (proxy) =>
    withServer({}, async (server) => {
      const controller = new AbortController();
      const { signal } = controller;
      const client = createClient({ servers: proxy.url, signal, timeoutMs: 60_000 });
      const starting = client.start();
      controller.abort(new Error("mine"));
      await assert.rejects(starting, /mine/);
      assert.equal(client.status, "disconnected");
      await assert.rejects(client.start(), /mine/);
      assert.equal(getEventListeners(signal, "abort").length, 0);
      await client.close();
      const later = new AbortController();
      const other = createClient({ servers: server.url, signal: later.signal });
      await other.start({ signal: new AbortController().signal });
      later.abort();
      await other.connection.flush();
      assert.equal(other.status, "connected");
      await other.close();
    }));
});

test("nobody is told another caller's reason, however close the calls are", async () => {
  await withProxy({}, async (proxy) => {
    const start = async (pauses: number) => {
      const client = createClient({ servers: proxy.url, timeoutMs: 300 });
      const one = new AbortController();
      const first = assert.rejects(client.start({ signal: one.signal }), /one/);
      one.abort(new Error("one"));
      for (let i = 0; i < pauses; i++) await Promise.resolve();
      await assert.rejects(client.start(), ConnectionTimeoutError, `after ${pauses} pauses`);
      await first;
      await client.close();
    };
    await Promise.all(Array.from({ length: 30 }, (_, pauses) => start(pauses)));
  });
});

test("close() in the event of a start ends the attempt that begins there", async () => {
  await withProxy({}, async (proxy) => {
    const client = createClient({ servers: proxy.url, timeoutMs: 20_000 });
    let closing: Promise<unknown> | undefined;
    client.onEvent((event) => {
      if (event.type === "status" && event.status === "connecting") closing = client.close();
    });
    await assert.rejects(client.start(), { code: "connection_closed" });
    await closing;
    assert.equal(proxy.connections, 0);
  });
});
