import assert from "node:assert/strict";
import { test } from "node:test";
import type { StreamInfo } from "../client/stream_info.ts";
import { createExpiry, lifetimeMs } from "./_mirror_expiry.ts";

test("lifetimes are read as the server reads them", () => {
  const said: [string | undefined, number | undefined][] = [
    [undefined, undefined],
    ["", undefined],
    ["5", 5_000],
    [" 5s", 5_000],
    ["1500ms", 1_000], // whole seconds count
    ["1h1m1.5s", 3_661_000],
    ["never", Infinity],
    ["Never", Infinity],
    ["0", undefined],
    ["soon", undefined],
  ];
  for (const [text, ms] of said) assert.equal(lifetimeMs(text), ms, `${text}`);
});

interface Facts {
  readonly maxAgeMs?: number;
  readonly allowMessageTtl?: boolean;
  readonly marks?: boolean;
}

function expiryOf({ maxAgeMs = Infinity, allowMessageTtl = false, marks = false }: Facts) {
  const native = {
    config: { subject_delete_marker_ttl: marks ? 1 : 0 },
    ts: "2026-01-01T00:00:10Z",
  };
  return createExpiry({ config: { maxAgeMs, allowMessageTtl }, native } as unknown as StreamInfo);
}

function leftMs(facts: Facts, lifetime: string | undefined): number {
  const time = new Date("2026-01-01T00:00:00Z");
  return expiryOf(facts)!.expiresAt({ time, header: () => lifetime }) - time.getTime();
}

test("the bucket's age bounds every lifetime but an endless one", () => {
  assert.equal(leftMs({ maxAgeMs: 2_000 }, undefined), 2_000);
  assert.equal(leftMs({ maxAgeMs: 2_000 }, "1"), 2_000, "lifetimes are not allowed there");
  const both = { maxAgeMs: 2_000, allowMessageTtl: true };
  assert.equal(leftMs(both, undefined), 2_000);
  assert.equal(leftMs(both, "1"), 1_000);
  assert.equal(leftMs(both, "5"), 2_000);
  assert.equal(leftMs(both, "never"), Infinity);
  assert.equal(leftMs({ allowMessageTtl: true }, undefined), Infinity);
});

test("nothing is counted where nothing expires, or where the server says so", () => {
  assert.equal(expiryOf({}), undefined);
  assert.equal(expiryOf({ maxAgeMs: 0 }), undefined);
  assert.equal(expiryOf({ maxAgeMs: 1_000, allowMessageTtl: true, marks: true }), undefined);
  const now = expiryOf({ maxAgeMs: 1_000 })!.now();
  assert.ok(now >= Date.parse("2026-01-01T00:00:10Z"), "it is the server's time");
});
