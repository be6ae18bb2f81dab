import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { forgetSecrets, parseConnectOptions } from "./_connect_settings.ts";
import { redactedOptions } from "./_redact.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { connectDefaults } from "./connect_defaults.ts";

const shown = (options: ConnectOptions) => redactedOptions(parseConnectOptions(options));

test("without options: the defaults", () => {
  const { name, servers, ...rest } = shown({});
  assert.match(name, /^jsflow/);
  assert.deepEqual(servers, ["127.0.0.1:4222"]);
  const { servers: _, health: __, offline: ___, ...defaults } = connectDefaults;
  const { tracing, metrics, xHeaders } = connectDefaults.telemetry;
  assert.deepEqual(rest, {
    ...defaults,
    health: false,
    offline: "fail",
    telemetry: { tracing, metrics, xHeaders },
    nats: {},
  });
});

test("what is no secret is shown as it is", () => {
  const options: ConnectOptions = {
    servers: ["tls://a:1", "b:2"],
    name: "app",
    user: "me",
    reconnect: false,
    breaker: false,
    health: { intervalMs: 500 },
    offline: { maxMessages: 7 },
    plaintext: "loopback",
    telemetry: { tracing: false, tracerProvider: { getTracer: () => ({}) as never } },
    tls: { caFile: "ca.pem", serverName: "nats", rejectUnauthorized: false },
    nats: { noEcho: true, inboxPrefix: "_MINE" },
  };
  const { servers, name, user, reconnect, breaker, health, offline, telemetry, tls, nats } = shown(
    options,
  );
  assert.deepEqual(servers, ["a:1", "b:2"]);
  assert.deepEqual([name, user, reconnect, breaker], ["app", "me", false, false]);
  assert.deepEqual(health, { intervalMs: 500 });
  assert.deepEqual(offline, { maxMessages: 7, maxBytes: 8_388_608 });
  assert.deepEqual(telemetry, {
    tracing: false,
    metrics: true,
    xHeaders: false,
    tracerProvider: "[given]",
  });
  assert.deepEqual(tls, { caFile: "ca.pem", serverName: "nats", rejectUnauthorized: false });
  assert.deepEqual(nats, { noEcho: true, inboxPrefix: "_MINE" });
  assert.equal(shown({ tls: null }).tls, null);
  assert.equal(shown({ credsFile: "me.creds" }).credsFile, "me.creds");
});

test("secrets are shown as [redacted], by console.log, JSON and inspect", () => {
  const pem = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
  const cert = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n";
  const ways: [ConnectOptions, object][] = [
    [{ servers: "nats://me:hunter2@a" }, { user: "me", pass: "[redacted]" }],
    [{ servers: "nats://hunter2@a" }, { token: "[redacted]" }],
    [{ user: "me", pass: "hunter2" }, { user: "me", pass: "[redacted]" }],
    [{ user: "me", pass: () => "hunter2" }, { user: "me", pass: "[redacted]" }],
    [{ token: "hunter2" }, { token: "[redacted]" }],
    [{ jwt: "hunter2" }, { jwt: "[redacted]" }],
    [{ authenticator: () => ({ auth_token: "hunter2" }) }, { authenticator: "[redacted]" }],
    [{ tls: { cert, key: pem } }, { tls: { cert: "[PEM]", key: "[redacted]" } }],
    [{ nats: { secret: "hunter2", f: { x: "hunter2" } } as never }, {
      nats: { secret: "[redacted]", f: "[redacted]" },
    }],
  ];
  for (const [options, expected] of ways) {
    const settings = parseConnectOptions(options);
    const view = redactedOptions(settings);
    const texts = [
      inspect(view, { depth: 20, showHidden: true }),
      JSON.stringify(view),
      options.nats === undefined ? inspect(settings, { depth: 20, showHidden: true }) : "",
    ];
    for (const text of texts) assert.doesNotMatch(text, /hunter2/, inspect(expected));
    for (const [key, value] of Object.entries(expected)) {
      assert.deepEqual(view[key as keyof typeof view], value, key);
    }
    forgetSecrets(settings);
    assert.deepEqual(redactedOptions(settings), view, "also once they are forgotten");
  }
});

test("the view is frozen all the way down", () => {
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    assert.ok(Object.isFrozen(value));
    Object.values(value).forEach(walk);
  };
  walk(shown({ tls: {}, health: {}, offline: {}, nats: { noEcho: true } }));
});
