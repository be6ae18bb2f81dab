import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { forgetSecrets, parseConnectOptions } from "./_connect_settings.ts";
import { connectDefaults } from "./connect_defaults.ts";
import type { ConnectOptions } from "./connect_options.ts";

test("defaults: all as the exported constants say", () => {
  const settings = parseConnectOptions({});
  assert.deepEqual(settings.servers.addresses.map(({ listen }) => listen), ["127.0.0.1:4222"]);
  assert.equal(settings.signal, undefined);
  assert.match(settings.name, /^jsflow/);
  for (
    const key of [
      "timeoutMs",
      "requestTimeoutMs",
      "drainTimeoutMs",
      "pingIntervalMs",
      "maxPingsOut",
      "plaintext",
    ] as const
  ) assert.equal(settings[key], connectDefaults[key], key);
  assert.deepEqual(settings.reconnect, { ...connectDefaults.reconnect });
  assert.deepEqual(settings.breaker, { ...connectDefaults.breaker });
  assert.equal(settings.health, undefined);
  assert.equal(settings.offline, undefined);
  const { tracing, metrics, xHeaders } = settings.telemetry;
  assert.deepEqual({ tracing, metrics, xHeaders }, { ...connectDefaults.telemetry });
});

test("the constants are frozen", () => {
  assert.ok(Object.isFrozen(connectDefaults));
  for (const inner of Object.values(connectDefaults)) assert.ok(Object.isFrozen(inner));
});

test("the native client gets all that is its own", () => {
  const { native } = parseConnectOptions({
    name: "app",
    timeoutMs: 1_000,
    pingIntervalMs: 2_000,
    maxPingsOut: 3,
    reconnect: { attempts: 4, initialMs: 7, jitter: false },
  });
  assert.deepEqual(
    [native.name, native.timeout, native.pingInterval, native.maxPingOut],
    ["app", 1_000, 2_000, 3],
  );
  assert.deepEqual([native.reconnect, native.maxReconnectAttempts], [true, 4]);
  assert.equal(native.reconnectDelayHandler?.(), 7);
  assert.equal(native.ignoreAuthErrorAbort, true);
  assert.ok(!("tls" in native), "as the server wants");
  assert.equal(parseConnectOptions({}).native.maxReconnectAttempts, -1);
  assert.equal(parseConnectOptions({ reconnect: false }).native.reconnect, false);
});

test("groups can be switched on and off, and keep the defaults of what is left out", () => {
  const on = parseConnectOptions({
    health: {},
    offline: { maxMessages: 5 },
    breaker: { threshold: 2, maxMs: undefined },
  });
  assert.deepEqual(on.health, { intervalMs: 10_000 });
  assert.deepEqual(on.offline, { maxMessages: 5, maxBytes: 8_388_608 });
  assert.deepEqual(on.breaker, { threshold: 2, initialMs: 1_000, maxMs: 60_000 });
  const off = parseConnectOptions({
    health: false,
    offline: "fail",
    breaker: false,
    reconnect: false,
  });
  const { health, offline, breaker, reconnect } = off;
  assert.deepEqual([health, offline, breaker, reconnect], Array(4).fill(undefined));
  const slow = parseConnectOptions({ breaker: { initialMs: 90_000 } });
  assert.equal(slow.breaker?.maxMs, 90_000, "the bound is never below the start");
});

test("an explicit undefined erases no default", () => {
  const keys = ["authenticator", "breaker", "creds", "drainTimeoutMs", "health", "maxPingsOut"];
  const more = ["name", "nats", "offline", "pass", "pingIntervalMs", "plaintext", "reconnect"];
  const rest = ["requestTimeoutMs", "servers", "signal", "telemetry", "timeoutMs", "tls", "user"];
  const given = Object.fromEntries([...keys, ...more, ...rest].map((key) => [key, undefined]));
  const shown = (options: ConnectOptions) => inspect(parseConnectOptions(options), { depth: 9 });
  assert.equal(shown(given), shown({}));
  const reconnect = { attempts: undefined, initialMs: undefined, jitter: undefined };
  assert.equal(shown({ reconnect, nats: { noEcho: undefined } as never }), shown({}));
});

test("native options pass through, and the caller's objects stay as they are", () => {
  const nats = Object.freeze({ noEcho: true, inboxPrefix: "_MINE" });
  const tls = Object.freeze({ handshakeFirst: true });
  const options = Object.freeze({ nats, tls, user: "me", pass: "", name: "app" });
  const { native } = parseConnectOptions(options);
  assert.deepEqual([native.noEcho, native.inboxPrefix, native.name], [true, "_MINE", "app"]);
  assert.deepEqual(native.authenticator instanceof Function && native.authenticator("nonce"), {
    user: "me",
    pass: "",
  });
});

