import assert from "node:assert/strict";
import { test } from "node:test";
import { reconnectDelays } from "./_reconnect_delays.ts";
import { connectDefaults } from "./connect_defaults.ts";

const policy = connectDefaults.reconnect;

test("delays grow to five seconds, with jitter, each once it has passed", () => {
  let now = 0;
  const next = reconnectDelays(policy, { now: () => now, random: () => 0 });
  const drawn: number[] = [];
  for (let i = 0; i < 9; i++) {
    const delay = next();
    assert.equal(next(), delay, "asked twice");
    now += delay;
    drawn.push(delay);
  }
  assert.deepEqual(drawn, [50, 100, 200, 400, 800, 1600, 2500, 2500, 2500]);
});

test("the policy sets the first delay, the growth, the bound and the jitter", () => {
  let now = 0;
  const own = { attempts: 2, initialMs: 10, factor: 3, maxMs: 100, jitter: false };
  const next = reconnectDelays(own, { now: () => now, random: () => 0 });
  const drawn = Array.from({ length: 5 }, () => {
    const delay = next();
    now += delay;
    return delay;
  });
  assert.deepEqual(drawn, [10, 30, 90, 100, 100], "the attempts play no part");
});

test("delays never end, and stay within their bounds", () => {
  let now = 0;
  const next = reconnectDelays(policy, { now: () => now, random: Math.random });
  for (let i = 0; i < 5_000; i++) {
    const delay = next();
    assert.ok(delay >= 50 && delay <= 5_000);
    now += delay;
  }
});

test("after a quiet time the delays are short again", () => {
  let now = 0;
  const next = reconnectDelays(policy, { now: () => now, random: () => 0 });
  for (let i = 0; i < 8; i++) now += next();
  now += 60_000;
  assert.equal(next(), 50);
});
