import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { connect as connectNative } from "@nats-io/transport-node";
import { test } from "node:test";
import { inspect } from "node:util";
import type { WaitBounds } from "./call_options.ts";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { ConnectionTimeoutError, NotConnectedError } from "./connection_errors.ts";
import { createClient } from "./create_client.ts";
import { fromConnection } from "./from_connection.ts";
import { connectionsOf, untilLost, withProxy, withServer } from "./testdata/server_ground.ts";

async function withCreated(
  options: ConnectOptions,
  use: (client: Client) => Promise<void>,
): Promise<void> {
  const client = createClient(options);
  try {
    await use(client);
  } finally {
    await client.close();
  }
}

test("a created client does nothing until it is started", async () => {
  await withServer({}, async (server) => {
    await withCreated({ servers: server.url, name: "owned" }, async (client) => {
      assert.equal(client.status, "disconnected");
      assert.equal(client.name, "owned");
      assert.throws(() => client.connection, NotConnectedError);
      assert.throws(() => client.jetstream, NotConnectedError);
      assert.throws(() => client.server, NotConnectedError);
      await assert.rejects(client.manager(), NotConnectedError);
      assert.equal((await client.health()).ok, false);
      assert.equal((await connectionsOf(server)).length, 0);
      await client.start();
      assert.equal(client.status, "connected");
      await client.connection.flush();
      assert.equal(client.server.version, server.version);
    });
  });
});

test("starting is joined and idempotent", async () => {
  await withServer({}, async (server) => {
    await withCreated({ servers: server.url }, async (client) => {
      const starts = [client.start(), client.start()];
      assert.equal(client.status, "connecting");
      await Promise.all(starts);
      const { connection } = client;
      await client.start();
      assert.equal(client.connection, connection);
      assert.equal((await connectionsOf(server)).length, 1);
    });
  });
});

test("a start that failed may be tried again", async () => {
  await withServer({}, async (server) => {
    await server.kill();
    await withCreated({ servers: server.url }, async (client) => {
      await assert.rejects(client.start(), { code: "connection_refused" });
      assert.equal(client.status, "disconnected");
      assert.equal(client.breaker.failures, 1);
      await server.restart();
      await client.start();
      assert.equal(client.status, "connected");
      assert.equal(client.breaker.failures, 0);
    });
  });
});

test("starts that fail open the breaker, which never stands in a start's way", async () => {
  await withServer({}, async (server) => {
    await server.kill();
    await withCreated({ servers: server.url, breaker: { threshold: 2 } }, async (client) => {
      for (const _ of [1, 2, 3]) {
        await assert.rejects(client.start(), { code: "connection_refused" });
      }
      assert.equal(client.breaker.state, "open");
      await server.restart();
      await client.start();
      assert.equal(client.breaker.state, "closed");
    });
  });
});

test("each caller of start() has a signal of its own; the last one takes the attempt along", async () => {
  await withProxy({}, async (silence) => {
    await withCreated({ servers: silence.url, timeoutMs: 60_000 }, async (client) => {
      const [one, other] = [new AbortController(), new AbortController()];
      const first = client.start({ signal: one.signal });
      const second = client.start({ signal: other.signal });
      one.abort(new Error("one"));
      await assert.rejects(first, /one/);
      assert.equal(client.status, "connecting");
      other.abort(new Error("other"));
      await assert.rejects(second, /other/);
      assert.equal(client.status, "disconnected");
      assert.equal(getEventListeners(other.signal, "abort").length, 0);
      await assert.rejects(client.start({ timeoutMs: 50 }), (error) => {
        assert.ok(error instanceof ConnectionTimeoutError);
        assert.equal(error.timeoutMs, 50);
        return true;
      });
    });
  });
});

test("closing ends a start under way", async () => {
  await withProxy({}, async (silence) => {
    const client = createClient({ servers: silence.url, timeoutMs: 60_000 });
    const starting = assert.rejects(client.start(), { code: "connection_closed" });
    assert.deepEqual(await client.close(), { abandoned: [] });
    await starting;
    assert.equal(client.status, "closed");
  });
});

