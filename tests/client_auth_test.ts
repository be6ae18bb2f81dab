import { nkeys } from "@nats-io/nats-core";
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import type { Client } from "../client/client.ts";
import { connect } from "../client/connect.ts";
import type { ConnectOptions } from "../client/connect_options.ts";
import { isJsflowError } from "../client/errors.ts";
import { connectionsOf, withClient, withServer } from "../client/testdata/server_ground.ts";
import { withFolder } from "../client/testdata/with_folder.ts";
import { NatsServer } from "../testing/nats_server.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { createOperator } from "./_jwt.ts";

async function accepted(options: ConnectOptions): Promise<void> {
  await withClient(options, (client) => client.connection.flush());
}

async function rejected(options: ConnectOptions, secret: string): Promise<void> {
  await assert.rejects(connect(options), (error) => {
    assert.ok(isJsflowError(error, "authorization"), inspect(error));
    assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(secret));
    return true;
  });
}

test("user and password, also from a function", async () => {
  await withServer({ jetstream: false, auth: { user: "me", pass: "hunter2" } }, async ({ url }) => {
    await accepted({ servers: url, user: "me", pass: "hunter2" });
    await accepted({ servers: url, user: "me", pass: () => "hunter2" });
    await rejected({ servers: url, user: "me", pass: "hunter3" }, "hunter3");
    await rejected({ servers: url, user: "me", pass: () => "hunter3" }, "hunter3");
    await rejected({ servers: url, user: "me" }, "hunter");
  });
});

test("a token, also from a function", async () => {
  await withServer({ jetstream: false, auth: { token: "t0ken" } }, async ({ url }) => {
    await accepted({ servers: url, token: "t0ken" });
    await accepted({ servers: url, token: () => "t0ken" });
    await rejected({ servers: url, token: "wr0ng" }, "wr0ng");
  });
});

test("an nkey", async () => {
  const seedOf = () => new TextDecoder().decode(nkeys.createUser().getSeed());
  const [nkeySeed, other] = [seedOf(), seedOf()];
  await withServer({ jetstream: false, auth: { nkeySeed } }, async ({ url }) => {
    await accepted({ servers: url, nkeySeed });
    await accepted({ servers: url, nkeySeed: () => `${nkeySeed}\n` });
    await rejected({ servers: url, nkeySeed: other }, other);
  });
});

test("a JWT and its seed, as creds, from a creds file, and apart", async () => {
  const operator = createOperator();
  const { creds, jwt, seed } = operator.createUser();
  const stranger = createOperator().createUser();
  await withServer({ jetstream: false, config: operator.config }, async ({ url }) => {
    await accepted({ servers: url, creds });
    await accepted({ servers: url, creds: new TextEncoder().encode(creds) });
    await accepted({ servers: url, creds: () => creds.replaceAll("\n", "\r\n") });
    await accepted({ servers: url, jwt, nkeySeed: seed });
    await accepted({ servers: url, jwt: () => jwt, nkeySeed: () => seed });
    await rejected({ servers: url, creds: stranger.creds }, stranger.seed);
    await rejected({ servers: url, jwt, nkeySeed: stranger.seed }, stranger.seed);
    await rejected({ servers: url, jwt }, jwt);
    await withFolder(async (folder) => {
      const credsFile = join(folder, "me.creds");
      await rejected({ servers: url, credsFile }, seed);
      await writeFile(credsFile, creds);
      await accepted({ servers: url, credsFile });
    });
  });
});

/** Ends the connection, and waits until a new one stands. */
async function afterReconnect(client: Client, cut: () => Promise<void>): Promise<void> {
  const { reconnects } = watchReconnects(client);
  await cut();
  await waitUntil(() => reconnects() > 0, { what: "it has reconnected", timeoutMs: 20_000 });
  await client.connection.flush();
}

function watchReconnects(client: Client): { reconnects: () => number } {
  let count = 0;
  const watch = async () => {
    for await (const { type } of client.connection.status()) if (type === "reconnect") count++;
  };
  watch();
  return { reconnects: () => count };
}

