import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { inspect } from "node:util";
import { createTestCertificates } from "../testing/test_certificates.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { connect } from "./connect.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { isJsflowError, type JsflowErrorCode } from "./errors.ts";
import { connectionsOf, untilLost, withClient, withServer } from "./testdata/server_ground.ts";

/** A TCP peer that is no NATS server. */
interface Peer {
  readonly url: string;
  readonly sockets: Set<Socket>;
  close(): Promise<void>;
}

async function listen(greet: (socket: Socket) => void, port = 0): Promise<Peer> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    greet(socket);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, close };
}

async function withPeer(greet: (socket: Socket) => void, use: (peer: Peer) => Promise<void>) {
  const peer = await listen(greet);
  try {
    await use(peer);
  } finally {
    await peer.close();
  }
}

async function fails(options: ConnectOptions, code: JsflowErrorCode, message: RegExp) {
  await assert.rejects(connect(options), (error) => {
    assert.ok(isJsflowError(error, code), `expected ${code}, got ${inspect(error)}`);
    assert.match(error.message, message);
    return true;
  });
}

async function freePort(): Promise<string> {
  const peer = await listen(() => {});
  await peer.close();
  return peer.url;
}

test("nothing listens: refused at once", async () => {
  const servers = await freePort();
  await fails({ servers }, "connection_refused", /nothing listens there; start a server/);
});

test("a host that does not resolve: refused", async () => {
  await fails(
    { servers: "no-such-host.invalid" },
    "connection_refused",
    /no-such-host\.invalid:4222/,
  );
});

test("a peer that stays silent: time-out, and its socket is closed", async () => {
  await withPeer(() => {}, async (peer) => {
    await fails({ servers: peer.url, timeoutMs: 100 }, "connection_timeout", /within 100 ms/);
    await waitUntil(() => peer.sockets.size === 0, { what: "the socket is closed" });
  });
});

test("a peer that speaks another protocol: said at once", async () => {
  await withPeer((socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"), async (peer) => {
    await fails({ servers: peer.url }, "connection_timeout", /is no NATS server/);
    await waitUntil(() => peer.sockets.size === 0, { what: "the socket is closed" });
  });
});

test("a peer that hangs up: refused", async () => {
  await withPeer((socket) => socket.end(), async (peer) => {
    await fails({ servers: peer.url }, "connection_refused", /closed the connection before/);
  });
});

test("every address is named when none works", async () => {
  const [one, other] = [await freePort(), await freePort()];
  await fails(
    { servers: [one, other] },
    "connection_refused",
    new RegExp(`${one}[^]*${other}|${other}[^]*${one}`),
  );
});

// Scripted, since no server this old can be had: it greets, and answers pings.
test("a server below the floor: refused and closed", async () => {
  const info = {
    server_id: "x",
    version: "2.8.4",
    max_payload: 1_048_576,
    proto: 1,
    headers: true,
  };
  const greet = (socket: Socket) => {
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on("data", (chunk) => chunk.includes("PING") && socket.write("PONG\r\n"));
  };
  await withPeer(greet, async (peer) => {
    await fails({ servers: peer.url }, "server_too_old", /version "2\.8\.4".*2\.9 or newer/);
    await waitUntil(() => peer.sockets.size === 0, { what: "the socket is closed" });
  });
});

test("aborting ends it with the reason, and closes what was opened", async () => {
  await withPeer(() => {}, async (peer) => {
    const controller = new AbortController();
    const connecting = connect({ servers: peer.url, signal: controller.signal });
    connecting.catch(() => {});
    await waitUntil(() => peer.sockets.size === 1, { what: "the socket is open" });
    const reason = new Error("changed my mind");
    controller.abort(reason);
    await assert.rejects(connecting, reason);
    await waitUntil(() => peer.sockets.size === 0, { what: "the socket is closed" });
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  });
});

test("an aborted signal prevents any I/O", async () => {
  await withPeer(() => assert.fail("connected"), async (peer) => {
    const signal = AbortSignal.abort(new Error("early"));
    await assert.rejects(connect({ servers: peer.url, signal }), /early/);
  });
});

