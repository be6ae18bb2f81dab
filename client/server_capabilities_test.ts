import assert from "node:assert/strict";
import { test } from "node:test";
import { serverCapabilities, type ServerFeature } from "./server_capabilities.ts";

test("features come with their version", () => {
  const cases: [ServerFeature, has: string, lacks: string][] = [
    ["consumer_filters", "2.10.0", "2.9.25"],
    ["metadata", "2.10.0", "2.9.25"],
    ["compression", "2.10.0", "2.9.25"],
    ["message_ttl", "2.11.0", "2.10.29"],
    ["direct_batch_get", "2.11.0", "2.10.29"],
    ["replicated_cas", "2.11.0", "2.10.29"],
    ["atomic_batch", "2.12.1", "2.12.0"],
    ["schedules", "2.12.0", "2.11.9"],
    ["fast_ingest", "2.14.0", "2.12.9"],
  ];
  for (const [feature, has, lacks] of cases) {
    assert.ok(serverCapabilities(has).supports(feature), `${feature} in ${has}`);
    assert.ok(!serverCapabilities(lacks).supports(feature), `${feature} not in ${lacks}`);
    assert.ok(serverCapabilities("3.0.0").supports(feature));
  }
});

test("require says what is needed and what is there", () => {
  const server = serverCapabilities("2.10.4");
  server.require("metadata");
  assert.throws(() => server.require("message_ttl"), {
    code: "unsupported",
    message: /message_ttl: it needs nats-server 2\.11\.0 or newer, and the server is 2\.10\.4/,
  });
});

test("an unknown feature is misuse", () => {
  const server = serverCapabilities("2.15.2");
  for (const feature of ["telepathy", "toString", "__proto__"]) {
    assert.throws(() => server.supports(feature as ServerFeature), TypeError);
    assert.throws(() => server.require(feature as ServerFeature), TypeError);
  }
});

test("versions with suffixes are read, numbers are compared as numbers", () => {
  assert.ok(serverCapabilities("2.12.1-beta.3").supports("atomic_batch"));
  assert.ok(serverCapabilities("v2.11.0+build").supports("message_ttl"));
  assert.ok(!serverCapabilities("2.9.10").supports("metadata"));
  assert.equal(serverCapabilities("2.12.1-beta.3").version, "2.12.1-beta.3");
});

test("below the floor or without a version there are no capabilities", () => {
  for (const version of ["2.8.4", "1.4.1", "0.0.0", "", "dev", "2.10", "a2.10.0"]) {
    assert.throws(() => serverCapabilities(version), { code: "server_too_old" }, version);
  }
});
