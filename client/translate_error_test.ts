import assert from "node:assert/strict";
import { test } from "node:test";
import { JetStreamApiError, JetStreamError } from "@nats-io/jetstream";
import { errors } from "@nats-io/nats-core";
import { JsflowError, type JsflowErrorCode } from "./errors.ts";
import { translateError } from "./translate_error.ts";

function api(code: number, status = 400): JetStreamApiError {
  return new JetStreamApiError({ code: status, err_code: code, description: "as the server says" });
}

function named(name: string, extra: object = {}): Error {
  return Object.assign(new Error("text that may change"), { name }, extra);
}

function becomes(error: unknown, code: JsflowErrorCode): void {
  const translated = translateError(error, "do it");
  assert.ok(translated instanceof JsflowError);
  assert.equal(translated.code, code, `${String(error)} became ${translated.code}`);
  assert.match(translated.message, /^cannot do it: /);
  assert.equal(translated.cause, error);
}

test("API errors go by number", () => {
  becomes(api(10071), "sequence_conflict");
  becomes(api(10164), "sequence_conflict");
  becomes(api(10059, 404), "stream_not_found");
  becomes(api(10014, 404), "consumer_not_found");
  becomes(api(10037, 404), "message_not_found");
  becomes(api(10076, 503), "jetstream_disabled");
  becomes(api(10039, 503), "jetstream_disabled");
  becomes(api(10008, 503), "jetstream_unavailable");
  becomes(api(10023, 503), "jetstream_unavailable");
  becomes(api(10054), "payload_too_large");
  becomes(api(10999), "nats");
});

test("what JetStream wraps is looked into", () => {
  becomes(named("JetStreamNotEnabled", { cause: api(10039, 503) }), "jetstream_disabled");
  const silent = new errors.RequestError("x", { cause: new errors.NoRespondersError("s") });
  becomes(named("JetStreamNotEnabled", { cause: silent }), "jetstream_unavailable");
  becomes(named("JetStreamStatusError", { code: 404 }), "message_not_found");
  becomes(named("JetStreamStatusError", { code: 408 }), "timeout");
  becomes(named("JetStreamStatusError", { code: 503 }), "jetstream_unavailable");
  becomes(named("JetStreamStatusError", { code: 409 }), "nats");
  becomes(new JetStreamError("x"), "nats");
});

test("client errors go by class", () => {
  becomes(new errors.TimeoutError(), "timeout");
  becomes(new errors.NoRespondersError("s"), "no_responders");
  becomes(
    new errors.RequestError("x", { cause: new errors.NoRespondersError("s") }),
    "no_responders",
  );
  becomes(new errors.RequestError("connection disconnected"), "not_connected");
  becomes(new errors.ClosedConnectionError(), "connection_closed");
  becomes(new errors.DrainingConnectionError(), "connection_closed");
  becomes(new errors.AuthorizationError("x"), "authorization");
  becomes(new errors.UserAuthenticationExpiredError("x"), "authorization");
  becomes(new errors.PermissionViolationError("x", "publish", "s"), "permission_denied");
  becomes(new errors.ConnectionError("x"), "connection_refused");
  becomes(
    errors.InvalidArgumentError.format("payload", "max_payload size exceeded"),
    "payload_too_large",
  );
  becomes(new errors.ProtocolError("x"), "nats");
});

test("system errors go by code, also inside a wrapper", () => {
  const refused = named("Error", { code: "ECONNREFUSED" });
  becomes(refused, "connection_refused");
  becomes(
    new errors.ConnectionError("connection refused", { cause: refused }),
    "connection_refused",
  );
  becomes(named("Error", { code: "ENOTFOUND" }), "connection_refused");
  becomes(named("Error", { code: "ETIMEDOUT" }), "connection_timeout");
  becomes(named("Error", { code: "ECONNRESET" }), "connection_closed");
});

test("anything else becomes the cause of a nats error", () => {
  becomes(new Error("odd"), "nats");
  becomes("a text", "nats");
  becomes(undefined, "nats");
  becomes({ code: 10071 }, "nats");
});

test("what needs no translation passes through", () => {
  const through = [
    new JsflowError("fenced", "x"),
    new TypeError("x"),
    new RangeError("x"),
    new DOMException("x", "AbortError"),
    new DOMException("x", "TimeoutError"),
  ];
  for (const error of through) assert.equal(translateError(error, "do it"), error);
});

test("an invalid subject or argument is misuse", () => {
  const invalid = new errors.InvalidSubjectError("a b");
  const translated = translateError(invalid, "publish");
  assert.ok(translated instanceof TypeError);
  assert.equal(translated.cause, invalid);
});