test("a closed client can't be started, nor one that was never started", async () => {
  await withServer({}, async (server) => {
    const client = createClient({ servers: server.url });
    await client.stop();
    assert.equal(client.status, "closed");
    await assert.rejects(client.start(), {
      code: "connection_closed",
      message: /cannot start the client: it is closed, which is final; make another one/,
    });
    const started = await connect({ servers: server.url });
    await started.stop();
    await assert.rejects(started.start(), { code: "connection_closed" });
    assert.throws(() => client.connection, { code: "connection_closed" });
  });
});

test("options of start() and waitForConnection() are checked", async () => {
  await withCreated({}, async (client) => {
    for (const method of ["start", "waitForConnection", "health"] as const) {
      const call = (options: unknown) => client[method](options as WaitBounds);
      await assert.rejects(call({ timeout: 5 }), TypeError);
      await assert.rejects(call({ timeoutMs: "5" }), TypeError);
      await assert.rejects(call({ signal: 5 }), TypeError);
      for (const timeoutMs of [0, -1, NaN, 2 ** 31]) {
        await assert.rejects(call({ timeoutMs }), RangeError);
      }
      const signal = AbortSignal.abort(new Error("early"));
      await assert.rejects(call({ signal }), /early/);
    }
    await assert.rejects(client.close({ graceMs: -1 }), RangeError);
    await assert.rejects(client.close({ grace: 1 } as object), TypeError);
    assert.equal(client.status, "disconnected");
    assert.throws(() => client.onEvent(5 as never), TypeError);
    assert.throws(() => client.events({ signal: 5 as never }), TypeError);
    assert.throws(() => createClient({ server: "a" } as object), TypeError);
  });
});

test("waiting for the connection: at once, after a start, too long, aborted, closed", async () => {
  await withServer({}, async (server) => {
    await withCreated({ servers: server.url }, async (client) => {
      await assert.rejects(client.waitForConnection({ timeoutMs: 20 }), (error) => {
        assert.ok(error instanceof ConnectionTimeoutError);
        assert.match(error.message, /still disconnected after 20 ms/);
        return true;
      });
      const controller = new AbortController();
      const aborted = client.waitForConnection({ signal: controller.signal });
      controller.abort(new Error("not needed"));
      await assert.rejects(aborted, /not needed/);
      const waiting = client.waitForConnection();
      await client.start();
      await waiting;
      await client.waitForConnection({ timeoutMs: 1 });
      await server.kill();
      await untilLost(client);
      const closed = assert.rejects(client.waitForConnection(), { code: "connection_closed" });
      await client.close();
      await closed;
      await assert.rejects(client.waitForConnection(), { code: "connection_closed" });
    });
  });
});

test("a client is shown without secrets and without its insides", async () => {
  await withServer({ auth: { user: "me", pass: "hunter2" } }, async (server) => {
    await withCreated({ ...server.connectOptions, name: "shop" }, async (client) => {
      await client.start();
      for (
        const text of [inspect(client, { depth: 20, showHidden: true }), JSON.stringify(client)]
      ) {
        assert.match(text, /shop/);
        assert.match(text, /connected/);
        assert.doesNotMatch(text, /hunter2/);
        assert.ok(text.length < 1_000, text);
      }
      assert.equal(client.options.user, "me");
      assert.equal(client.options.pass, "[redacted]");
      assert.equal(client.options.requestTimeoutMs, 5_000);
      const { options } = client.connection as unknown as {
        options: { authenticator: () => unknown };
      };
      assert.match(JSON.stringify(options.authenticator()), /hunter2/);
      await client.close();
      assert.equal(client.options.pass, "[redacted]");
      assert.doesNotMatch(JSON.stringify(options.authenticator()) ?? "", /hunter2/);
    });
  });
});

test("a borrowed client is started already, and takes options that do not concern the connection", async () => {
  await withServer({}, async (server) => {
    const connection = await connectNative({ servers: server.url });
    try {
      const client = await fromConnection(connection, { name: "lent", breaker: { threshold: 1 } });
      await client.start();
      assert.equal(client.connection, connection);
      assert.equal(client.name, "lent");
      assert.deepEqual(client.options.servers, [`127.0.0.1:${server.port}`]);
      await client.close();
      await assert.rejects(
        fromConnection(connection, { servers: "a" } as object),
        /does not know the option "servers"/,
      );
    } finally {
      await connection.close();
    }
  });
});
