import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectNats } from "@nats-io/transport-node";
import { FaultProxy, type ProxyTarget } from "./fault_proxy.ts";
import { NatsServer } from "./nats_server.ts";
import { waitUntil } from "./wait_until.ts";

/** A client's end of a connection: what came, and how it ended. */
class Peer {
  readonly socket: Socket;
  received = "";
  bytes = 0;
  isClosed = false;
  hasEnded = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk: Uint8Array) => {
      this.bytes += chunk.length;
      if (this.bytes < 1_000) this.received += new TextDecoder().decode(chunk);
    });
    socket.once("end", () => this.hasEnded = true);
    socket.once("close", () => this.isClosed = true);
  }

  static async connect(port: number): Promise<Peer> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const peer = new Peer(socket);
    await once(socket, "connect");
    return peer;
  }

  async receives(text: string): Promise<void> {
    await waitUntil(() => this.received === text, { what: `"${text}" came` });
  }

  async closes(): Promise<void> {
    await waitUntil(() => this.isClosed, { what: "the connection is closed" });
  }
}

/** An echo server behind a proxy. */
async function withEcho(
  run: (proxy: FaultProxy, target: Required<ProxyTarget>) => Promise<void>,
): Promise<void> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const target = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const proxy = await FaultProxy.start({ target });
  try {
    await run(proxy, target);
  } finally {
    await proxy.close();
    for (const socket of open) socket.destroy();
    server.close();
  }
}

test("without faults bytes and an orderly end pass through", async () => {
  await withEcho(async (proxy) => {
    const peer = await Peer.connect(proxy.port);
    peer.socket.write("hello");
    await peer.receives("hello");
    assert.equal(proxy.connections, 1);
    peer.socket.end(" and bye");
    await peer.receives("hello and bye");
    await waitUntil(() => peer.hasEnded, { what: "the end came back" });
    await waitUntil(() => proxy.connections === 0, { what: "the connection is gone" });
  });
});

test("delay holds bytes back in its direction only", async () => {
  await withEcho(async (proxy) => {
    const peer = await Peer.connect(proxy.port);
    proxy.delay(120, { direction: "toClient" });
    const start = performance.now();
    peer.socket.write("a");
    await peer.receives("a");
    const tookMs = performance.now() - start;
    assert.ok(tookMs >= 115, `it took ${tookMs} ms`);
    proxy.delay(120);
    const again = performance.now();
    peer.socket.write("b");
    await peer.receives("ab");
    assert.ok(performance.now() - again >= 230);
    peer.socket.destroy();
  });
});

test("dropped bytes are gone, and heal resets a connection that lost some", async () => {
  await withEcho(async (proxy) => {
    const lossy = await Peer.connect(proxy.port);
    const quiet = await Peer.connect(proxy.port);
    await waitUntil(() => proxy.connections === 2, { what: "both are through" });
    proxy.drop({ direction: "toClient" });
    lossy.socket.write("lost");
    await new Promise((resolve) => setTimeout(resolve, 50)); // time for what must not come
    assert.equal(lossy.received, "");
    proxy.heal();
    await lossy.closes();
    quiet.socket.write("still here");
    await quiet.receives("still here");
    quiet.socket.destroy();
  });
});

test("stalled bytes come after heal", async () => {
  await withEcho(async (proxy) => {
    const peer = await Peer.connect(proxy.port);
    proxy.stall({ direction: "toTarget" });
    peer.socket.write("late");
    await new Promise((resolve) => setTimeout(resolve, 50)); // time for what must not come
    assert.equal(peer.received, "");
    proxy.heal();
    await peer.receives("late");
    peer.socket.destroy();
  });
});

test("a stalled direction holds a bounded amount and then stops the sender", async () => {
  await withEcho(async (proxy) => {
    const peer = await Peer.connect(proxy.port);
    proxy.stall();
    const total = 64 * 1024 * 1024;
    const chunk = new Uint8Array(1024 * 1024);
    for (let sent = 0; sent < total; sent += chunk.length) peer.socket.write(chunk);
    const pending = () => peer.socket.writableLength;
    let before = -1;
    await waitUntil(() => {
      const same = pending() === before;
      before = pending();
      return same;
    }, { what: "the sender is stopped", intervalMs: 100 });
    assert.ok(pending() > total / 2, `only ${pending()} bytes are still to be sent`);
    proxy.heal();
    await waitUntil(() => peer.bytes === total, { what: "all bytes came" });
    peer.socket.destroy();
  });
});

