import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { checkLayers } from "./check_layers.ts";
import { formatProblem } from "./_syntax.ts";

const skip = process.versions["deno"] === undefined && "the module graph comes from Deno";

async function problemsOf(files: Record<string, string>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "jsflow-layers-"));
  try {
    for (const [file, source] of Object.entries(files)) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), source);
    }
    return (await checkLayers(folder)).map(formatProblem);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("accepts imports that point downward", { skip }, async () => {
  const problems = await problemsOf({
    "mod.ts": `export { a } from "./durable/a.ts";`,
    "client/b.ts": `import { c } from "./_c.ts";\nexport const b = c;`,
    "client/_c.ts": `export const c = 1;`,
    "durable/a.ts": `import { b } from "../client/b.ts";\nexport const a = b;`,
    "durable/a_test.ts": `import "../testing/t.ts";\nimport "./a.ts";`,
    "testing/t.ts": `import "../durable/a.ts";`,
    "examples/demo.ts": `import "../mod.ts";\nexport async function f(x: AsyncDisposable) {
  await using y = x;
  void y;
}`,
    "scripts/s.ts": `import "../durable/a.ts";`,
    "tests/all_test.ts": `import "../durable/a.ts";`,
  });
  assert.deepEqual(problems, []);
});

test("refuses imports that point upward, also of types, with file and line", { skip }, async () => {
  const problems = await problemsOf({
    "client/a.ts": `\nimport type { B } from "../durable/b.ts";\nexport type A = B;`,
    "durable/b.ts": `export type B = 1;`,
    "flow/f.ts": `export type F = import("../durable/b.ts").B;`,
    "kv/k.ts": `import "../testing/t.ts";`,
    "testing/t.ts": ``,
    "mod.ts": `import "./testing/t.ts";`,
  });
  assert.deepEqual(problems, [
    "client/a.ts:2: imports durable/b.ts: client/ may import only trace",
    "flow/f.ts:1: imports durable/b.ts: flow/ may import only trace, client, kv, broker",
    "kv/k.ts:1: imports testing/t.ts: kv/ may import only trace, client",
    "mod.ts:1: imports testing/t.ts: testing/ has its own entry point",
  ]);
});

test("refuses circles, also of types", { skip }, async () => {
  const problems = await problemsOf({
    "client/a.ts": `import type { B } from "./b.ts";\nexport type A = B;`,
    "client/b.ts": `import type { C } from "./c.ts";\nexport type B = C;`,
    "client/c.ts": `import type { A } from "./a.ts";\nexport type C = A | 1;`,
  });
  assert.deepEqual(problems, [
    "client/c.ts:1: closes an import circle: " +
    "client/a.ts -> client/b.ts -> client/c.ts -> client/a.ts",
  ]);
});

test("refuses private files, mod.ts, tests and unknown folders", { skip }, async () => {
  const problems = await problemsOf({
    "client/_p.ts": ``,
    "client/mod.ts": ``,
    "client/a.ts": `import "./a_test.ts";`,
    "client/a_test.ts": ``,
    "durable/b.ts": `import "../client/_p.ts";\nimport "../client/mod.ts";`,
    "examples/x.ts": `import "../client/a.ts";`,
    "extra/x.ts": `import "../client/mod.ts";`,
  });
  assert.deepEqual(problems, [
    "client/a.ts:1: imports client/a_test.ts, which is part of the tests",
    "durable/b.ts:1: imports client/_p.ts, which belongs to its folder alone",
    "durable/b.ts:2: imports client/mod.ts: import the file that declares the name",
    "examples/x.ts:1: imports client/a.ts: examples use what users can import, through a mod.ts",
    "extra/x.ts:1: is in no known folder",
  ]);
});

test("refuses what Node 22 can't parse, the Deno global, long and unfinished files", {
  skip,
}, async () => {
  const mark = "TO" + "DO";
  const problems = await problemsOf({
    "client/a.ts":
      `export async function f(x: AsyncDisposable) {\n  await using y = x;\n  void y;\n}`,
    "client/b.ts":
      `// Deno in a comment, "Deno" in globalThis\nconst t: string = "Deno.x";\nDeno.exit(t);`,
    "client/c.ts": `// ${mark}: later`,
    "client/d.ts": "\n".repeat(401),
    "client/d_test.ts": "\n".repeat(401),
    "client/e.ts": `export enum E { a }`,
  });
  assert.deepEqual(problems.slice(0, 4), [
    `client/a.ts:2: "await using" can't be parsed by Node 22: use try and finally`,
    "client/b.ts:3: uses the Deno global: use node: built-ins",
    `client/c.ts:1: holds a ${mark}: do it, or describe it in an issue`,
    "client/d.ts:401: has 401 lines, allowed are 400",
  ]);
  assert.match(problems[4] ?? "", /^client\/e\.ts:1: can't be parsed without its types: /);
  assert.equal(problems.length, 5);
});
