import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConnectOptions } from "./_connect_settings.ts";

test("defaults: local server, five seconds, reconnecting for ever", () => {
  const { servers, timeoutMs, signal, native } = parseConnectOptions({});
  assert.deepEqual(servers.addresses.map(({ listen }) => listen), ["127.0.0.1:4222"]);
  assert.equal(timeoutMs, 5_000);
  assert.equal(signal, undefined);
  assert.equal(native.maxReconnectAttempts, -1);
  assert.equal(native.ignoreAuthErrorAbort, true);
  assert.match(native.name ?? "", /^jsflow/);
  assert.ok(!("tls" in native), "as the server wants");
});

test("an explicit undefined erases no default", () => {
  const { servers, timeoutMs, native } = parseConnectOptions({
    servers: undefined,
    name: undefined,
    timeoutMs: undefined,
    tls: undefined,
    nats: { maxReconnectAttempts: undefined } as unknown as Record<string, never>,
  });
  assert.equal(servers.addresses.length, 1);
  assert.equal(timeoutMs, 5_000);
  assert.equal(native.maxReconnectAttempts, -1);
  assert.match(native.name ?? "", /^jsflow/);
});

test("native options pass through, and the caller's objects stay as they are", () => {
  const nats = Object.freeze({ pingInterval: 1_000, maxReconnectAttempts: 7 });
  const options = Object.freeze({ nats, user: "me", pass: "", name: "app" });
  const { native } = parseConnectOptions(options);
  assert.equal(native.pingInterval, 1_000);
  assert.equal(native.maxReconnectAttempts, 7);
  assert.deepEqual([native.user, native.pass, native.name], ["me", "", "app"]);
});

test("credentials come from the address, one authenticator or several", () => {
  assert.equal(parseConnectOptions({ servers: "nats://t@a" }).native.token, "t");
  assert.equal(parseConnectOptions({ servers: "nats://u:p@a" }).native.pass, "p");
  const authenticator = () => {};
  assert.deepEqual(parseConnectOptions({ authenticator }).native.authenticator, [authenticator]);
  const several = [authenticator, authenticator];
  assert.deepEqual(parseConnectOptions({ authenticator: several }).native.authenticator, several);
});

test("TLS: an object demands it, null forbids it, tls:// demands it", () => {
  assert.deepEqual(parseConnectOptions({ tls: {} }).native.tls, {});
  assert.equal(parseConnectOptions({ tls: null }).native.tls, null);
  assert.deepEqual(parseConnectOptions({ servers: "tls://a" }).native.tls, {});
});
