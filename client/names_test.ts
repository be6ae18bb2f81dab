import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeToken, encodeName, encodeToken } from "./names.ts";

const options = { what: "name", maxBytes: 100_000 };
/** Any JS string, lone surrogates included. */
const anyString = fc.string({
  unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
});
const nasty = fc.string({
  unit: fc.constantFrom(..."=uDd8A.*> \0é€", "\ud83d", "\ude00", "\u{1f600}"),
});

test("what is safe stays as it is", () => {
  assert.equal(encodeToken("order-42_X", options), "order-42_X");
});

test("everything else is escaped", () => {
  assert.equal(encodeToken("a.b c", options), "a=2Eb=20c");
  assert.equal(encodeToken("é", options), "=C3=A9");
  assert.equal(encodeToken("=", options), "=3D");
  assert.equal(encodeToken("", options), "=");
  assert.equal(encodeToken("*", options), "=2A");
  assert.equal(encodeToken("\0", options), "=00");
  assert.equal(encodeToken("\u{1f600}", options), "=F0=9F=98=80");
  assert.equal(encodeToken("\ud83d", options), "=uD83D");
  assert.equal(encodeToken("\ude00\ud83d", options), "=uDE00=uD83D");
});

for (const [name, strings] of Object.entries({ anyString, nasty })) {
  test(`every string comes back and is a valid token (${name})`, () => {
    fc.assert(
      fc.property(strings, (text) => {
        const token = encodeToken(text, options);
        return decodeToken(token) === text && /^[A-Za-z0-9_=-]+$/.test(token);
      }),
      { numRuns: 1000 },
    );
  });
}

test("two strings never share an encoding", () => {
  fc.assert(
    fc.property(nasty, nasty, (a, b) => {
      return (encodeToken(a, options) === encodeToken(b, options)) === (a === b);
    }),
    { numRuns: 1000 },
  );
});

test("decoding refuses what encoding never returns, so it is injective too", () => {
  const malformed = [
    "",
    "==",
    "=2",
    "=2e",
    "=41",
    "=C3",
    "=C3=28",
    "=ED=A0=80",
    "=uD83D=uDE00",
    "=u0041",
    "=uD83d",
    "a.b",
    "a b",
    "é",
    "a=",
    "=3Da=",
  ];
  for (const token of malformed) assert.throws(() => decodeToken(token), TypeError, token);
  assert.throws(() => decodeToken(1 as unknown as string), TypeError);
  const tokens = fc.string({ unit: fc.constantFrom(..."=uDC8A2E3a."), maxLength: 12 });
  fc.assert(
    fc.property(tokens, (token) => {
      let text: string;
      try {
        text = decodeToken(token);
      } catch {
        return true;
      }
      return encodeToken(text, options) === token;
    }),
    { numRuns: 2000 },
  );
});

test("the length cap counts encoded bytes", () => {
  assert.equal(encodeToken("a".repeat(255), { what: "id" }).length, 255);
  assert.equal(encodeToken("é".repeat(42), { what: "id" }).length, 252);
  for (const text of ["a".repeat(256), "é".repeat(43), "a".repeat(5_000), ".".repeat(86)]) {
    assert.throws(() => encodeToken(text, { what: "id" }), {
      name: "RangeError",
      message: /^id must have at most 255 bytes/,
    });
  }
  assert.throws(() => encodeToken("abc", { what: "id", maxBytes: 2 }), RangeError);
  assert.throws(() => encodeToken("abc", { what: "id", maxBytes: 0 }), RangeError);
});

test("names are tokens that are not empty", () => {
  assert.equal(encodeName("a.b", { what: "workflow name" }), "a=2Eb");
  assert.throws(
    () => encodeName("", { what: "workflow name" }),
    new TypeError("workflow name must not be empty"),
  );
  for (const text of [undefined, null, 5, {}]) {
    assert.throws(() => encodeName(text as unknown as string, { what: "name" }), TypeError);
  }
});
