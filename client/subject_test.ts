import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { json } from "./json.ts";
import { type BoundSubject, type Subject, subject, subjectName } from "./subject.ts";
import { text } from "./text.ts";

interface Order {
  id: string;
}

// Written by hand, as an exported subject is.
const Orders: Subject<Order, "region"> = subject("orders.{region}", json<Order>());
const Logs: Subject<string, "app" | "rest..."> = subject("logs.{app}.{rest...}", text());
const Fixed: BoundSubject<string> = subject("status.all", text());

/** Takes what a publish takes. */
function publish<T>(to: BoundSubject<T>, _payload?: T): string {
  return subjectName(to);
}

test("a pattern gives its filter", () => {
  assert.equal(Orders.pattern, "orders.{region}");
  assert.equal(Orders.filter, "orders.*");
  assert.equal(Logs.filter, "logs.*.>");
  assert.equal(Fixed.filter, "status.all");
  assert.equal(subject("{all...}", text()).filter, ">");
});

test("with() fills tokens and leaves the original alone", () => {
  const eu = Orders.with({ region: "eu" });
  assert.equal(publish(eu, { id: "1" }), "orders.eu");
  assert.equal(Orders.pattern, "orders.{region}");
  assert.equal(eu.codec, Orders.codec);
  const web = Logs.with({ app: "web" });
  assert.equal(web.pattern, "logs.web.{rest...}");
  assert.equal(publish(web.with({ rest: "a.b" })), "logs.web.a.b");
  assert.equal(publish(Logs.with({ app: "w", rest: ["a.b", "c"] })), "logs.w.a=2Eb.c");
  assert.equal(Orders.with({}).pattern, Orders.pattern);
});

test("any string survives with() and match()", () => {
  const tokens = fc.string({ unit: "binary", minLength: 0, maxLength: 20 })
    .filter((value) => value !== "*" && value !== ">");
  fc.assert(fc.property(tokens, fc.array(tokens, { minLength: 1, maxLength: 4 }), (app, rest) => {
    const bound = Logs.with({ app, rest });
    assert.deepEqual(Logs.match(publish(bound)), { app, rest });
    assert.deepEqual(bound.match(publish(bound)), {});
  }));
});

test("match() tells other subjects apart", () => {
  assert.deepEqual(Orders.match("orders.eu"), { region: "eu" });
  for (const other of ["orders", "orders.", "orders.eu.x", "order.eu", "orders..x", ""]) {
    assert.equal(Orders.match(other), undefined, other);
  }
  assert.deepEqual(Logs.match("logs.web.a.b"), { app: "web", rest: ["a", "b"] });
  for (const other of ["logs.web", "logs.web.", "logs.web..a", "logs..a", "logs"]) {
    assert.equal(Logs.match(other), undefined, other);
  }
  assert.deepEqual(Fixed.match("status.all"), {});
});

test("match() returns tokens of other publishers as they are", () => {
  assert.deepEqual(Orders.match("orders.a:b"), { region: "a:b" });
  assert.deepEqual(Orders.match("orders.=zz"), { region: "=zz" });
});

test("hostile patterns are refused", () => {
  const hostile = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    "a\tb",
    "a\r\nb",
    "a\0b",
    "a\u007fb",
    "a\u00a0b",
    "a\u2028b",
    "a\u200bb",
    "\ufeffa",
    "a.*",
    "a.>",
    "a*b",
    "a.{}",
    "a.{b",
    "a.b}",
    "a.{b}c",
    "a.x{b}",
    "a.{b c}",
    "a.{1b}",
    "a.{b.c}",
    "a.{b..}",
    "a.{b....}",
    "a.{...}",
    "a.{{b}}",
    "a.{b}.{b}",
    "a.{rest...}.b",
    "a.{r...}.{s...}",
    "a.\ud800",
  ];
  for (const pattern of hostile) {
    assert.throws(() => subject(pattern, text()), TypeError, JSON.stringify(pattern));
  }
  for (const pattern of [undefined, null, 5, {}]) {
    assert.throws(() => subject(pattern as unknown as string, text()), TypeError);
  }
  assert.throws(() => subject("a", undefined as unknown as ReturnType<typeof text>), TypeError);
});