test("wrong types, unknown options and what contradicts itself: TypeError", () => {
  const wrong: [unknown, RegExp][] = [
    [{ requestTimeout: 5 }, /does not know the option "requestTimeout"/],
    [{ reconnect: true }, /reconnect options must be an object/],
    [{ reconnect: { retries: 5 } }, /does not know the option "retries"/],
    [{ reconnect: { jitter: 1 } }, /reconnect\.jitter/],
    [{ breaker: 5 }, /breaker options must be an object/],
    [{ breaker: { maxBackoff: 5 } }, /does not know the option "maxBackoff"/],
    [{ health: true }, /health options must be an object/],
    [{ offline: "buffer" }, /offline must be "fail" or an object/],
    [{ offline: null }, /offline must be "fail" or an object/],
    [{ offline: { maxSize: 5 } }, /does not know the option "maxSize"/],
    [{ telemetry: { trace: true } }, /does not know the option "trace"/],
    [{ plaintext: "deny" }, /plaintext must be one of "allow", "loopback"/],
    [{ maxPingsOut: "2" }, /maxPingsOut/],
    [{ nats: { pingInterval: 5 } }, /use the option pingIntervalMs/],
    [{ nats: { reconnect: false } }, /use the option reconnect/],
    [{ nats: { maxReconnectAttempts: 5 } }, /use the option reconnect\.attempts/],
  ];
  for (const [options, message] of wrong) {
    const parse = () => parseConnectOptions(options as ConnectOptions);
    assert.throws(parse, { name: "TypeError", message }, inspect(options));
  }
});

test("null asks for no default", () => {
  const keys = ["timeoutMs", "requestTimeoutMs", "drainTimeoutMs", "pingIntervalMs", "maxPingsOut"];
  for (const key of [...keys, "name", "servers"]) {
    const parse = () => parseConnectOptions({ [key]: null });
    assert.throws(parse, { name: "TypeError", message: new RegExp(key) }, key);
  }
  const health = { intervalMs: null as unknown as number };
  assert.throws(() => parseConnectOptions({ health }), TypeError);
});

test("what is given instead of an object is not shown: it may be an address with a password", () => {
  const address = "nats://me:hunter2@a";
  const wrong: [unknown, RegExp][] = [
    [address, /^connect options must be an object, got a string$/],
    [[address], /^connect options must be an object, got an array$/],
    [null, /^connect options must be an object, got null$/],
    [{ nats: address }, /^connect: nats must be an object, got a string$/],
    [{ tls: address }, /^connect: tls must be an object or null, got a string$/],
    [{ authenticator: address }, /^connect: authenticator must be a function, got a string$/],
    [{ authenticator: [address] }, /^connect: authenticator must be a function, got a string$/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => parseConnectOptions(options as ConnectOptions), (error) => {
      assert.ok(error instanceof TypeError);
      assert.match(error.message, message);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /hunter2/);
      return true;
    });
  }
});

test("numbers out of range: RangeError", () => {
  const durations = ["timeoutMs", "requestTimeoutMs", "drainTimeoutMs", "pingIntervalMs"];
  const wrong: object[] = [
    ...durations.flatMap((key) => [0, -1, NaN, Infinity, 2 ** 31].map((n) => ({ [key]: n }))),
    ...[0, 1.5, NaN, 1_001].map((maxPingsOut) => ({ maxPingsOut })),
    ...[0, 1.5, NaN].map((attempts) => ({ reconnect: { attempts } })),
    ...[0, -1, NaN, 2 ** 31].map((initialMs) => ({ reconnect: { initialMs } })),
    ...[0, NaN, 2 ** 31].map((maxMs) => ({ reconnect: { maxMs } })),
    ...[0, 0.5, 1_001].map((factor) => ({ reconnect: { factor } })),
    ...[0, 1.5, Infinity].map((threshold) => ({ breaker: { threshold } })),
    ...[0, NaN, 2 ** 31].map((initialMs) => ({ breaker: { initialMs } })),
    { breaker: { initialMs: 100, maxMs: 99 } },
    ...[9, NaN, 2 ** 31].map((intervalMs) => ({ health: { intervalMs } })),
    ...[0, 0.5, Infinity].map((maxMessages) => ({ offline: { maxMessages } })),
    ...[0, -1, NaN].map((maxBytes) => ({ offline: { maxBytes } })),
  ];
  for (const options of wrong) {
    assert.throws(() => parseConnectOptions(options), { name: "RangeError" }, inspect(options));
  }
});

/** Every string and byte sequence that can be reached from a value. */
function reachable(value: unknown, seen: Set<unknown> = new Set()): string {
  if (typeof value === "string") return `${value}\n`;
  if (value instanceof Uint8Array) return `${new TextDecoder().decode(value)}\n`;
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return "";
  if (seen.has(value)) return "";
  seen.add(value);
  return Reflect.ownKeys(value).map((key) =>
    reachable(key, seen) + reachable((value as Record<PropertyKey, unknown>)[key], seen)
  ).join("");
}

test("forgotten secrets are gone from everything that the settings reach", () => {
  const key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
  const cert = "-----BEGIN CERTIFICATE-----\nshown\n-----END CERTIFICATE-----\n";
  const ways: ConnectOptions[] = [
    { servers: "nats://me:hunter2@localhost" },
    { servers: "nats://hunter2@localhost" },
    { user: "me", pass: "hunter2" },
    { token: "hunter2", tls: { cert, key } },
    { authenticator: () => ({ auth_token: "hunter2" }) },
    { token: () => "hunter2" },
    { nats: { jwt: "hunter2" } as never },
  ];
  for (const options of ways) {
    const settings = parseConnectOptions(options);
    const answer = settings.native.authenticator as undefined | ((nonce?: string) => unknown);
    if (answer !== undefined) assert.match(reachable(answer("nonce")), /hunter2/, "in use");
    const { tls } = settings.native;
    forgetSecrets(settings);
    assert.doesNotMatch(reachable(settings), /hunter2/, inspect(options));
    assert.doesNotMatch(reachable(tls), /hunter2/, "the object that the connection has");
    assert.doesNotMatch(reachable(answer?.("nonce")), /hunter2/, "the connection's authenticator");
    forgetSecrets(settings);
  }
});