test("options are checked before any I/O", async () => {
  const types: [unknown, RegExp][] = [
    [{ server: "a" }, /does not know the option "server"/],
    [{ servers: "" }, /servers/],
    [{ servers: "ws://a" }, /fromConnection/],
    [{ name: "" }, /connect: name/],
    [{ name: 5 }, /connect: name/],
    [{ timeoutMs: "5" }, /connect: timeoutMs/],
    [{ signal: {} }, /connect: signal/],
    [{ pass: "x" }, /pass needs user/],
    [{ user: "a", token: "b" }, /give one of/],
    [{ servers: "nats://a:b@c", user: "d" }, /give one of/],
    [{ token: "" }, /connect: token/],
    [{ token: 5 }, /connect: token/],
    [{ authenticator: "x" }, /connect: authenticator/],
    [{ tls: true }, /connect: tls/],
    [{ tls: null, servers: "tls://a" }, /demands encryption/],
    [{ nats: 5 }, /connect: nats/],
    [{ nats: { servers: ["a"] } }, /use the option servers/],
    [{ nats: { timeout: 5 } }, /use the option timeoutMs/],
    [{ nats: { waitOnFirstConnect: true } }, /connecting fails fast/],
    [null, /options must be an object/],
  ];
  for (const [options, message] of types) {
    await assert.rejects(connect(options as ConnectOptions), { name: "TypeError", message });
  }
  for (const timeoutMs of [0, -1, NaN, Infinity, 2 ** 31]) {
    await assert.rejects(connect({ timeoutMs }), { name: "RangeError", message: /timeoutMs/ });
  }
  await assert.rejects(connect({ name: "x".repeat(257) }), RangeError);
});

test("no error shows a secret", async () => {
  const secret = "hunter2";
  const refused = await freePort();
  const attempts: ConnectOptions[] = [
    { servers: `nats://me:${secret}@${refused}` },
    { servers: `nats://${secret}@${refused}` },
    { servers: refused, user: "me", pass: secret },
    { servers: refused, token: secret },
    { servers: `nats://me:${secret}@a b` },
    { servers: `ws://me:${secret}@a` },
    { servers: `nats://me:${secret}@a`, token: secret },
    { servers: refused, pass: secret },
    { servers: refused, user: "me", pass: secret, token: secret },
  ];
  for (const options of attempts) {
    await assert.rejects(connect(options), (error) => {
      assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /hunter2/);
      return true;
    });
  }
});

test("connects, and tells what it is connected to", async () => {
  await withServer({ config: { max_payload: 65_536 } }, async (server) => {
    await withClient({ servers: server.url, name: "billing" }, async (client) => {
      assert.equal(client.status, "connected");
      assert.equal(client.server.version, server.version);
      assert.equal(client.maxPayloadBytes, 65_536);
      assert.deepEqual((await connectionsOf(server)).map(({ name }) => name), ["billing"]);
    });
    await waitUntil(async () => (await connectionsOf(server)).length === 0, { what: "it is gone" });
    await withClient({ servers: server.url }, async () => {
      assert.match((await connectionsOf(server))[0]?.name ?? "", /^jsflow/);
    });
  });
});

test("one live server in the list is enough", async () => {
  await withServer({}, async (server) => {
    await withPeer(() => {}, async (silent) => {
      const servers = [await freePort(), silent.url, server.url];
      await withClient({ servers }, async (client) => {
        await client.connection.flush();
        const known = client.connection.getServers().map(({ listen }) => listen);
        assert.deepEqual(
          known.toSorted(),
          servers.map((url) => url.replace("nats://", "")).toSorted(),
        );
      });
      await waitUntil(() => silent.sockets.size === 0, { what: "no socket is left" });
    });
  });
});

