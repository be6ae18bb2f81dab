import assert from "node:assert/strict";
import { test } from "node:test";
import { headers as nativeHeaders } from "@nats-io/nats-core";
import fc from "fast-check";
import { errorHeaders, isWorthRetry, remoteErrorOf, reportOf } from "./_error_headers.ts";
import { JsflowError } from "./errors.ts";
import { RemoteError } from "./remote_error.ts";
import { ServiceError } from "./service_error.ts";

test("a service error has a class, a code and a cause", () => {
  const cause = new Error("why");
  const error = new ServiceError("invalid", "no such item", { code: "no_item", cause });
  assert.deepEqual(
    [error.name, error.errorClass, error.code, error.message, error.cause],
    ["ServiceError", "invalid", "no_item", "no such item", cause],
  );
  assert.equal(new ServiceError("fatal", "").code, "fatal");
});

test("misuse is refused", () => {
  const make = (...given: unknown[]) => () =>
    new ServiceError(...given as ConstructorParameters<typeof ServiceError>);
  const misuses: unknown[][] = [
    ["other", "x"],
    [undefined, "x"],
    ["fatal", 5],
    ["fatal", "x", { code: "" }],
    ["fatal", "x", { code: "a b" }],
    ["fatal", "x", { code: "a\r\nb" }],
    ["fatal", "x", { code: "c".repeat(65) }],
    ["fatal", "x", { codes: "a" }],
  ];
  for (const given of misuses) assert.throws(make(...given), TypeError, JSON.stringify(given));
});

test("any message survives the headers, on one line of ASCII", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 200 }), (message) => {
    const headers = errorHeaders(reportOf(new ServiceError("invalid", message)));
    assert.match(headers.get("Jsflow-Error-Message"), /^[\x20-\x7e]*$/);
    const back = remoteErrorOf("ask", headers);
    assert.equal(back?.remoteMessage, message.replace(/[\p{Cc}\u2028\u2029]+/gu, " "));
  }));
  for (const message of ["\ud800", `${"x".repeat(510)}😀😀`]) {
    const headers = errorHeaders(reportOf(new ServiceError("invalid", message)));
    assert.ok(remoteErrorOf("ask", headers)?.remoteMessage.isWellFormed());
  }
});

test("what others send is not trusted", () => {
  const read = (entries: Record<string, string>) => {
    const headers = nativeHeaders();
    for (const [name, value] of Object.entries(entries)) headers.set(name, value);
    const error = remoteErrorOf("ask", headers);
    return error && [error.errorClass, error.remoteCode, error.remoteMessage];
  };
  assert.equal(remoteErrorOf("ask", undefined), undefined);
  assert.equal(read({ Other: "x" }), undefined);
  assert.deepEqual(read({ "Jsflow-Error-Class": "odd" }), ["fatal", "unknown", ""]);
  assert.deepEqual(read({ "Jsflow-Error-Class": "" }), ["fatal", "unknown", ""]);
  assert.deepEqual(
    read({
      "Jsflow-Error-Class": "invalid",
      "Jsflow-Error-Code": "c".repeat(100),
      "Jsflow-Error-Message": `%ZZ${"m".repeat(600)}`,
    }),
    ["invalid", "c".repeat(64), `%ZZ${"m".repeat(508)}…`],
  );
  assert.deepEqual(
    read({ "Jsflow-Error-Class": "fatal", "Jsflow-Error-Message": "a%0D%0Ab%1B[31m" }),
    ["fatal", "unknown", "a b [31m"],
  );
});

test("errors of other NATS services are understood by their status", () => {
  const classes = {
    400: "invalid",
    404: "invalid",
    429: "transient",
    500: "fatal",
    503: "transient",
  };
  for (const [status, errorClass] of Object.entries(classes)) {
    const headers = nativeHeaders();
    headers.set("Nats-Service-Error", "they say");
    headers.set("Nats-Service-Error-Code", status);
    const error = remoteErrorOf("ask", headers);
    assert.deepEqual(
      [error?.errorClass, error?.remoteCode, error?.remoteMessage],
      [errorClass, status, "they say"],
    );
  }
  const headers = nativeHeaders();
  headers.set("Nats-Service-Error", "they say");
  assert.equal(remoteErrorOf("ask", headers)?.errorClass, "fatal");
});

test("only what may pass is worth a retry", () => {
  const remote = (errorClass: "transient" | "invalid" | "fatal") =>
    new RemoteError("ask", { errorClass, code: "c", message: "m" });
  assert.deepEqual(
    [
      remote("transient"),
      new JsflowError("timeout", "t"),
      new JsflowError("no_responders", "n"),
      remote("invalid"),
      remote("fatal"),
      new JsflowError("decode_failed", "d"),
      new JsflowError("not_connected", "n"),
      new Error("e"),
      undefined,
    ].map(isWorthRetry),
    [true, true, true, false, false, false, false, false, false],
  );
});
