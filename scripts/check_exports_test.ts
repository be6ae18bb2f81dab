import assert from "node:assert/strict";
import { test } from "node:test";
import { checkEntryPoint, checkExportMap } from "./_entry_points.ts";
import { type DenoConfig, npmExports, packageOf, versionRange } from "./_package.ts";
import { checkPackedExports } from "./check_exports.ts";
import { formatProblem } from "./_syntax.ts";

const config: DenoConfig = {
  name: "@x/jsflow",
  version: "1.2.3",
  license: "MIT",
  exports: { ".": "./mod.ts", "./client": "./client/mod.ts" },
  imports: { "@scope/a": "npm:@scope/a@^1.2.0", "b": "npm:b@~2.0.0", "c": "jsr:@c/c@1" },
};

const problemsOf = (source: string) => checkEntryPoint("x/mod.ts", source).map(formatProblem);

test("accepts a mod.ts of a doc and sorted re-exports", () => {
  const source = `/**
 * What it is for.
 *
 * @module
 */
export type { NatsConnection } from "@nats-io/nats-core";
export { a, B, type C } from "./a.ts";
export { d } from "./d.ts";
`;
  assert.deepEqual(problemsOf(source), []);
});

test("refuses a mod.ts with anything else, with file and line", () => {
  const doc = "/** Doc. @module */\n";
  assert.deepEqual(problemsOf(`export { a } from "./a.ts";\n`), [
    "x/mod.ts:1: does not begin with a /** … @module */ doc",
  ]);
  assert.deepEqual(problemsOf(`${doc}export * from "./a.ts";\n`), [
    "x/mod.ts:2: holds something else than named re-exports",
  ]);
  assert.deepEqual(problemsOf(`${doc}export { b, a } from "./a.ts";\n`), [
    'x/mod.ts:2: names are not sorted: "a"',
  ]);
  assert.deepEqual(
    problemsOf(`${doc}export { b } from "./b.ts";\nexport { a } from "./a.ts";\n`),
    [
      're-exports are not sorted: "./a.ts"',
    ].map((message) => `x/mod.ts:3: ${message}`),
  );
  assert.deepEqual(problemsOf(`${doc}export { default as a } from "./a.ts";\n`), [
    "x/mod.ts:2: uses a default export",
  ]);
});

test("wants every folder of the library exported from a file that is there", () => {
  const files = ["mod.ts", "client/mod.ts", "kv/store.ts", "scripts/a.ts"];
  assert.deepEqual(checkExportMap(config, files).map(formatProblem), [
    'deno.json:1: exports: "./kv" is missing',
  ]);
  assert.deepEqual(checkExportMap(config, ["mod.ts"]).map(formatProblem), [
    'deno.json:1: exports: "./client": no file ./client/mod.ts',
  ]);
});

test("compares the packed exports with deno.json's", () => {
  const packed = {
    name: "@x/jsflow",
    version: "1.2.3",
    type: "module",
    exports: npmExports(config),
    dependencies: {},
  };
  const files = ["mod.js", "mod.d.ts", "client/mod.js", "client/mod.d.ts"];
  assert.deepEqual(checkPackedExports(config, packed, files), []);
  assert.equal(checkPackedExports(config, packed, files.slice(1)).length, 2);
  const { "./client": _, ...fewer } = packed.exports;
  assert.equal(checkPackedExports(config, { ...packed, exports: fewer }, files).length, 1);
});

test("finds a package's name and version range", () => {
  assert.equal(packageOf("@scope/a/deep/er"), "@scope/a");
  assert.equal(packageOf("b/deep"), "b");
  for (const other of ["./a.ts", "../a.ts", "/a.ts", "node:fs", "npm:a@1", "https://a/b"]) {
    assert.equal(packageOf(other), undefined);
  }
  assert.equal(versionRange(config, "@scope/a"), "^1.2.0");
  assert.equal(versionRange(config, "b"), "~2.0.0");
  assert.throws(() => versionRange(config, "c"), /expected "c": "npm:c@<range>"/);
  assert.throws(() => versionRange(config, "d"), /found undefined/);
});
