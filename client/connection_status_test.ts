import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectionStatus, type ConnectionStep, nextStatus } from "./connection_status.ts";

const STATES: readonly ConnectionStatus[] = [
  "disconnected",
  "connecting",
  "connected",
  "reconnecting",
  "draining",
  "closed",
];
const STEPS: readonly ConnectionStep[] = ["close", "drain", "fail", "lose", "start", "succeed"];

function walk(steps: readonly ConnectionStep[]): ConnectionStatus[] {
  let status: ConnectionStatus = "disconnected";
  return steps.map((step) => status = nextStatus(status, step));
}

test("a life: started, lost, back, drained, closed", () => {
  assert.deepEqual(walk(["start", "succeed", "lose", "succeed", "drain", "close"]), [
    "connecting",
    "connected",
    "reconnecting",
    "connected",
    "draining",
    "closed",
  ]);
});

test("a start that failed may be tried again", () => {
  assert.deepEqual(walk(["start", "fail", "start", "succeed"]), [
    "connecting",
    "disconnected",
    "connecting",
    "connected",
  ]);
});

test("nothing leaves closed, and only closing leaves draining", () => {
  for (const step of STEPS) {
    assert.equal(nextStatus("closed", step), "closed");
    assert.equal(nextStatus("draining", step), step === "close" ? "closed" : "draining");
  }
});

test("closing and draining work in every state", () => {
  for (const status of STATES) {
    assert.equal(nextStatus(status, "close"), "closed");
    assert.equal(nextStatus(status, "drain"), status === "closed" ? "closed" : "draining");
  }
});

test("steps that mean nothing in a state change nothing", () => {
  assert.equal(nextStatus("connected", "start"), "connected");
  assert.equal(nextStatus("connected", "succeed"), "connected");
  assert.equal(nextStatus("connected", "fail"), "connected");
  assert.equal(nextStatus("reconnecting", "lose"), "reconnecting");
  assert.equal(nextStatus("disconnected", "lose"), "disconnected");
  assert.equal(nextStatus("connecting", "lose"), "connecting");
});
