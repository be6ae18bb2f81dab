import assert from "node:assert/strict";
import { test } from "node:test";
import { diffConfig, formatDiff } from "./config_diff.ts";

test("only what is wanted is compared", () => {
  assert.deepEqual(diffConfig({ a: 1, b: 2 }, { a: 1 }), []);
  assert.deepEqual(diffConfig({ a: 1 }, { a: undefined }), []);
  assert.deepEqual(diffConfig({ a: 1 }, { a: 2, b: 3 }), [
    { field: "a", stored: 1, wanted: 2 },
    { field: "b", stored: undefined, wanted: 3 },
  ]);
});

test("what a server leaves out equals its empty value, and nothing else", () => {
  const empty = { a: false, b: 0, c: "", d: [], e: {}, f: null };
  assert.deepEqual(diffConfig({}, empty), []);
  assert.deepEqual(diffConfig({ a: 0, b: null, c: [], d: {}, e: "", f: false }, empty), []);
  assert.equal(diffConfig({ a: true, b: 1, c: "x", d: [0], e: { x: 1 }, f: 5 }, empty).length, 5);
});

test("nested settings are named with dots, and others are left alone", () => {
  const stored = { metadata: { owner: "a", other: "x" } };
  assert.deepEqual(diffConfig(stored, { metadata: { owner: "b", team: "t" } }), [
    { field: "metadata.owner", stored: "a", wanted: "b" },
    { field: "metadata.team", stored: undefined, wanted: "t" },
  ]);
  assert.deepEqual(diffConfig({}, { metadata: { owner: "b" } }).length, 1);
});

test("texts in a list have no order, other things have", () => {
  assert.deepEqual(diffConfig({ s: ["a", "b"] }, { s: ["b", "a"] }), []);
  assert.equal(diffConfig({ s: ["a", "b"] }, { s: ["a"] }).length, 1);
  assert.equal(diffConfig({ s: ["a", "a"] }, { s: ["a", "b"] }).length, 1);
  assert.equal(diffConfig({ s: [1, 2] }, { s: [2, 1] }).length, 1);
  assert.deepEqual(diffConfig({ s: [{ a: 1, b: 2 }] }, { s: [{ a: 1 }] }), []);
  assert.equal(diffConfig({ s: [{ a: 1 }] }, { s: [{ a: 2 }] }).length, 1);
});

test("a setting that every object inherits is not taken for a stored one", () => {
  assert.equal(diffConfig({}, { toString: "x" })[0]?.stored, undefined);
});

test("a difference is one line that says what becomes what", () => {
  const stored = { a: Infinity, b: ["x"] };
  const text = formatDiff(diffConfig(stored, { a: 5, b: ["x", "y"], c: "z".repeat(500) }));
  const lines = text.split("\n");
  assert.equal(lines[0], "  a: no bound → 5");
  assert.equal(lines[1], '  b: ["x"] → ["x","y"]');
  assert.match(lines[2] ?? "", /^ {2}c: not set → "z+…$/);
  assert.ok((lines[2] ?? "").length < 250);
});
