import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { Circuit, type CircuitSettings, type Outcome, type Verdict } from "./_circuit.ts";
import type { BreakerState } from "./breaker.ts";

const ERROR = new Error("no connection");

function circuit(settings: Partial<CircuitSettings> = {}): [Circuit, BreakerState[]] {
  const states: BreakerState[] = [];
  const { threshold = 3, initialMs = 60_000, maxMs = 60_000 } = settings;
  return [new Circuit({ threshold, initialMs, maxMs }, (state) => states.push(state)), states];
}

async function record(target: Circuit, ...verdicts: Verdict[]): Promise<void> {
  for (const verdict of verdicts) await target.record({ verdict, error: ERROR });
}

function probe(target: Circuit, verdict: Verdict): Promise<void> {
  return target.probe(() => Promise.resolve({ verdict, error: ERROR }));
}

async function due(target: Circuit): Promise<void> {
  await waitUntil(() => target.admission() === "probe", { what: "a probe is due", intervalMs: 1 });
}

test("opens after that many failures in a row, not before", async () => {
  const [target, states] = circuit();
  await record(target, "connection", "jetstream");
  assert.equal(target.state, "closed");
  assert.equal(target.admission(), "pass");
  assert.equal(target.failures, 2);
  await record(target, "connection");
  assert.equal(target.state, "open");
  assert.equal(target.admission(), "refuse");
  assert.ok(target.retryAfterMs > 0 && target.retryAfterMs <= 60_000);
  assert.deepEqual(states, ["open"]);
  assert.equal(target.lastFailure?.error, ERROR);
});

test("an answer in between starts the count anew; what says nothing does not", async () => {
  const [target] = circuit();
  await record(target, "connection", "connection", "answered", "connection", "connection");
  assert.equal(target.state, "closed");
  assert.equal(target.failures, 2);
  await record(target, "unknown", "connection");
  assert.equal(target.state, "open");
});

test("failures at the same time count one by one, and open it once", async () => {
  const [target, states] = circuit();
  await Promise.all(Array.from({ length: 9 }, () => record(target, "connection")));
  assert.deepEqual(states, ["open"]);
  assert.equal(target.failures, 9);
});

test("exactly one probe is let through, and its answer closes it", async () => {
  const [target, states] = circuit({ initialMs: 5 });
  await record(target, "connection", "connection", "connection");
  await due(target);
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const probing = target.probe(() => promise);
  assert.equal(target.state, "half-open");
  assert.equal(target.admission(), "wait");
  const { decision } = target;
  resolve({ verdict: "answered" });
  await Promise.all([probing, decision]);
  assert.equal(target.state, "closed");
  assert.equal(target.failures, 0);
  assert.equal(target.admission(), "pass");
  assert.deepEqual(states, ["open", "half-open", "closed"]);
});

test("each failed probe doubles the delay up to the maximum, and closing resets it", async () => {
  const [target] = circuit({ threshold: 1, initialMs: 100_000, maxMs: 300_000 });
  await record(target, "jetstream");
  const delays = [target.retryAfterMs];
  for (const _ of [1, 2, 3]) {
    await target.connectionBack(); // makes the next probe due
    await probe(target, "jetstream");
    delays.push(target.retryAfterMs);
  }
  for (const [index, bound] of [100_000, 200_000, 300_000, 300_000].entries()) {
    assert.ok(delays[index]! <= bound && delays[index]! > bound - 50_000, `${delays}`);
  }
  await target.connectionBack();
  await probe(target, "answered");
  await record(target, "connection");
  assert.ok(target.retryAfterMs <= 100_000);
});

test("a probe that says nothing leaves the next one due, with the same delay after", async () => {
  const [target, states] = circuit({ threshold: 1, initialMs: 100_000, maxMs: 800_000 });
  await record(target, "jetstream");
  await target.connectionBack();
  await probe(target, "unknown");
  assert.equal(target.state, "open");
  assert.equal(target.admission(), "probe");
  await probe(target, "jetstream");
  assert.ok(target.retryAfterMs > 100_000 && target.retryAfterMs <= 200_000);
  assert.deepEqual(states, ["open", "half-open", "open", "half-open", "open"]);
});

test("a connection that is back closes what the connection had opened", async () => {
  const [target, states] = circuit();
  await record(target, "connection", "connection", "connection");
  await target.connectionBack();
  assert.equal(target.state, "closed");
  assert.equal(target.failures, 0);
  assert.deepEqual(states, ["open", "half-open", "closed"]);
  await record(target, "connection", "connection");
  await target.connectionBack();
  assert.equal(target.failures, 0);
});

test("a connection that is back lets a probe go at once when JetStream had failed", async () => {
  const [target] = circuit();
  await record(target, "jetstream", "connection", "connection");
  assert.equal(target.admission(), "refuse");
  await target.connectionBack();
  assert.equal(target.state, "open");
  assert.equal(target.retryAfterMs, 0);
  assert.equal(target.admission(), "probe");
  await probe(target, "answered");
  assert.equal(target.state, "closed");
});

test("a probe from before the connection came back decides nothing any more", async () => {
  const [target] = circuit({ threshold: 1, initialMs: 1 });
  await record(target, "connection");
  await due(target);
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const late = target.probe(() => promise);
  await target.connectionBack();
  assert.equal(target.state, "closed");
  resolve({ verdict: "connection", error: ERROR });
  await late;
  assert.equal(target.state, "closed");
  assert.equal(target.admission(), "pass");
  assert.equal(target.failures, 0);
});

test("switched off, it counts and never opens", async () => {
  const target = new Circuit(false, () => assert.fail("changed"));
  await record(target, "connection", "connection", "connection", "connection", "connection");
  assert.equal(target.state, "closed");
  assert.equal(target.admission(), "pass");
  assert.equal(target.failures, 5);
  await record(target, "answered");
  assert.equal(target.failures, 0);
});

test("a wall clock that is set changes no delay", async () => {
  const { now } = Date;
  try {
    const [target] = circuit({ threshold: 1, initialMs: 5 });
    await record(target, "connection");
    Date.now = () => now() - 3_600_000;
    await due(target);
    await probe(target, "answered");
    assert.equal(target.state, "closed");
    const [other] = circuit({ threshold: 1, initialMs: 60_000 });
    await record(other, "connection");
    Date.now = () => now() + 3_600_000;
    assert.equal(other.admission(), "refuse");
  } finally {
    Date.now = now;
  }
});
