import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { nkeys } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { NatsServer } from "./nats_server.ts";
import type { NatsServerOptions } from "./server_options.ts";
import { createTestCertificates } from "./test_certificates.ts";
import { waitUntil } from "./wait_until.ts";
import { isAlive } from "./tests/is_alive.ts";

/** Runs a test with a server and closes it, whatever happens. */
async function withServer(
  options: NatsServerOptions,
  run: (server: NatsServer) => Promise<void>,
): Promise<void> {
  const server = await NatsServer.start(options);
  try {
    await run(server);
  } finally {
    await server.close();
  }
}

async function storeMessage(server: NatsServer): Promise<void> {
  const nc = await connect(server.connectOptions);
  try {
    const jsm = await jetstreamManager(nc);
    await jsm.streams.add({ name: "S", subjects: ["s"] });
    await jetstream(nc).publish("s", "kept");
  } finally {
    await nc.close();
  }
}

async function countMessages(server: NatsServer): Promise<number> {
  const nc = await connect(server.connectOptions);
  try {
    return (await (await jetstreamManager(nc)).streams.info("S")).state.messages;
  } finally {
    await nc.close();
  }
}

test("a server is ready once started, with JetStream, and says what it is", async () => {
  await withServer({ name: "first" }, async (server) => {
    await storeMessage(server);
    assert.equal(await countMessages(server), 1);
    assert.match(server.version, /^\d+\.\d+\.\d+/);
    assert.match(server.url, /^nats:\/\/127\.0\.0\.1:\d+$/);
    assert.match(server.log(), /Listening for client connections on 127\.0\.0\.1/);
    assert.ok(server.isRunning);
    const varz = await (await fetch(`${server.monitorUrl}/varz`)).json();
    assert.equal(varz.server_name, "first");
    assert.equal(varz.version, server.version);
  });
});

test("close ends the process, removes the temporary store and can be repeated", async () => {
  const server = await NatsServer.start();
  const { pid, storeDir } = server;
  assert.ok(existsSync(storeDir));
  await Promise.all([server.close(), server.close()]);
  assert.equal(server.isRunning, false);
  assert.equal(isAlive(pid), false);
  assert.equal(existsSync(dirname(storeDir)), false);
  await assert.rejects(server.restart(), /cannot restart nats-server: it is closed/);
});

for (const [how, end] of [["kill", "kill"], ["stop", "stop"], ["restart alone", "none"]] as const) {
  test(`restart after ${how} keeps the port and the store`, async () => {
    await withServer({}, async (server) => {
      const { port, monitorUrl, pid } = server;
      await storeMessage(server);
      if (end !== "none") {
        await server[end]();
        assert.equal(server.isRunning, false);
        await assert.rejects(connect({ servers: server.url, timeout: 1_000 }));
      }
      await server.restart();
      assert.equal(server.port, port);
      assert.equal(server.monitorUrl, monitorUrl);
      assert.notEqual(server.pid, pid);
      assert.equal(isAlive(pid), false);
      assert.equal(await countMessages(server), 1);
    });
  });
}

test("a paused server does not answer until it continues", async (t) => {
  if (process.platform === "win32") return t.skip("Windows has no SIGSTOP");
  await withServer({}, async (server) => {
    const nc = await connect({ servers: server.url });
    try {
      await nc.flush();
      server.pause();
      const answered = nc.flush().then(() => true);
      const late = new Promise((resolve) => setTimeout(resolve, 100, "late"));
      assert.equal(await Promise.race([answered, late]), "late");
      server.continue();
      assert.equal(await answered, true);
      server.pause();
      await server.stop(); // a frozen server can be stopped, too
      assert.throws(() => server.pause(), /cannot pause nats-server: it is not running/);
    } finally {
      await nc.close();
    }
  });
});

test("settings of JetStream and of the server reach it", async () => {
  const jetstream = { max_file_store: "1G", max_memory_store: 1024 };
  await withServer({ jetstream, config: { max_payload: 2048, ping_max: 3 } }, async (server) => {
    const nc = await connect({ servers: server.url });
    try {
      assert.equal(nc.info?.max_payload, 2048);
      const { config } = await (await fetch(`${server.monitorUrl}/jsz`)).json();
      assert.deepEqual([config.max_storage, config.max_memory], [2 ** 30, 1024]);
    } finally {
      await nc.close();
    }
  });
});

test("a store given by its folder is kept", async () => {
  const storeDir = await mkdtemp(join(tmpdir(), "jsflow-store-"));
  try {
    await withServer({ storeDir }, storeMessage);
    await withServer({ storeDir }, async (server) => assert.equal(await countMessages(server), 1));
  } finally {
    await rm(storeDir, { recursive: true });
  }
});

