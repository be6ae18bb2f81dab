import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJunit } from "./_junit.ts";

const summary = (xml: string) => parseJunit(xml).map(({ name, status }) => `${status} ${name}`);

test("reads Node's report, with its double escapes and nested suites", () => {
  const xml = `<testsuites>
	<testcase name="passes > &lt;ok> &amp;quot;q&amp;quot;" time="0.002" classname="test"/>
	<testcase name="fails" time="0.1" classname="test" failure="1 !== 2">
		<failure type="testCodeFailure" message="1 !== 2">
cause: AssertionError at &lt;anonymous>
		</failure>
	</testcase>
	<testcase name="skips" classname="test"><skipped type="skipped" message="because &lt;x>"/></testcase>
	<testsuite name="sub" tests="1"><testcase name="inner" classname="test" file="/a/b_test.ts"/></testsuite>
</testsuites>`;
  assert.deepEqual(summary(xml), [
    'passed passes > <ok> "q"',
    "failed fails",
    "skipped skips",
    "passed inner",
  ]);
  assert.equal(parseJunit(xml)[1]?.detail, "cause: AssertionError at <anonymous>");
  assert.equal(parseJunit(xml)[3]?.file, "/a/b_test.ts");
});

test("counts the steps of Deno's report, not the groups that hold them", () => {
  const xml = `<testsuite name="./a_test.ts">
    <testcase name="sub" classname="./a_test.ts"></testcase>
    <testcase name="group" classname="./a_test.ts">
        <failure message="1 test step failed">1 test step failed.</failure></testcase>
    <testcase name="broken" classname="./a_test.ts"><failure message="own error"/></testcase>
    <testcase name="sub &gt; inner" classname="ext:deno_node/testing.ts"></testcase>
    <testcase name="group &gt; two" classname="./a_test.ts"><failure message="x"></failure></testcase>
    <testcase name="broken &gt; step" classname="./a_test.ts"></testcase>
  </testsuite>`;
  assert.deepEqual(summary(xml), [
    "failed broken",
    "passed sub > inner",
    "failed group > two",
    "passed broken > step",
  ]);
  assert.deepEqual(parseJunit(xml).map(({ file }) => file), Array(4).fill("./a_test.ts"));
});

test("reads Bun's report", () => {
  const xml = `<testsuites name="bun test"><testsuite name="t/a_test.ts" file="t/a_test.ts">
    <testcase name="one" classname="d" file="t/a_test.ts" line="9" assertions="0" />
    <testcase name="two" classname="d" file="t/a_test.ts"><failure type="Error" message="no">Error: no&#10;at x</failure></testcase>
    <testcase name="todo" classname="" file="t/a_test.ts"><skipped message="later" /></testcase>
  </testsuite></testsuites>`;
  assert.deepEqual(summary(xml), ["passed one", "failed two", "skipped todo"]);
  assert.equal(parseJunit(xml)[1]?.detail, "Error: no\nat x");
});

test("finds nothing in an empty report", () => {
  assert.deepEqual(parseJunit(""), []);
});
