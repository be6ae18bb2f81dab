import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapedKeyNames, MAX_NAME_BYTES, rawKeyNames } from "./_key_names.ts";

/** Characters that subjects, escapes and JavaScript treat in some way of their own. */
const ODD = ".*>/= \t\r\n\0\u00a0\u2028é\u{1f600}\ud800\udfffA0_-$%";
const oddText = fc.string({ unit: fc.constantFrom(...Array.from(ODD), ...ODD.split("")) });
const key = fc.oneof(
  oddText,
  fc.array(
    fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((u) => String.fromCharCode(u)) }),
  )
    .map((parts) => parts.join(".")),
  fc.constantFrom("", ".", "..", "__proto__", "constructor", "=", "=.=", "a.", ".a", "/", "a//b"),
);
/** One that fits once it is encoded. */
const fitting = key.filter((text) => text.length < 60);

test("every key comes back, under a name that a subject can hold", () => {
  fc.assert(
    fc.property(fitting, (text) => {
      const name = escapedKeyNames.encode(text);
      assert.equal(escapedKeyNames.decode(name), text);
      assert.match(name, /^[A-Za-z0-9_/=-]+(\.[A-Za-z0-9_/=-]+)*$/);
      assert.equal(name.split(".").length, text.split(".").length, "dots separate tokens");
      assert.ok(name.length <= MAX_NAME_BYTES);
    }),
    { numRuns: 2_000 },
  );
});

test("two keys never share a name", () => {
  fc.assert(
    fc.property(fitting, fitting, (one, other) => {
      fc.pre(one !== other);
      assert.notEqual(escapedKeyNames.encode(one), escapedKeyNames.encode(other));
    }),
    { numRuns: 2_000 },
  );
});

test("a name that no key has is nobody's", () => {
  const name = fc.string({
    unit: fc.constantFrom("=", "2", "E", "u", "D", "8", "0", "/", ".", "a"),
  });
  fc.assert(
    fc.property(name, (text) => {
      const decoded = escapedKeyNames.decode(text);
      if (decoded !== undefined) assert.equal(escapedKeyNames.encode(decoded), text);
    }),
    { numRuns: 2_000 },
  );
  for (const foreign of ["a=", "a..b", "", "=2", "=2e", "=41", "a/=", "a b", "é", "=/"]) {
    assert.equal(escapedKeyNames.decode(foreign), undefined, foreign);
  }
});

test("what people write stays readable", () => {
  const same = ["orders.eu.1", "a/b/c", "__proto__", "A-z_0", "a/", "/"];
  for (const text of same) assert.equal(escapedKeyNames.encode(text), text);
  const escaped = { "": "=", ".": "=.=", "a..b": "a.=.b", "a b": "a=20b", "*": "=2A", "=": "=3D" };
  for (const [text, name] of Object.entries(escaped)) {
    assert.equal(escapedKeyNames.encode(text), name);
  }
});

test("a key is bounded once it is encoded", () => {
  const longest = "x".repeat(MAX_NAME_BYTES);
  assert.equal(escapedKeyNames.encode(longest), longest);
  assert.throws(() => escapedKeyNames.encode(`${longest}x`), RangeError);
  assert.throws(() => escapedKeyNames.encode(" ".repeat(MAX_NAME_BYTES / 2)), RangeError);
  assert.throws(() => escapedKeyNames.encode("x".repeat(100_000_000)), RangeError);
  for (const wrong of [undefined, null, 1, {}, [], Symbol("a")]) {
    assert.throws(() => escapedKeyNames.encode(wrong as never), TypeError);
    assert.throws(() => rawKeyNames.encode(wrong as never), TypeError);
  }
});

test("raw keys are names as they are", () => {
  for (const text of ["a", "a.b", "a=b", "=", "a/b-c_d"]) {
    assert.equal(rawKeyNames.encode(text), text);
    assert.equal(rawKeyNames.decode(text), text);
  }
  for (const text of ["", ".", "a.", ".a", "a..b", "a b", "é", "*", ">", "a.>"]) {
    assert.throws(() => rawKeyNames.encode(text), TypeError, text);
    assert.equal(rawKeyNames.decode(text), undefined, text);
  }
  assert.throws(() => rawKeyNames.encode("x".repeat(MAX_NAME_BYTES + 1)), RangeError);
});

/** Whether the server would deliver the name for the pattern. */
function delivers(pattern: string, name: string): boolean {
  const wanted = pattern.split(".");
  const tokens = name.split(".");
  const isOpen = wanted.at(-1) === ">";
  if (isOpen ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
  return wanted.every((token, index) => token === "*" || token === ">" || token === tokens[index]);
}

test("a prefix lets through the keys that begin with it", () => {
  fc.assert(
    fc.property(fitting, fc.nat(), (text, cut) => {
      const prefix = text.slice(0, cut % (text.length + 1));
      const { pattern, matches } = escapedKeyNames.filter({ prefix });
      assert.ok(delivers(pattern, escapedKeyNames.encode(text)), pattern);
      assert.ok(matches(text));
    }),
    { numRuns: 1_000 },
  );
  fc.assert(fc.property(fitting, fitting, (prefix, text) => {
    assert.equal(escapedKeyNames.filter({ prefix }).matches(text), text.startsWith(prefix));
  }));
});

test("a filter means tokens, whatever they are escaped to", () => {
  const token = fc.constantFrom("a", "b", "", "x y", "é");
  const pattern = fc.array(fc.oneof(token, fc.constant("*")), { minLength: 1, maxLength: 4 });
  const tokens = fc.array(token, { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(pattern, fc.boolean(), tokens, (parts, isOpen, named) => {
      const filter = [...parts, ...(isOpen ? [">"] : [])].join(".");
      fc.pre(filter !== "");
      const found = escapedKeyNames.filter({ filter });
      const text = named.join(".");
      assert.equal(found.matches(text), delivers(filter, text));
      assert.equal(delivers(found.pattern, escapedKeyNames.encode(text)), found.matches(text));
    }),
    { numRuns: 2_000 },
  );
});

test("a prefix and a filter together mean both", () => {
  const { matches } = escapedKeyNames.filter({ prefix: "a.b", filter: "a.*" });
  assert.deepEqual(["a.b", "a.bc", "a.c", "a.b.c"].map(matches), [true, true, false, false]);
});

test("selections that make no sense", () => {
  for (const names of [escapedKeyNames, rawKeyNames]) {
    assert.throws(() => names.filter({ filter: "a.>.b" }), TypeError);
    assert.throws(() => names.filter({ filter: "" }), TypeError);
    assert.throws(() => names.filter({ filter: 1 as never }), TypeError);
    assert.throws(() => names.filter({ prefix: null as never }), TypeError);
    assert.throws(() => names.filter({ prefix: "x".repeat(5_000) }), RangeError);
    assert.throws(() => names.filter({ filter: "x".repeat(5_000) }), RangeError);
  }
  assert.throws(() => escapedKeyNames.filter({ filter: " ".repeat(1_000) }), RangeError);
  assert.throws(() => rawKeyNames.filter({ filter: "a..b" }), TypeError);
  assert.throws(() => rawKeyNames.filter({ prefix: "a b.c" }), TypeError);
});
