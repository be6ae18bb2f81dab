import assert from "node:assert/strict";
import { test } from "node:test";
import { type Conflict, readConflict } from "./_conflict.ts";

test("what servers say", () => {
  const said: [string, Conflict][] = [
    ["Message Size Exceeds MaxBytes", "too_large"],
    ["Batch Completed", "completed"],
    ["Exceeded MaxRequestBatch of 10", "limit"],
    ["Exceeded MaxRequestExpires of 1s", "limit"],
    ["Exceeded MaxRequestMaxBytes of 100", "limit"],
    ["Exceeded MaxWaiting", "full"],
    ["Exceeded MaxAckPending", "full"],
    ["Leadership Change", "passing"],
    ["Server Shutdown", "passing"],
    ["Consumer Deleted", "gone"],
    ["Consumer is push based", "gone"],
    ["", "gone"],
  ];
  for (const [description, conflict] of said) {
    for (const text of [description, description.toLowerCase()]) {
      assert.equal(readConflict(text), conflict, text);
    }
  }
});
