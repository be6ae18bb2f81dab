import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { inspect } from "node:util";
import { parseConnectOptions } from "./_connect_settings.ts";
import { configFromEnv, type Environment } from "./config_from_env.ts";

const pem = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----";

test("nothing set: nothing given, so that all defaults hold", () => {
  assert.deepEqual(configFromEnv({}), {});
  assert.deepEqual(configFromEnv({ NATS_URL: "", NATS_USER: "  ", NATS_TLS: undefined }), {});
  assert.deepEqual(configFromEnv({ NATS_BASE_DIR: "x", URL: "y", nats_url: "z" }), {});
});

test("every variable sets its option", () => {
  const cases: [Environment, object][] = [
    [{ NATS_URL: " a , tls://b:1 " }, { servers: ["a", "tls://b:1"] }],
    [{ NATS_NAME: "app" }, { name: "app" }],
    [{ NATS_USER: "me", NATS_PASSWORD: " p " }, { user: "me", pass: " p " }],
    [{ NATS_TOKEN: "t\n" }, { token: "t" }],
    [{ NATS_CREDS: "/run/me.creds" }, { credsFile: "/run/me.creds" }],
    [{ NATS_JWT: "j", NATS_NKEY_SEED: "s" }, { jwt: "j", nkeySeed: "s" }],
    [{ NATS_TLS: "on" }, { tls: {} }],
    [{ NATS_TLS: "off" }, { tls: null }],
    [{ NATS_TLS_CA: "/ca.pem" }, { tls: { caFile: "/ca.pem" } }],
    [{ NATS_TLS_CA: pem }, { tls: { ca: `${pem}\n` } }],
    [{ NATS_TLS_CA: pem.replaceAll("\n", "\\n") }, { tls: { ca: `${pem}\n` } }],
    [{ NATS_TLS_CERT: "/c", NATS_TLS_KEY: "/k" }, { tls: { certFile: "/c", keyFile: "/k" } }],
    [{ NATS_TLS_FIRST: "true" }, { tls: { handshakeFirst: true } }],
    [{ NATS_TLS_SERVER_NAME: "n" }, { tls: { serverName: "n" } }],
    [{ NATS_PLAINTEXT: "loopback" }, { plaintext: "loopback" }],
    [{ NATS_CONNECT_TIMEOUT_MS: "1" }, { timeoutMs: 1 }],
    [{ NATS_REQUEST_TIMEOUT_MS: " 2 " }, { requestTimeoutMs: 2 }],
    [{ NATS_DRAIN_TIMEOUT_MS: "3" }, { drainTimeoutMs: 3 }],
    [{ NATS_PING_INTERVAL_MS: "4" }, { pingIntervalMs: 4 }],
    [{ NATS_MAX_PINGS_OUT: "5" }, { maxPingsOut: 5 }],
    [{ NATS_RECONNECT: "no" }, { reconnect: false }],
    [{ NATS_RECONNECT: "yes" }, {}],
    [{ NATS_RECONNECT_ATTEMPTS: "6" }, { reconnect: { attempts: 6 } }],
    [{ NATS_RECONNECT_ATTEMPTS: "Infinite" }, { reconnect: { attempts: Infinity } }],
    [{ NATS_RECONNECT_INITIAL_MS: "7", NATS_RECONNECT_MAX_MS: "8" }, {
      reconnect: { initialMs: 7, maxMs: 8 },
    }],
    [{ NATS_BREAKER: "0" }, { breaker: false }],
    [{ NATS_BREAKER_THRESHOLD: "9", NATS_BREAKER_MAX_MS: "10" }, {
      breaker: { threshold: 9, maxMs: 10 },
    }],
    [{ NATS_HEALTH_INTERVAL_MS: "11" }, { health: { intervalMs: 11 } }],
    [{ NATS_HEALTH_INTERVAL_MS: "0" }, { health: false }],
  ];
  for (const [env, expected] of cases) assert.deepEqual(configFromEnv(env), expected);
  const together = Object.assign({}, ...cases.slice(0, 3).map(([env]) => env));
  parseConnectOptions(configFromEnv(together));
});

