import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConsumeOptions } from "./_consumer_settings.ts";
import type { ConsumeOptions } from "./consume_options.ts";
import { json } from "./json.ts";
import { type Subject, subject } from "./subject.ts";

const Orders: Subject<unknown, "region"> = subject("orders.{region}", json());

function parse(options: unknown) {
  return parseConsumeOptions(Orders, options as ConsumeOptions<unknown, "region">);
}

test("defaults", () => {
  for (const options of [undefined, {}, { name: undefined, concurrency: undefined }]) {
    const settings = parse(options);
    assert.deepEqual(settings.filters, ["orders.*"]);
    assert.deepEqual(
      [settings.concurrency, settings.maxMessages, settings.timeoutMs, settings.settle],
      [1, 100, 30_000, "ack"],
    );
    assert.deepEqual(
      [settings.errorDelayMs, settings.cancelDelayMs, settings.pullHeartbeatMs, settings.onGone],
      [30_000, 5_000, 500, "resume"],
    );
  }
  assert.equal(parse({ concurrency: 500 }).maxMessages, 500);
});

test("options of a wrong type, unknown, or that make no sense together", () => {
  const wrong: [unknown, RegExp][] = [
    [null, /options must be an object/],
    [[], /options must be an object/],
    [{ ackwaitMs: 5 }, /does not know the option "ackwaitMs"/],
    [JSON.parse('{"__proto__": 5}'), /does not know the option "__proto__"/],
    [{ stream: "" }, /stream must not be empty/],
    [{ stream: "a.b" }, /consume: stream/],
    [{ stream: "a>" }, /consume: stream/],
    [{ stream: "a\r\nPUB x" }, /consume: stream/],
    [{ name: "a b" }, /consume: name/],
    [{ name: "a\0" }, /consume: name/],
    [{ name: "a/b" }, /consume: name/],
    [{ name: 5 }, /consume: name/],
    [{ filters: "orders.eu" }, /filters must be an array/],
    [{ filters: [] }, /filters must be an array/],
    [{ filters: ["other.eu"] }, /must lie within orders\.\*/],
    [{ filters: ["orders.>"] }, /must lie within orders\.\*/],
    [{ filters: ["orders.eu.x"] }, /must lie within orders\.\*/],
    [{ filters: ["orders.e\r\nu"] }, /filters\[0\]/],
    [{ filters: [5] }, /filters\[0\]/],
    [{ deliver: "first" }, /deliver must be one of/],
    [{ deliver: {} }, /either time or sequence/],
    [{ deliver: { time: new Date(), sequence: 1 } }, /either time or sequence/],
    [{ deliver: { time: "2020-01-01" } }, /deliver\.time must be a Date/],
    [{ deliver: { sequence: "5" } }, /deliver\.sequence/],
    [{ ackPolicy: "some" }, /ackPolicy must be one of "all", "explicit", "none"/],
    [{ ackPolicy: "all", concurrency: 2 }, /needs concurrency 1/],
    [{ ackPolicy: "none", backoffMs: [100] }, /makes no sense/],
    [{ ackWaitMs: "5" }, /ackWaitMs/],
    [{ backoffMs: 100 }, /backoffMs must be an array/],
    [{ backoffMs: ["100"] }, /backoffMs\[0\]/],
    [{ settle: "maybe" }, /settle must be one of/],
    [{ onUndecodable: "drop" }, /onUndecodable must be one of/],
    [{ onDrift: "yes" }, /onDrift must be one of/],
    [{ onGone: "yes" }, /onGone must be one of/],
    [{ heartbeatMs: true }, /heartbeatMs/],
    [{ memory: 1 }, /memory must be true or false/],
    [{ confirmAcks: "yes" }, /confirmAcks must be true or false/],
    [{ autoCreate: 5 }, /autoCreate/],
    [{ autoCreate: { stroage: "memory" } }, /stroage/],
    [{ signal: {} }, /signal must be an AbortSignal/],
    [{ onError: "log" }, /onError must be a function/],
    [{ onRecovery: {} }, /onRecovery must be a function/],
    [{ concurrency: "2" }, /concurrency/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => parse(options), { name: "TypeError", message }, JSON.stringify(options));
  }
  assert.throws(() => parseConsumeOptions("orders" as never, {}), /needs a subject/);
});