test("user and password: right, wrong, missing, in the address", async () => {
  const auth = { user: "me", pass: "hunter2" };
  await withServer({ auth }, async (server) => {
    const { port, url } = server;
    await withClient({ servers: url, ...auth }, async (client) => await client.connection.flush());
    const servers = `nats://me:hunter2@127.0.0.1:${port}`;
    await withClient({ servers }, async (client) => await client.connection.flush());
    const wrong: ConnectOptions[] = [
      { servers: url },
      { servers: url, user: "me", pass: "wrong-secret" },
      { servers: url, token: "wrong-secret" },
      { servers: `nats://wrong-secret@127.0.0.1:${port}` },
      { servers: [url, await freePort()], user: "you", pass: "wrong-secret" },
    ];
    for (const options of wrong) {
      await assert.rejects(connect(options), (error) => {
        assert.ok(isJsflowError(error, "authorization"), inspect(error));
        assert.match(error.message, /check user, password, token or key/);
        assert.doesNotMatch(inspect(error, { depth: 10 }), /wrong-secret/);
        return true;
      });
    }
    await waitUntil(async () => (await connectionsOf(server)).length === 0, {
      what: "none is left",
    });
  });
});

test("a token", async () => {
  await withServer({ auth: { token: "t0ken" } }, async ({ url }) => {
    await withClient({ servers: url, token: "t0ken" }, (client) => client.connection.flush());
    await fails({ servers: url }, "authorization", /credentials/);
  });
});

test("no secret shows when a client is inspected", async () => {
  await withServer({ auth: { user: "me", pass: "hunter2" } }, async (server) => {
    await withClient(server.connectOptions, async (client) => {
      assert.doesNotMatch(inspect(client, { depth: 20, showHidden: true }), /hunter2/);
      assert.doesNotMatch(JSON.stringify(client), /hunter2/);
      await client.connection.flush();
    });
  });
});

test("TLS: with the right authority, a wrong one, and none on the server", async () => {
  await withServer({ tls: true }, async (server) => {
    const { port, connectOptions } = server;
    await withClient(connectOptions, (client) => client.connection.flush());
    await withClient(
      { ...connectOptions, servers: `tls://127.0.0.1:${port}` },
      (client) => client.connection.flush(),
    );
    const { ca } = createTestCertificates();
    await assert.rejects(connect({ servers: server.url, tls: { ca } }), (error) => {
      assert.ok(isJsflowError(error, "authorization"), inspect(error));
      assert.match(error.message, /certificate/);
      return true;
    });
  });
  await withServer({}, async ({ port }) => {
    await fails({ servers: `tls://127.0.0.1:${port}` }, "connection_refused", /tls/);
  });
});

test("a paused server: time-out, then it works again", async () => {
  await withServer({}, async (server) => {
    server.pause();
    try {
      await fails({ servers: server.url, timeoutMs: 200 }, "connection_timeout", /within 200 ms/);
    } finally {
      server.continue();
    }
    await withClient({ servers: server.url }, (client) => client.connection.flush());
  });
});

test("a lost connection comes back", async () => {
  await withServer({}, async (server) => {
    await withClient({ servers: server.url }, async (client) => {
      await server.kill();
      await untilLost(client);
      await server.restart();
      await waitUntil(() => client.status === "connected", { what: "it is back" });
      await client.connection.flush();
    });
  });
});

test("with reconnecting switched off, a lost connection closes the client", async () => {
  await withServer({}, async (server) => {
    await withClient({ servers: server.url, reconnect: false }, async (client) => {
      await server.kill();
      await waitUntil(() => client.status === "closed", { what: "the client is closed" });
    });
  });
});

test("reconnecting can be bounded", async () => {
  await withServer({}, async (server) => {
    const reconnect = { attempts: 2 };
    await withClient({ servers: server.url, reconnect }, async (client) => {
      await server.kill();
      await waitUntil(() => client.status === "closed", { what: "the client has given up" });
    });
  });
});

test("closing while a silent peer is dialled leaves no socket behind", async () => {
  await withServer({}, async (server) => {
    await withClient({ servers: server.url }, async (client) => {
      await server.kill();
      await untilLost(client);
      const silent = await listen(() => {}, server.port);
      try {
        await waitUntil(() => silent.sockets.size === 1, { what: "the peer is dialled" });
        await client.close();
        await waitUntil(() => silent.sockets.size === 0, { what: "no socket is left" });
      } finally {
        await silent.close();
      }
    });
  });
});
