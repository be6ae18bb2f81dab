import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJavaScript } from "./_syntax.ts";

test("accepts ES2022", () => {
  parseJavaScript(
    "class A { #a = 1; static { A.b = (a) => #a in a; } }\nawait 1; a ??= b?.c;",
    2022,
  );
});

test("refuses what came later", () => {
  for (
    const source of [
      "async function f() { await using a = b; }",
      "{ using a = b; }",
      "const a = /[a--b]/v;",
      'import a from "./a.json" with { type: "json" };',
      "@a class A {}",
      "#!/usr/bin/env node\nimport defer * as a from './a.js';",
    ]
  ) {
    assert.throws(() => parseJavaScript(source, 2022), SyntaxError, source);
  }
});
