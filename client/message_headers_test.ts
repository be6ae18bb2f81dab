import assert from "node:assert/strict";
import { test } from "node:test";
import { headers as nativeHeaders } from "@nats-io/nats-core";
import {
  copyHeaders,
  headerBytes,
  MAX_HEADER_BYTES,
  type MessageHeaders,
  readHeaders,
} from "./message_headers.ts";

test("headers are copied from objects, maps, native headers and received ones", () => {
  const native = nativeHeaders();
  native.append("A", "1");
  native.append("A", "2");
  native.append("b", "3");
  const given: MessageHeaders[] = [
    { A: ["1", "2"], b: "3" },
    new Map<string, string | string[]>([["A", ["1", "2"]], ["b", "3"]]),
    native,
    readHeaders(native),
    [["A", "1"], ["A", ["2"]], ["b", "3"]],
  ];
  for (const one of given) {
    const copy = copyHeaders("headers", one);
    assert.notEqual(copy, one);
    assert.deepEqual([...copy], [["A", ["1", "2"]], ["b", ["3"]]]);
    copy.set("A", "changed");
  }
  assert.deepEqual(native.values("A"), ["1", "2"]);
  assert.deepEqual(given[0], { A: ["1", "2"], b: "3" });
  assert.deepEqual([...copyHeaders("headers", undefined)], []);
});

test("hostile names are refused", () => {
  const names = ["", "a b", "a:b", "a\r\nb", "a\nb", "a\0", "é", "a\t", "\u007f", " a", "a "];
  for (const name of names) {
    assert.throws(() => copyHeaders("headers", { [name]: "x" }), TypeError, JSON.stringify(name));
  }
  assert.throws(() => copyHeaders("headers", { ["n".repeat(256)]: "x" }), RangeError);
  assert.equal(copyHeaders("headers", { ["n".repeat(255)]: "x" }).keys().length, 1);
});

test("reserved names are refused, in any case and from any source", () => {
  for (const name of ["Nats-Msg-Id", "nats-expected-stream", "NATS-X", "Jsflow-Error-Class"]) {
    assert.throws(() => copyHeaders("headers", { [name]: "x" }), /reserved/, name);
    assert.throws(() => copyHeaders("headers", new Map([[name, "x"]])), /reserved/, name);
  }
  assert.equal(copyHeaders("headers", { Natsy: "x", "X-Nats-A": "y" }).keys().length, 2);
});

test("received headers are passed on without reserved names", () => {
  const native = nativeHeaders();
  native.append("Nats-Msg-Id", "id");
  native.append("Shop", "s-1");
  const received = readHeaders(native);
  assert.throws(() => copyHeaders("headers", received), /reserved/);
  const rest = [...received].filter(([name]) => !/^(?:nats|jsflow)-/i.test(name));
  assert.deepEqual([...copyHeaders("headers", rest)], [["Shop", ["s-1"]]]);
});

test("hostile values are refused", () => {
  const values: unknown[] = ["a\r\nb", "a\nb", "a\rb", "a\0b", "\ud800", 5, null, undefined, {}, [
    1,
  ], ["a\n"]];
  for (const value of values) {
    assert.throws(
      () => copyHeaders("headers", { a: value as string }),
      TypeError,
      JSON.stringify(value),
    );
  }
  const good = copyHeaders("headers", { a: "größe, 日本 😀", empty: "", none: [] });
  assert.equal(good.get("a"), "größe, 日本 😀");
  assert.ok(good.has("empty"));
  assert.ok(!good.has("none"));
});

test("what is no headers is refused", () => {
  for (const given of [null, 5, "a: b", [5], [["a"]], new Set(["a"]), () => {}]) {
    assert.throws(() => copyHeaders("headers", given as unknown as MessageHeaders), TypeError);
  }
});

test("__proto__ is a name like any other", () => {
  const given = JSON.parse('{"__proto__":"x"}') as Record<string, string>;
  const copy = copyHeaders("headers", given);
  assert.equal(copy.get("__proto__"), "x");
  assert.equal(readHeaders(copy).get("__proto__"), "x");
});

test("sizes are those on the wire, and bounded", () => {
  for (const given of [{ a: "1" }, { a: ["1", "ü", "日本", "😀"], bc: "" }]) {
    const copy = copyHeaders("headers", given);
    const { encode } = copy as unknown as { encode(): Uint8Array };
    assert.equal(headerBytes(copy), encode.call(copy).length);
  }
  assert.equal(headerBytes(undefined), 0);
  assert.equal(headerBytes(nativeHeaders()), 0);
  const overhead = headerBytes(copyHeaders("headers", { a: "" }));
  const most = "x".repeat(MAX_HEADER_BYTES - overhead);
  assert.equal(headerBytes(copyHeaders("headers", { a: most })), MAX_HEADER_BYTES);
  assert.throws(() => copyHeaders("headers", { a: `${most}x` }), RangeError);
  assert.throws(() => copyHeaders("headers", { a: "ü".repeat(MAX_HEADER_BYTES / 2) }), RangeError);
});

test("received headers are found whatever their case", () => {
  const native = nativeHeaders();
  native.append("Traceparent", "1");
  native.append("traceparent", "2");
  native.append("Nats-Msg-Id", "id");
  const view = readHeaders(native);
  assert.equal(view.get("TRACEPARENT"), "1");
  assert.deepEqual(view.getAll("traceparent"), ["1", "2"]);
  assert.deepEqual(view.names(), ["Traceparent", "traceparent", "Nats-Msg-Id"]);
  assert.ok(view.has("nats-msg-id"));
  assert.ok(!view.has("other"));
  assert.equal(view.get("other"), undefined);
  assert.deepEqual(view.getAll("other"), []);
  assert.equal([...view].length, 3);
  const none = readHeaders(undefined);
  assert.deepEqual([none.get("a"), none.getAll("a"), none.has("a"), none.names(), [...none]], [
    undefined,
    [],
    false,
    [],
    [],
  ]);
});
