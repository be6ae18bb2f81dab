import assert from "node:assert/strict";
import { test } from "node:test";
import type { Socket } from "node:net";
import { waitUntil } from "../testing/wait_until.ts";
import { guardSockets } from "./_socket_guard.ts";
import type { Client } from "./client.ts";
import type { NatsConnection } from "./native.ts";
import { withLogRecords } from "./testdata/log_records.ts";
import {
  QUICK,
  untilLost,
  withConnected,
  withProxiedClient,
  withServer,
} from "./testdata/server_ground.ts";

function socketOf(client: Client): Socket | undefined {
  const { protocol } = client.connection as unknown as {
    protocol: { transport: { socket: Socket | undefined } };
  };
  return protocol.transport.socket;
}

/** Lets go of the socket as the native client does, and fails a write afterwards. */
function checkLetGo(socket: Socket | undefined): void {
  assert.ok(socket !== undefined, "there is a socket");
  socket.removeAllListeners("error");
  assert.equal(socket.listenerCount("error"), 1, "one listener is left");
  for (let times = 0; times < 2; times++) socket.removeAllListeners();
  assert.equal(socket.listenerCount("error"), 1, "one listener is left");
  assert.equal(socket.listenerCount("close"), 0, "other listeners are gone");
  socket.emit("error", new Error("write EPIPE")); // throws when nobody listens
}

async function untilNewSocket(client: Client, old: ReturnType<typeof socketOf>): Promise<void> {
  const isNew = () => client.status === "connected" && socketOf(client) !== old;
  await waitUntil(isNew, { what: "it is connected anew" });
}

test("a socket that was let go of has a listener for errors, the first and later ones", async () => {
  await withConnected({ client: QUICK }, async ({ client }) => {
    for (let round = 0; round < 3; round++) {
      const socket = socketOf(client);
      await client.connection.reconnect();
      await untilNewSocket(client, socket);
      await client.connection.flush();
      checkLetGo(socket);
    }
    const last = socketOf(client);
    await client.close();
    checkLetGo(last);
  });
});

test("encrypted sockets are guarded, the first and later ones", async () => {
  await withServer({ tls: true }, async (server) => {
    const { servers: _, ...options } = server.connectOptions;
    await withProxiedClient(server, { ...options, ...QUICK }, async (client, proxy) => {
      const first = socketOf(client);
      proxy.reset();
      await untilNewSocket(client, first);
      const second = socketOf(client);
      await client.close();
      for (const socket of [first, second]) {
        assert.ok(socket !== undefined && "encrypted" in socket, "it is encrypted");
        checkLetGo(socket);
      }
    });
  });
});

/** What must be written before the client closes the connection, and nobody takes. */
async function fillSendBuffer(client: Client): Promise<void> {
  const payload = new Uint8Array(512 * 1_024);
  await waitUntil(() => {
    client.connection.publish("nobody", payload);
    return (socketOf(client)?.writableLength ?? 0) > 4 * payload.length;
  }, { what: "the send buffer is full", intervalMs: 5 });
}

for (const tls of [false, true]) {
  const kind = tls ? "an encrypted connection" : "a connection";

  test(`${kind} that is told to reconnect does so`, async () => {
    await withConnected({ server: { tls }, client: QUICK }, async ({ client }) => {
      for (let round = 0; round < 2; round++) {
        const socket = socketOf(client);
        await client.connection.reconnect();
        await untilNewSocket(client, socket);
        await client.connection.flush();
      }
    });
  });

  for (const isTold of [true, false]) {
    const why = isTold ? "is told to reconnect" : "finds its peer gone";

    test(`${kind} that ${why} is given up although nobody takes what it sends`, async () => {
      await withServer({ tls }, async (server) => {
        const { servers: _, ...rest } = server.connectOptions;
        const pings = isTold ? {} : { pingIntervalMs: 100 };
        await withProxiedClient(server, { ...rest, ...QUICK, ...pings }, async (client, proxy) => {
          proxy.stall();
          await fillSendBuffer(client);
          if (isTold) await client.connection.reconnect();
          await untilLost(client);
          proxy.heal();
          // Its quick pings may find the next peer gone, too, when that gets no processor.
          const answers = () => client.connection.flush().then(() => true, () => false);
          await waitUntil(answers, { what: "it is connected anew" });
          await waitUntil(() => proxy.connections === 1, { what: "the old connection is gone" });
        });
      });
    });
  }
}

test("a dial that is not done yet is guarded as well", async () => {
  await withServer({}, async (server) => {
    await withProxiedClient(server, QUICK, async (client, proxy) => {
      proxy.halfOpen(); // it accepts and says nothing
      proxy.reset();
      await untilLost(client);
      const found = () => socketOf(client);
      checkLetGo(await waitUntil(found, { what: "there is a new socket" }));
    });
  });
});

test("what is built in another way is left as it is, and that is logged", async () => {
  await withLogRecords((records) => {
    const prepare = () => "pong";
    const [close, disconnect] = [() => Promise.resolve(), () => {}];
    const known = { close, closed: close, disconnect };
    const shapes: unknown[] = [
      {},
      { protocol: {} },
      { protocol: { prepare } },
      { protocol: { prepare, transport: {} } },
      { protocol: { prepare, transport: { socket: undefined } } },
      { protocol: { prepare, transport: { ...known, closed: 5, socket: undefined } } },
      { protocol: { prepare, transport: known } },
      { protocol: { prepare, transport: Object.freeze({ ...known, socket: undefined }) } },
      { protocol: { prepare, transport: { ...known, socket: 5 } } },
      { protocol: { prepare, transport: { ...known, socket: { on: 5 } } } },
    ];
    for (const [index, shape] of shapes.entries()) {
      guardSockets(shape as NatsConnection);
      assert.equal(records.length, index + 1, JSON.stringify(shape));
      assert.equal(records[index]?.level, "debug");
    }
    const protocol = { prepare, transport: { ...known, socket: undefined } };
    guardSockets({ protocol } as unknown as NatsConnection);
    assert.equal(records.length, shapes.length, "no socket yet is nothing special");
    protocol.transport = { ...known, socket: undefined };
    assert.equal(protocol.prepare(), "pong");
    assert.equal(records.length, shapes.length);
    return Promise.resolve();
  });
});