test("other scripts are fine", () => {
  assert.equal(subject("größe.日本", text()).filter, "größe.日本");
});

test("a subject has at most 1,024 bytes", () => {
  const tail = (length: number) => `a.${"b".repeat(length - 2)}`;
  assert.equal(subject(tail(1024), text()).pattern.length, 1024);
  assert.throws(() => subject(tail(1025), text()), RangeError);
  assert.throws(() => subject(tail(5_000), text()), RangeError);
  assert.throws(() => subject("é".repeat(513), text()), RangeError);
  assert.throws(() => Orders.with({ region: "x".repeat(256) }), RangeError);
  assert.throws(() => Logs.with({ app: "a", rest: Array(5).fill("x".repeat(250)) }), RangeError);
});

test("hostile token values are refused", () => {
  const values: unknown[] = ["*", ">", undefined, null, 5, {}, ["a"]];
  for (const region of values) {
    assert.throws(() => Orders.with({ region: region as string }), TypeError, String(region));
  }
  for (const rest of ["*", "a.>", [], ["a", ">"], [1], 5] as unknown[]) {
    assert.throws(() => Logs.with({ rest: rest as string }), TypeError, String(rest));
  }
  assert.throws(() => Orders.with(undefined as unknown as { region: string }), TypeError);
});

test("an open token is refused at run time as well", () => {
  const cast = Orders as unknown as BoundSubject<Order>;
  assert.throws(
    () => publish(cast),
    new TypeError("cannot publish to orders.{region}: it has open tokens; fill them using with()"),
  );
});

test("a pattern known only at run time works, but is never bound by its type", () => {
  const pattern: string = ["orders", "{region}"].join(".");
  const open: Subject<Order, string> = subject(pattern, json<Order>());
  // @ts-expect-error -- nobody knows whether a token is open
  assert.throws(() => publish(open), TypeError);
  assert.equal(open.with({ region: "eu" }).filter, "orders.eu");
});

test("types: open tokens, unknown tokens and wrong payloads are refused", () => {
  // @ts-expect-error -- region is open
  assert.throws(() => publish(Orders), TypeError);
  // @ts-expect-error -- rest is open
  assert.throws(() => publish(Logs.with({ app: "a" })), TypeError);
  // @ts-expect-error -- no such token
  assert.throws(() => Orders.with({ regoin: "eu" }), TypeError);
  // @ts-expect-error -- no such token beside a right one
  assert.throws(() => Orders.with({ region: "eu", other: "x" }), TypeError);
  // @ts-expect-error -- filled already
  assert.throws(() => Orders.with({ region: "eu" }).with({ region: "us" }), TypeError);
  // @ts-expect-error -- not a string
  assert.throws(() => Orders.with({ region: 5 }), TypeError);
  // @ts-expect-error -- a list fills {rest...} only
  assert.throws(() => Orders.with({ region: ["a"] }), TypeError);
  // @ts-expect-error -- wrong payload
  publish(Orders.with({ region: "eu" }), { id: 5 });
});

test("types: K is invariant", () => {
  // @ts-expect-error -- an open subject is no bound one
  const bound: BoundSubject<Order> = Orders;
  // @ts-expect-error -- a bound subject is no open one
  const open: Subject<string, "app"> = Fixed;
  // @ts-expect-error -- one token is not two
  const wider: Subject<Order, "region" | "shop"> = Orders;
  // @ts-expect-error -- two tokens are not one
  const narrower: Subject<string, "app"> = Logs;
  // @ts-expect-error -- the pattern has another token
  const other: Subject<Order, "shop"> = subject("orders.{region}", json<Order>());
  assert.ok([bound, open, wider, narrower, other].every((value) => value !== undefined));
});

test("types: params have the tokens' names", () => {
  const params = Logs.match("logs.a.b.c");
  const app: string | undefined = params?.app;
  const rest: readonly string[] | undefined = params?.rest;
  assert.deepEqual([app, rest], ["a", ["b", "c"]]);
  // @ts-expect-error -- no such token
  assert.equal(params?.other, undefined);
});