test("a creds file is read anew at each reconnect, and may be gone for a while", async () => {
  const operator = createOperator();
  const [one, other] = [operator.createUser(), operator.createUser()];
  await withServer(
    { jetstream: false, config: operator.config },
    (server) =>
      withFolder(async (folder) => {
        const credsFile = join(folder, "me.creds");
        await writeFile(credsFile, one.creds);
        await withClient({ servers: server.url, credsFile }, async (client) => {
          const key = () => connectedKey(server);
          const first = await key();
          await writeFile(credsFile, other.creds);
          await afterReconnect(client, () => server.restart());
          const second = await key();
          assert.notEqual(second, first, "the new user");
          await rm(credsFile);
          await afterReconnect(client, () => server.restart());
          assert.equal(await key(), second, "the last good one");
        });
      }),
  );
});

/** The public key of the one user that is connected. */
async function connectedKey(server: NatsServer): Promise<string | undefined> {
  const connections = await connectionsOf(server);
  assert.equal(connections.length, 1);
  return connections[0]?.authorized_user ?? connections[0]?.nkey;
}

test("credentials that expire: the connection comes back with the rotated ones", async () => {
  const operator = createOperator();
  await withServer({ jetstream: false, config: operator.config }, async ({ url }) => {
    const fresh = operator.createUser().creds;
    let creds = operator.createUser({ expiresInSeconds: 3 }).creds;
    const expired = Date.now() + 3_000;
    const options = { servers: url, creds: () => creds, reconnect: { maxMs: 100 } };
    await withClient(options, async (client) => {
      const errors: string[] = [];
      const watch = async () => {
        for await (const status of client.connection.status()) {
          if (status.type === "error") errors.push(status.error.name);
        }
      };
      const watching = watch();
      const { reconnects } = watchReconnects(client);
      // Within the second in which they expire, the server still takes them now and then.
      const what = "the expired ones are rejected";
      await waitUntil(() => Date.now() > expired + 1_000, { what: "a second", timeoutMs: 20_000 });
      const [before, seen] = [reconnects(), errors.length];
      await waitUntil(() => errors.length >= seen + 3, { what, timeoutMs: 20_000 });
      assert.ok(errors.includes("UserAuthenticationExpiredError"), errors.join());
      assert.equal(reconnects(), before, "none came through");
      assert.notEqual(client.status, "closed");
      creds = fresh;
      await waitUntil(() => reconnects() > before, { what: "it is back", timeoutMs: 20_000 });
      await client.connection.flush();
      await client.close();
      await watching;
    });
  });
});

test("a password that the server has changed: rejected for a while, then rotated", async () => {
  const first = await NatsServer.start({ jetstream: false, auth: { user: "me", pass: "old" } });
  const { port } = first;
  let second: NatsServer | undefined;
  try {
    let pass = "old";
    const options = { servers: first.url, user: "me", pass: () => pass, reconnect: { maxMs: 100 } };
    await withClient(options, async (client) => {
      const { reconnects } = watchReconnects(client);
      await first.close();
      const server = await NatsServer.start({
        jetstream: false,
        port,
        auth: { user: "me", pass: "new" },
      });
      second = server;
      const violations = () => server.log().match(/authentication error/g)?.length ?? 0;
      await waitUntil(() => violations() >= 3, { what: "the old one is rejected" });
      assert.equal(reconnects(), 0);
      pass = "new";
      await waitUntil(() => reconnects() > 0, { what: "it is back" });
      await client.connection.flush();
    });
  } finally {
    await first.close();
    await second?.close();
  }
});

test("a function that fails at reconnect does not end the client", async () => {
  await withServer({ jetstream: false, auth: { token: "t0ken" } }, async (server) => {
    let calls = 0;
    const token = () => {
      if (++calls === 2) throw new Error("vault sealed");
      return "t0ken";
    };
    await withClient({ servers: server.url, token }, async (client) => {
      await afterReconnect(client, () => server.restart());
      assert.ok(calls >= 2);
    });
  });
});

test("reconnecting can be bounded, and switched off", async () => {
  for (const reconnect of [false, { attempts: 2, initialMs: 10 }] as const) {
    await withServer({ jetstream: false }, async (server) => {
      await withClient({ servers: server.url, reconnect }, async (client) => {
        await server.kill();
        await waitUntil(() => client.status === "closed", { what: "the client has given up" });
      });
    });
  }
});