test("throttle limits the throughput", async () => {
  await withEcho(async (proxy) => {
    const peer = await Peer.connect(proxy.port);
    proxy.throttle(200_000, { direction: "toTarget" });
    const start = performance.now();
    peer.socket.write(new Uint8Array(100_000));
    await waitUntil(() => peer.bytes === 100_000, { what: "all bytes came" });
    const tookMs = performance.now() - start;
    assert.ok(tookMs >= 450, `100 kB at 200 kB/s took ${tookMs} ms`);
    proxy.throttle(Infinity);
    peer.socket.write(new Uint8Array(1_000_000));
    await waitUntil(() => peer.bytes === 1_100_000, { what: "the rest came", timeoutMs: 2_000 });
    peer.socket.destroy();
  });
});

test("cut resets connections and turns new ones away until heal", async () => {
  await withEcho(async (proxy) => {
    const peer = await Peer.connect(proxy.port);
    peer.socket.write("a");
    await peer.receives("a");
    proxy.cut();
    assert.ok(proxy.isCut);
    await peer.closes();
    assert.equal(peer.hasEnded, false); // no orderly end
    const turnedAway = new Peer(connect(proxy.port, "127.0.0.1"));
    await turnedAway.closes();
    proxy.heal();
    const next = await Peer.connect(proxy.port);
    next.socket.write("b");
    await next.receives("b");
    next.socket.destroy();
  });
});

test("half open: new connections are accepted and swallowed", async () => {
  await withEcho(async (proxy) => {
    proxy.halfOpen();
    const peer = await Peer.connect(proxy.port);
    peer.socket.write("anyone?");
    await new Promise((resolve) => setTimeout(resolve, 50)); // time for what must not come
    assert.equal(peer.received, "");
    assert.equal(peer.isClosed, false);
    assert.equal(proxy.connections, 0);
    proxy.heal();
    await peer.closes();
  });
});

test("connections wait for a target", async () => {
  await withEcho(async (_proxy, target) => {
    const later = await FaultProxy.start();
    try {
      const peer = await Peer.connect(later.port);
      peer.socket.write("first");
      later.setTarget(target);
      await peer.receives("first");
      peer.socket.destroy();
    } finally {
      await later.close();
    }
  });
});

test("a target that refuses resets the client", async () => {
  await withEcho(async (proxy) => {
    const closed = await FaultProxy.start();
    const { port } = closed;
    await closed.close();
    proxy.setTarget({ port });
    const peer = await Peer.connect(proxy.port);
    await peer.closes();
  });
});

test("close ends connections and can be repeated", async () => {
  await withEcho(async (proxy) => {
    const peer = await Peer.connect(proxy.port);
    await Promise.all([proxy.close(), proxy.close()]);
    await peer.closes();
    await assert.rejects(Peer.connect(proxy.port));
  });
});

test("a NATS client survives a cut", async () => {
  const server = await NatsServer.start({ jetstream: false });
  const proxy = await FaultProxy.start({ target: { port: server.port } });
  const nc = await connectNats({ servers: proxy.url, reconnectTimeWait: 20 });
  try {
    const reconnected = (async () => {
      for await (const status of nc.status()) if (status.type === "reconnect") return true;
      return false;
    })();
    proxy.cut();
    proxy.heal();
    assert.equal(await reconnected, true);
    await nc.flush();
  } finally {
    await nc.close();
    await proxy.close();
    await server.close();
  }
});

test("arguments that make no sense are refused", async () => {
  await assert.rejects(FaultProxy.start({ port: -1 }), RangeError);
  await assert.rejects(FaultProxy.start({ target: { port: 0 } }), /target\.port/);
  const proxy = await FaultProxy.start();
  try {
    assert.throws(() => proxy.throttle(0), RangeError);
    assert.throws(() => proxy.throttle("1" as never), TypeError);
    assert.throws(() => proxy.delay(-1), RangeError);
    assert.throws(() => proxy.drop({ direction: "up" as never }), /direction must be "toTarget"/);
  } finally {
    await proxy.close();
  }
});