test("options out of range", () => {
  const durations = [
    "ackWaitMs",
    "cancelDelayMs",
    "errorDelayMs",
    "heartbeatMs",
    "inactiveThresholdMs",
    "pullHeartbeatMs",
    "timeoutMs",
  ];
  for (const name of durations) {
    for (const ms of [NaN, -1, Infinity, 2 ** 31]) {
      assert.throws(() => parse({ [name]: ms }), { name: "RangeError", message: RegExp(name) });
    }
  }
  const counts = ["concurrency", "maxMessages", "maxBytes", "maxDeliver", "maxAckPending"];
  for (const name of [...counts, "replicas"]) {
    for (const value of [NaN, 0, -2, 1.5, Infinity]) {
      assert.throws(() => parse({ [name]: value }), { name: "RangeError", message: RegExp(name) });
    }
  }
  const wrong: [unknown, RegExp][] = [
    [{ name: "x".repeat(256) }, /consume: name/],
    [{ replicas: 6 }, /replicas/],
    [{ maxMessages: 100_001 }, /maxMessages/],
    [{ concurrency: 10, maxMessages: 5 }, /must not be below concurrency/],
    [{ backoffMs: [] }, /backoffMs must have/],
    [{ backoffMs: [100, NaN] }, /backoffMs\[1\]/],
    [{ backoffMs: [1] }, /backoffMs\[0\]/],
    [{ backoffMs: [100, 200], maxDeliver: 2 }, /must exceed the 2 entries/],
    [{ deliver: { sequence: 0 } }, /deliver\.sequence/],
    [{ deliver: { time: new Date(NaN) } }, /deliver\.time/],
    [{ deliver: { time: new Date(-1) } }, /deliver\.time/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => parse(options), { name: "RangeError", message }, JSON.stringify(options));
  }
  assert.equal(parse({ backoffMs: [100, 200], maxDeliver: 3 }).maxDeliver, 3);
  assert.equal(parse({ backoffMs: [100, 200] }).maxDeliver, undefined);
  assert.equal(parse({ maxDeliver: -1, maxAckPending: -1 }).maxDeliver, -1);
});

test("errors name the call that was made", () => {
  const wrong = [
    { ackwaitMs: 5 },
    { stream: "a.b" },
    { filters: [] },
    { filters: ["other.eu"] },
    { filters: ["orders.e\r\nu"] },
    { deliver: "first" },
    { deliver: {} },
    { deliver: { sequence: 0 } },
    { deliver: { time: 5 } },
    { deliver: { time: new Date(NaN) } },
    { ackPolicy: "some" },
    { ackPolicy: "none", backoffMs: [100] },
    { ackPolicy: "all", concurrency: 2 },
    { concurrency: 10, maxMessages: 5 },
    { backoffMs: 100 },
    { backoffMs: [] },
    { backoffMs: [1] },
    { backoffMs: [100, 200], maxDeliver: 2 },
    { ackWaitMs: NaN },
    { replicas: 6 },
    { memory: 1 },
    { autoCreate: 5 },
    { autoCreate: { stroage: "memory" } },
    { onDrift: "yes" },
    { onError: "log" },
    { pullHeartbeatMs: 1 },
    { signal: {} },
  ];
  for (const call of ["consume", "fetch"] as const) {
    const message = new RegExp(`^${call}(: | )`);
    for (const options of wrong) {
      const parsing = () =>
        parseConsumeOptions(Orders, options as ConsumeOptions<unknown>, { call });
      assert.throws(parsing, { message }, `${call}: ${JSON.stringify(options)}`);
    }
    assert.throws(() => parseConsumeOptions("orders" as never, {}, { call }), { message });
  }
});
