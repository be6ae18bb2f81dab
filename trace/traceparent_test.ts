import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TraceContext } from "./trace_context.ts";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";

const hex = (digits: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: digits, maxLength: digits })
    .filter((id) => /[^0]/.test(id));
const contexts: fc.Arbitrary<TraceContext> = fc.record({
  traceId: hex(32),
  spanId: hex(16),
  sampled: fc.boolean(),
}, { noNullPrototype: true });

test("what is written is read back", () => {
  fc.assert(fc.property(contexts, (trace) => {
    assert.deepEqual(parseTraceparent(formatTraceparent(trace)), trace);
  }));
});

test("each flag but the lowest is ignored", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 255 }), (flags) => {
    const text = `00-${TRACE_ID}-${SPAN_ID}-${flags.toString(16).padStart(2, "0")}`;
    assert.equal(parseTraceparent(text).sampled, flags % 2 === 1);
  }));
});

test("a later version is read as far as version 00 goes", () => {
  for (const text of [`01-${TRACE_ID}-${SPAN_ID}-01`, `fe-${TRACE_ID}-${SPAN_ID}-01-more-Fields`]) {
    assert.deepEqual(parseTraceparent(text), {
      traceId: TRACE_ID,
      spanId: SPAN_ID,
      sampled: true,
    });
  }
});

const malformed: Record<string, unknown> = {
  "an empty text": "",
  "no text": undefined,
  "an array that reads like one": [`00-${TRACE_ID}-${SPAN_ID}-01`],
  "a short trace id": `00-${TRACE_ID.slice(1)}-${SPAN_ID}-01`,
  "a long span id": `00-${TRACE_ID}-${SPAN_ID}0-01`,
  "a flag of one digit": `00-${TRACE_ID}-${SPAN_ID}-1`,
  "upper case": `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`,
  "version ff": `ff-${TRACE_ID}-${SPAN_ID}-01`,
  "a version of one digit": `0-${TRACE_ID}-${SPAN_ID}-01`,
  "a trace id of zeros": `00-${"0".repeat(32)}-${SPAN_ID}-01`,
  "a span id of zeros": `00-${TRACE_ID}-${"0".repeat(16)}-01`,
  "more fields in version 00": `00-${TRACE_ID}-${SPAN_ID}-01-00`,
  "a dash at the end in version 00": `00-${TRACE_ID}-${SPAN_ID}-01-`,
  "more without a dash in a later version": `01-${TRACE_ID}-${SPAN_ID}-01x`,
  "a blank before it": ` 00-${TRACE_ID}-${SPAN_ID}-01`,
  "a line break after it": `00-${TRACE_ID}-${SPAN_ID}-01\n`,
  "a line break in a later version": `01-${TRACE_ID}-${SPAN_ID}-01-\r\nX: y`,
  "a text of any length": `01-${TRACE_ID}-${SPAN_ID}-01-${"x".repeat(1_000)}`,
};

for (const [name, text] of Object.entries(malformed)) {
  test(`${name} is refused`, () => {
    assert.throws(() => parseTraceparent(text as string), {
      name: "TypeError",
      message: /^cannot parse a traceparent: it must be/,
    });
  });
}

test("garbage is refused, and never breaks anything else", () => {
  const valid = new RegExp(
    "^(00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$" +
      "|(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-|$))",
  );
  const garbage = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom(..."0123456789abcdefAF-"), minLength: 50, maxLength: 60 }),
    // A valid one with one character replaced by none, one or two.
    fc.tuple(contexts, fc.nat({ max: 55 }), fc.string({ maxLength: 2 })).map(([trace, at, by]) => {
      const text = formatTraceparent(trace);
      return text.slice(0, at) + by + text.slice(at + 1);
    }),
  ).filter((text) => !valid.test(text));
  fc.assert(fc.property(garbage, (text) => {
    assert.throws(() => parseTraceparent(text), TypeError);
  }));
});

test("what a later version may not be is refused whatever it holds", () => {
  fc.assert(fc.property(contexts, fc.string({ unit: "binary", minLength: 1 }), (trace, more) => {
    const text = `01${formatTraceparent(trace).slice(2)}${more}`;
    if (/^-.*$/.test(more)) assert.equal(parseTraceparent(text).traceId, trace.traceId);
    else assert.throws(() => parseTraceparent(text), TypeError);
  }));
});

test("a context with malformed ids is not written", () => {
  const good = { traceId: TRACE_ID, spanId: SPAN_ID, sampled: true };
  const bad: unknown[] = [
    undefined,
    null,
    "00",
    { ...good, traceId: `${TRACE_ID}\r\nX-Evil: 1` },
    { ...good, traceId: TRACE_ID.toUpperCase() },
    { ...good, spanId: "0".repeat(16) },
    { ...good, spanId: 7 },
    { ...good, parentSpanId: "x" },
    { ...good, sampled: "no" },
  ];
  for (const trace of bad) {
    assert.throws(() => formatTraceparent(trace as TraceContext), {
      name: "TypeError",
      message: /^cannot format a trace context/,
    });
  }
});
