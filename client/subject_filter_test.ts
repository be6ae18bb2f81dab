import assert from "node:assert/strict";
import { test } from "node:test";
import { json } from "./json.ts";
import { subject } from "./subject.ts";
import { checkSubjectFilter, filterCovers, filtersOverlap } from "./subject_filter.ts";

test("filters are texts or described subjects", () => {
  for (const text of ["a", "a.b", "a.*", "*.b", "a.>", ">", "*", "ä.b-c_d"]) {
    assert.equal(checkSubjectFilter("it", text), text);
  }
  const described = subject("orders.{region}.{rest...}", json());
  assert.equal(checkSubjectFilter("it", described), "orders.*.>");
});

test("hostile filters are refused by name", () => {
  const hostile = ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nPUB x", "a\0", "a.>.b", ">.a"];
  for (const text of [...hostile, "a*", "a.b>", "a\u00a0b", 5, null, undefined, {}, []]) {
    assert.throws(() => checkSubjectFilter("it", text), (error: Error) => {
      assert.ok(error instanceof TypeError, `${text}`);
      return error.message.startsWith("it ");
    });
  }
  assert.throws(() => checkSubjectFilter("it", "a".repeat(5_000)), RangeError);
});

test("a filter covers another when it stands for all of its subjects", () => {
  const covering = [["a", "a"], [">", "a.b"], ["a.>", "a.b"], ["a.>", "a.*"], ["a.>", "a.b.>"]];
  for (const [wide = "", narrow = ""] of [...covering, ["*", "a"], ["a.*", "a.*"], [">", ">"]]) {
    assert.ok(filterCovers(wide, narrow), `${wide} ${narrow}`);
  }
  const not = [["a", "b"], ["a.>", "a"], ["a.*", "a.>"], ["a", "*"], ["a", "a.b"], ["a.b", "a"]];
  for (const [wide = "", narrow = ""] of [...not, ["*", ">"], ["a.*", "a.b.c"]]) {
    assert.ok(!filterCovers(wide, narrow), `${wide} ${narrow}`);
  }
});

test("filters overlap when a subject matches both", () => {
  const both = [["a", "a"], ["a.*", "*.b"], ["a.>", "*.b.c"], [">", "a"], ["a.>", "a.*"]];
  for (const [one = "", other = ""] of both) {
    assert.ok(filtersOverlap(one, other), `${one} ${other}`);
    assert.ok(filtersOverlap(other, one), `${other} ${one}`);
  }
  for (const [one = "", other = ""] of [["a", "a.>"], ["a.b", "a.c"], ["a", "b"], ["*", "a.b"]]) {
    assert.ok(!filtersOverlap(one, other), `${one} ${other}`);
    assert.ok(!filtersOverlap(other, one), `${other} ${one}`);
  }
});
