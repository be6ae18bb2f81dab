import assert from "node:assert/strict";
import { test } from "node:test";
import type { Msg } from "@nats-io/nats-core";
import type { ClientCore } from "./core.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { JsflowError } from "./errors.ts";
import { json } from "./json.ts";
import { RemoteError } from "./remote_error.ts";
import { request } from "./request.ts";
import { serve, type ServeOptions } from "./serve.ts";
import { ServiceError } from "./service_error.ts";
import type { StandardSchema } from "./standard_schema.ts";
import { Shout } from "./testdata/messages.ts";
import { withCore, withMessaging } from "./testdata/nats_ground.ts";
import { text } from "./text.ts";

/** The error that a requester gets, and what travelled to raise it. */
async function failure(
  core: ClientCore,
  to: Endpoint<string, string>,
  value: string,
): Promise<{ readonly error: RemoteError; readonly raw: Msg }> {
  const raw = await core.connection.request(to.filter, value, { timeout: 5_000 });
  assert.equal(raw.data.length, 0, "an error never has a body");
  try {
    await request(core, to, value);
  } catch (error) {
    assert.ok(error instanceof RemoteError, String(error));
    assert.equal(error.code, "remote_error");
    return { error, raw };
  }
  assert.fail("the request succeeded");
}

test("what a ServiceError says travels, and nothing else of it", async () => {
  await withMessaging(async (core) => {
    const said = "größe 50% — line\r\nX-Evil: 1\0 ";
    const service = await serve(core, Shout, (value) => {
      if (value === "plain") throw new ServiceError("transient", "later");
      throw new ServiceError("invalid", said, { code: "no_item", cause: new Error("secret") });
    });
    const { error, raw } = await failure(core, Shout, "x");
    assert.deepEqual([error.errorClass, error.remoteCode], ["invalid", "no_item"]);
    assert.equal(error.remoteMessage, "größe 50% — line X-Evil: 1  ");
    assert.match(error.message, /^cannot request shout: the service answered invalid \(no_item\)/);
    assert.equal(raw.headers?.has("X-Evil"), false);
    assert.equal(raw.headers?.get("Jsflow-Error-Class"), "invalid");
    assert.equal(raw.headers?.get("Nats-Service-Error-Code"), "400");
    assert.ok(raw.headers?.has("Nats-Service-Error"));
    assert.doesNotMatch(JSON.stringify([...raw.headers ?? []]), /secret|at .*\.ts/);
    const plain = await failure(core, Shout, "plain");
    assert.deepEqual([plain.error.errorClass, plain.error.remoteCode], ["transient", "transient"]);
    assert.equal(plain.raw.headers?.get("Nats-Service-Error-Code"), "503");
    await service.drain();
  });
});

test("of other errors only the class and a code travel", async () => {
  await withMessaging(async (core) => {
    const told: unknown[] = [];
    const thrown: Record<string, unknown> = {
      error: new Error("password=hunter2"),
      nothing: undefined,
      text: "hunter2",
      busy: new JsflowError("jetstream_unavailable", "hunter2"),
      broken: new JsflowError("stream_not_found", "hunter2"),
      behind: new RemoteError("x", { errorClass: "invalid", code: "a", message: "hunter2" }),
      again: new RemoteError("x", { errorClass: "transient", code: "a", message: "hunter2" }),
    };
    const options: ServeOptions = {
      onError: (error) => {
        told.push(error);
        throw new Error("the callback fails as well");
      },
    };
    const service = await serve(core, Shout, options, (value) => {
      if (value === "text") throw thrown[value];
      return Promise.reject(thrown[value]);
    });
    const expected = {
      error: ["fatal", "internal"],
      nothing: ["fatal", "internal"],
      text: ["fatal", "internal"],
      busy: ["transient", "jetstream_unavailable"],
      broken: ["fatal", "stream_not_found"],
      behind: ["fatal", "upstream"],
      again: ["transient", "upstream"],
    };
    for (const [value, outcome] of Object.entries(expected)) {
      const { error, raw } = await failure(core, Shout, value);
      assert.deepEqual([error.errorClass, error.remoteCode], outcome, value);
      assert.doesNotMatch(error.message + JSON.stringify([...raw.headers ?? []]), /hunter2/);
    }
    assert.equal(told.length, 14);
    assert.ok(Object.values(thrown).every((error) => told.includes(error)));
    await service.drain();
    assert.equal(service.stats.failed, 14);
  });
});

test("long messages are cut, also to what the server takes", async () => {
  await withCore(async (core) => {
    const service = await serve(core, Shout, (value) => {
      throw new ServiceError("invalid", value.repeat(10_000), { code: "long" });
    });
    const { error } = await failure(core, Shout, "x");
    assert.ok(error.remoteMessage.length <= 512);
    const wide = await failure(core, Shout, "日");
    assert.deepEqual([wide.error.errorClass, wide.error.remoteCode], ["invalid", "long"]);
    await service.drain();
  }, { preset: "minimal", server: { config: { max_payload: 2_048 } } });
});

test("a request that is undecodable or fails the schema is invalid; the handler is not called", async () => {
  await withMessaging(async (core) => {
    const schema: StandardSchema<number, number> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) =>
          typeof value === "number" ? { value } : { issues: [{ message: "no number" }] },
      },
    };
    const Strict = endpoint("strict", { request: json(schema), reply: text() });
    const service = await serve(core, Strict, () => assert.fail("called"));
    const Loose: Endpoint<string, string> = endpoint("strict", { request: text(), reply: text() });
    const broken = await failure(core, Loose, "{broken");
    assert.deepEqual([broken.error.errorClass, broken.error.remoteCode], [
      "invalid",
      "decode_failed",
    ]);
    const wrong = await failure(core, Loose, '"text"');
    assert.deepEqual([wrong.error.errorClass, wrong.error.remoteCode], [
      "invalid",
      "invalid_payload",
    ]);
    assert.match(wrong.error.message, /no number/);
    await service.drain();
  });
});

test("a reply that cannot be encoded, or is too large, is fatal", async () => {
  await withMessaging(async (core) => {
    const Any = endpoint("any", { request: text(), reply: json<unknown>() });
    const service = await serve(core, Any, (value) => {
      return value === "large" ? "x".repeat(core.maxPayloadBytes) : { n: 1n };
    });
    const Same: Endpoint<string, string> = endpoint("any", { request: text(), reply: text() });
    const odd = await failure(core, Same, "odd");
    assert.deepEqual([odd.error.errorClass, odd.error.remoteCode], ["fatal", "encode_failed"]);
    const large = await failure(core, Same, "large");
    assert.deepEqual([large.error.errorClass, large.error.remoteCode], [
      "fatal",
      "payload_too_large",
    ]);
    await service.drain();
  });
});
