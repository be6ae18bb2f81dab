import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, connect as connectSocket, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { createServer } from "node:tls";
import { inspect } from "node:util";
import { connect } from "../client/connect.ts";
import type { ConnectOptions, ConnectTlsOptions } from "../client/connect_options.ts";
import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { untilLost, withClient, withServer } from "../client/testdata/server_ground.ts";
import { withFolder } from "../client/testdata/with_folder.ts";
import type { NatsServer } from "../testing/nats_server.ts";
import { createTestCertificates, type TestCertificates } from "../testing/test_certificates.ts";
import { waitUntil } from "../testing/wait_until.ts";

/** A server with TLS, and its certificates as files. */
async function withTls(
  options: { verifyClients?: boolean; hosts?: readonly string[] },
  use: (server: NatsServer, certificates: TestCertificates, folder: string) => Promise<void>,
): Promise<void> {
  const { verifyClients, hosts } = options;
  const certificates = createTestCertificates({ hosts });
  const { ca, clientCert: cert, clientKey: key } = certificates;
  const tls = { ca, cert, key, rejectUnauthorized: false }; // of the check that the server is up
  const server = { jetstream: false, tls: { certificates, verifyClients }, credentials: { tls } };
  await withFolder(async (folder) => {
    await writeFile(join(folder, "ca.pem"), ca);
    await writeFile(join(folder, "cert.pem"), cert);
    await writeFile(join(folder, "key.pem"), key);
    await withServer(server, (server) => use(server, certificates, folder));
  });
}

async function accepted(options: ConnectOptions): Promise<void> {
  await withClient(options, (client) => client.connection.flush());
}

async function rejected(options: ConnectOptions, code: JsflowErrorCode, message: RegExp) {
  await assert.rejects(connect(options), (error) => {
    assert.ok(isJsflowError(error, code), inspect(error));
    assert.match(error.message, message);
    assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /PRIVATE KEY/);
    return true;
  });
}

test("an authority of one's own, as a PEM text and as a file", async () => {
  await withTls({}, async ({ url }, { ca }, folder) => {
    await accepted({ servers: url, tls: { ca } });
    await accepted({ servers: url, tls: { caFile: join(folder, "ca.pem") } });
    await accepted({ servers: url.replace("nats://", "tls://"), tls: { ca } });
    await accepted({ servers: url, tls: { rejectUnauthorized: false } });
  });
});

test("a wrong authority, none, and a file that is missing", async () => {
  await withTls({}, async ({ url }, _, folder) => {
    const { ca } = createTestCertificates();
    await rejected({ servers: url, tls: { ca } }, "authorization", /certificate/);
    await rejected({ servers: url, tls: {} }, "authorization", /certificate/);
    const caFile = join(folder, "missing.pem");
    await assert.rejects(connect({ servers: url, tls: { caFile } }), /missing\.pem/);
  });
});

test("a client's certificate: right, none, and of a stranger", async () => {
  await withTls({ verifyClients: true }, async ({ url }, { ca, clientCert, clientKey }, folder) => {
    await accepted({ servers: url, tls: { ca, cert: clientCert, key: clientKey } });
    const file = (name: string) => join(folder, name);
    const files = { caFile: file("ca.pem"), certFile: file("cert.pem"), keyFile: file("key.pem") };
    await accepted({ servers: url, tls: files });
    // Deno ends the process by an error that the native client leaves without a listener.
    if (process.versions["deno"] !== undefined) return;
    const stranger = createTestCertificates();
    const wrong: ConnectTlsOptions[] = [
      { ca },
      { ca, cert: stranger.clientCert, key: stranger.clientKey },
    ];
    for (const tls of wrong) {
      await assert.rejects(connect({ servers: url, tls, timeoutMs: 1_000 }), (error) => {
        assert.ok(isJsflowError(error), inspect(error));
        assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /PRIVATE KEY/);
        return true;
      });
    }
  });
});

