import assert from "node:assert/strict";
import { test } from "node:test";
import { type BoundEndpoint, type Endpoint, endpoint } from "./endpoint.ts";
import { json } from "./json.ts";
import { text } from "./text.ts";

interface Size {
  size: number;
}
interface Price {
  px: number;
}
const codecs = { request: json<Size>(), reply: json<Price>() };

// Written by hand, as an exported endpoint is.
const Quote: Endpoint<Size, Price, "symbol"> = endpoint("quote.{symbol}", codecs);
const Logs: Endpoint<string, string, "app" | "rest..."> = endpoint("logs.{app}.{rest...}", {
  request: text(),
  reply: text(),
});

/** Takes what a request takes. */
function request<Req, Res>(to: BoundEndpoint<Req, Res>, _value?: Req): [string, Res?] {
  return [to.filter];
}

test("an endpoint has the pattern and filter of a subject, and two codecs", () => {
  assert.deepEqual([Quote.pattern, Quote.filter], ["quote.{symbol}", "quote.*"]);
  assert.equal(Quote.request, codecs.request);
  assert.equal(Quote.reply, codecs.reply);
  assert.ok(Object.isFrozen(Quote));
  assert.deepEqual(Quote.match("quote.X"), { symbol: "X" });
  assert.equal(Quote.match("other.X"), undefined);
});

test("with() fills tokens and leaves the original alone", () => {
  const bound = Quote.with({ symbol: "a.b" });
  assert.deepEqual([bound.pattern, bound.filter], ["quote.a=2Eb", "quote.a=2Eb"]);
  assert.equal(bound.reply, codecs.reply);
  assert.equal(Quote.pattern, "quote.{symbol}");
  const web = Logs.with({ app: "web" });
  assert.equal(web.filter, "logs.web.>");
  assert.deepEqual(web.match("logs.web.a.b"), { rest: ["a", "b"] });
});

test("hostile patterns and missing codecs are refused", () => {
  for (const pattern of ["", "a b", "a.*", "a..b", "a\r\n", undefined, 5]) {
    assert.throws(() => endpoint(pattern as string, codecs), TypeError, String(pattern));
  }
  assert.throws(() => endpoint("a".repeat(5_000), codecs), RangeError);
  const wrong: unknown[] = [
    undefined,
    null,
    json(),
    {},
    { request: json() },
    { reply: json() },
    { request: json(), reply: {} },
    { ...codecs, other: 1 },
  ];
  for (const given of wrong) {
    assert.throws(() => endpoint("a", given as typeof codecs), TypeError);
  }
});

test("types: an open endpoint cannot be requested, nor a wrong value sent", () => {
  // @ts-expect-error -- symbol is open
  request(Quote);
  // @ts-expect-error -- rest is open
  request(Logs.with({ app: "a" }));
  // @ts-expect-error -- wrong request
  request(Quote.with({ symbol: "X" }), { size: "1" });
  // @ts-expect-error -- no such token
  assert.throws(() => Quote.with({ symbl: "X" }), TypeError);
  // @ts-expect-error -- filled already
  assert.throws(() => Quote.with({ symbol: "X" }).with({ symbol: "Y" }), TypeError);
  const [, price] = request(Quote.with({ symbol: "X" }), { size: 1 });
  const px: number | undefined = price?.px;
  assert.equal(px, undefined);
});

test("types: K is invariant", () => {
  const fixed: BoundEndpoint<Size, Price> = endpoint("a", codecs);
  // @ts-expect-error -- an open endpoint is no bound one
  const bound: BoundEndpoint<Size, Price> = Quote;
  // @ts-expect-error -- a bound endpoint is no open one
  const open: Endpoint<Size, Price, "symbol"> = fixed;
  // @ts-expect-error -- one token is not two
  const wider: Endpoint<Size, Price, "symbol" | "side"> = Quote;
  // @ts-expect-error -- two tokens are not one
  const narrower: Endpoint<string, string, "app"> = Logs;
  assert.ok([bound, open, wider, narrower].every((value) => value !== undefined));
});