test("the documented table names every variable that is read", async () => {
  const read: string[] = [];
  const env = new Proxy<Record<string, string>>({}, {
    getOwnPropertyDescriptor: (_, name) => {
      read.push(String(name));
      return undefined;
    },
  });
  configFromEnv(env);
  const { readFile } = await import("node:fs/promises");
  const source = await readFile(new URL("config_from_env.ts", import.meta.url), "utf8");
  const documented = [...source.matchAll(/^ \* \| `(NATS_\w+)`/gm)].map(([, name]) => name);
  assert.deepEqual([...new Set(read)].sort(), documented.toSorted());
});

test("what makes no sense is an error that names the variable, never a secret", () => {
  const secret = "hunter2";
  const wrong: [Environment, RegExp][] = [
    [{ NATS_PASSWORD: secret }, /NATS_PASSWORD needs NATS_USER/],
    [{ NATS_TOKEN: secret, NATS_USER: "me" }, /only one of NATS_USER, NATS_TOKEN/],
    [{ NATS_CREDS: "/a", NATS_NKEY_SEED: secret }, /only one of NATS_CREDS, NATS_NKEY_SEED/],
    [{ NATS_CREDS: `-----BEGIN\n${secret}` }, /NATS_CREDS must be the path/],
    [{ NATS_TLS: secret }, /NATS_TLS must be on or off/],
    [{ NATS_TLS: "off", NATS_TLS_CA: "/a" }, /NATS_TLS is off, but/],
    [{ NATS_RECONNECT: "off", NATS_RECONNECT_MAX_MS: "5" }, /NATS_RECONNECT is off, but/],
    [{ NATS_PLAINTEXT: secret }, /NATS_PLAINTEXT must be one of allow, loopback/],
    [{ NATS_CONNECT_TIMEOUT_MS: secret }, /NATS_CONNECT_TIMEOUT_MS must be an integer/],
    [{ NATS_CONNECT_TIMEOUT_MS: "1e3" }, /must be an integer/],
    [{ NATS_CONNECT_TIMEOUT_MS: "1.5" }, /must be an integer/],
    [{ NATS_NAME: 5 as never }, /NATS_NAME must be a string/],
  ];
  for (const [env, message] of wrong) {
    assert.throws(() => configFromEnv(env), (error) => {
      assert.ok(error instanceof TypeError);
      assert.match(error.message, message);
      assert.doesNotMatch(inspect(error), /hunter2/);
      return true;
    });
  }
  for (
    const env of [
      { NATS_CONNECT_TIMEOUT_MS: "0" },
      { NATS_REQUEST_TIMEOUT_MS: "2147483648" },
      { NATS_DRAIN_TIMEOUT_MS: "-1" },
      { NATS_MAX_PINGS_OUT: "1001" },
      { NATS_HEALTH_INTERVAL_MS: "9" },
    ]
  ) {
    const message = new RegExp(Object.keys(env)[0] ?? "");
    assert.throws(() => configFromEnv(env), { name: "RangeError", message });
  }
});

test("another prefix", () => {
  const env = { SHOP_URL: "a", NATS_URL: "b", URL: "c" };
  assert.deepEqual(configFromEnv(env, { prefix: "SHOP_" }), { servers: ["a"] });
  assert.deepEqual(configFromEnv(env, { prefix: "" }), { servers: ["c"] });
  assert.throws(() => configFromEnv(env, { prefix: "A-" }), TypeError);
  assert.throws(() => configFromEnv(env, { prefix: 5 as never }), TypeError);
  assert.throws(() => configFromEnv(env, { prefx: "A" } as never), /does not know the option/);
  assert.throws(() => configFromEnv(5 as never), /env must be an object/);
});

test("process.env is read when no environment is given", () => {
  const prefix = "JSFLOW_TEST_ENV_";
  process.env[`${prefix}NAME`] = "from process";
  try {
    assert.deepEqual(configFromEnv(undefined, { prefix }), { name: "from process" });
  } finally {
    delete process.env[`${prefix}NAME`];
  }
});