test("a certificate is verified for the address in use", async () => {
  await withTls({ hosts: ["127.0.0.1"] }, async ({ port }, { ca }) => {
    await accepted({ servers: `127.0.0.1:${port}`, tls: { ca } });
    await rejected({ servers: `localhost:${port}`, tls: { ca } }, "authorization", /match/);
    await accepted({ servers: `localhost:${port}`, tls: { ca, serverName: "127.0.0.1" } });
  });
  await withTls({ hosts: ["localhost"] }, async ({ port }, { ca }) => {
    await accepted({ servers: `localhost:${port}`, tls: { ca } });
    await rejected({ servers: `127.0.0.1:${port}`, tls: { ca } }, "authorization", /match/);
    await accepted({ servers: `127.0.0.1:${port}`, tls: { ca, serverName: "localhost" } });
  });
  await withTls({ hosts: ["nats.example.com"] }, async ({ url }, { ca }) => {
    await rejected({ servers: url, tls: { ca } }, "authorization", /match/);
    await accepted({ servers: url, tls: { ca, serverName: "nats.example.com" } });
  });
});

test("the encrypted connection comes back, with files read anew", async () => {
  await withTls({ verifyClients: true }, async (server, _, folder) => {
    const file = (name: string) => join(folder, name);
    const tls = { caFile: file("ca.pem"), certFile: file("cert.pem"), keyFile: file("key.pem") };
    await withClient({ servers: server.url, tls, reconnect: { maxMs: 100 } }, async (client) => {
      const key = file("key.pem");
      const moved = file("moved.pem");
      const { rename } = await import("node:fs/promises");
      await rename(key, moved);
      await server.restart();
      await untilLost(client);
      await rename(moved, key);
      await waitUntil(() => client.status === "connected", { what: "it is back" });
      await client.connection.flush();
    });
  });
});

/** Speaks TLS from the first byte, and passes on what it hears. */
async function withTerminator(
  { ca, serverCert, serverKey }: TestCertificates,
  port: number,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const terminator = createServer({ ca, cert: serverCert, key: serverKey }, (socket) => {
    const upstream = connectSocket(port, "127.0.0.1");
    for (const one of [socket, upstream]) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => [socket, upstream].forEach((both) => both.destroy()));
    }
    socket.pipe(upstream).pipe(socket);
  });
  terminator.on("tlsClientError", () => {}); // the probe only opens the port
  terminator.listen(0, "127.0.0.1");
  await once(terminator, "listening");
  try {
    await use((terminator.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => terminator.close(resolve));
  }
}

test("the handshake first, where the server wants it", async () => {
  const certificates = createTestCertificates();
  const { ca } = certificates;
  // A server that also takes plaintext, behind one that speaks TLS at once.
  const options = { jetstream: false, tls: { certificates }, config: { allow_non_tls: true } };
  await withServer(options, async (server) => {
    await withTerminator(certificates, server.port, async (port) => {
      const tls = { ca, handshakeFirst: true };
      await accepted({ servers: `127.0.0.1:${port}`, tls });
      const other = createTestCertificates().ca;
      const wrong = { servers: `127.0.0.1:${port}`, tls: { ca: other, handshakeFirst: true } };
      await rejected(wrong, "authorization", /certificate/);
    });
  });
});

test("plaintext is refused when TLS is demanded and the server has none", async () => {
  await withServer({ jetstream: false }, async ({ port }) => {
    const servers = `127.0.0.1:${port}`;
    await rejected({ servers, tls: {} }, "connection_refused", /tls/);
    await rejected({ servers: `tls://${servers}` }, "connection_refused", /tls/);
    await accepted({ servers, plaintext: "loopback" });
    const elsewhere = connect({
      servers: [servers, "192.0.2.1"],
      plaintext: "loopback",
      tls: null,
    });
    await assert.rejects(elsewhere, {
      name: "TypeError",
      message: /192\.0\.2\.1:4222 is elsewhere/,
    });
  });
});