test("without JetStream the server has none", async () => {
  await withServer({ jetstream: false }, async (server) => {
    const nc = await connect({ servers: server.url });
    try {
      await assert.rejects(nc.request("$JS.API.INFO"), /no responders/);
    } finally {
      await nc.close();
    }
  });
});

const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
const ways = {
  "user and password": { user: "ann", pass: 'p"a\\s$1' },
  token: { token: "t0ken" },
  nkey: { nkeySeed: seed },
} as const;
for (const [way, auth] of Object.entries(ways)) {
  test(`auth by ${way} lets in those who have it, and nobody else`, async () => {
    await withServer({ auth }, async (server) => {
      await storeMessage(server);
      await assert.rejects(connect({ servers: server.url }), { name: "AuthorizationError" });
    });
  });
}

test("users from the configuration: with their credentials, and without", async () => {
  const accounts = { A: { jetstream: true, users: [{ user: "a", password: "a" }] } };
  const credentials = { user: "a", pass: "a" };
  await withServer({ config: { accounts }, credentials }, storeMessage);
  await withServer({ config: { accounts } }, async (server) => {
    const nc = await connect({ servers: server.url, ...credentials });
    await nc.close();
    assert.match(server.version, /^\d+\.\d+\.\d+/);
  });
});

test("TLS: a client that trusts the authority gets in, a plain one does not", async () => {
  await withServer({ tls: true }, async (server) => {
    await storeMessage(server);
    assert.match(server.certificates?.ca ?? "", /BEGIN CERTIFICATE/);
    const stranger = { ca: createTestCertificates().ca };
    await assert.rejects(connect({ servers: server.url, tls: stranger, timeout: 2_000 }));
  });
});

test("TLS with client certificates refuses a client without one", async () => {
  await withServer({ tls: { verifyClients: true } }, async (server) => {
    await storeMessage(server);
    const ca = server.certificates?.ca ?? "";
    await assert.rejects(
      connect({ servers: server.url, tls: { ca }, timeout: 2_000, reconnect: false }),
    );
  });
});

test("a server that ends early is reported with its log", async () => {
  await assert.rejects(
    NatsServer.start({ config: { max_paylode: 1 } }),
    (error: Error) => {
      assert.match(error.message, /cannot start .*nats-server.*it ended early \(exit 1\)/);
      assert.match(error.message, /max_paylode/);
      return true;
    },
  );
});

test("a program that is no nats-server, or is not there, is reported", async () => {
  await assert.rejects(
    NatsServer.start({ binary: "/no/such/nats-server" }),
    /cannot start .*ENOENT/,
  );
  const node = NatsServer.start({ binary: process.execPath, startTimeoutMs: 5_000 });
  await assert.rejects(node, /cannot start .*it ended early/);
});

test("a server that is not ready in time is ended and reported", async () => {
  const start = NatsServer.start({ startTimeoutMs: 1 });
  await assert.rejects(start, /cannot start .*waited \d+ ?.* until nats-server/);
});

test("a port that is taken is an early end that says so", async () => {
  await withServer({ jetstream: false }, async ({ port }) => {
    await assert.rejects(NatsServer.start({ port }), /address already in use/);
  });
});

test("a restart waits for its port while somebody else has it", async () => {
  await withServer({ jetstream: false }, async (server) => {
    const { port } = server;
    await server.stop();
    const squatter = await NatsServer.start({ port, jetstream: false });
    const restarted = server.restart();
    await waitUntil(() => server.log().includes("address already in use"), {
      what: "the port is found taken",
    });
    await squatter.close();
    await restarted;
    assert.equal(server.port, port);
  });
});

test("options that make no sense are refused before anything is started", async () => {
  const bad: [NatsServerOptions, RegExp | typeof RangeError][] = [
    [{ ports: 1 } as never, /does not know the option "ports"/],
    [{ port: 0 }, /port must be -1 .*or 1 to 65535/],
    [{ port: 70_000 }, RangeError],
    [{ startTimeoutMs: -1 }, RangeError],
    [{ config: { host: "0.0.0.0" } }, /config\.host can't be set: .*127\.0\.0\.1/],
    [{ config: { x: null } as never }, /config\.x must be a string, number/],
    [{ jetstream: { store_dir: "x" } }, /use the option storeDir/],
    [{ auth: { user: "a" } as never }, /auth must be \{ user, pass \}/],
    [{ auth: { nkeySeed: "SUNO" } }, /seed of a user nkey/],
    [{ binary: "a", version: "2.9.10" }, /either the option binary or version/],
    [{ auth: { token: "a" }, config: { authorization: {} } }, /not both/],
  ];
  for (const [options, expected] of bad) {
    await assert.rejects(NatsServer.start(options), expected);
  }
});
