import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { headers as nativeHeaders, type Msg } from "@nats-io/nats-core";
import type { TelemetryOptions } from "../trace/telemetry_options.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { bytes } from "./bytes.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import { publish, type PublishOptions } from "./publish.ts";
import { type BoundSubject, type Subject, subject } from "./subject.ts";
import { type Connected, untilLost, withConnected } from "./testdata/server_ground.ts";
import { text } from "./text.ts";

interface Order {
  id: string;
}
const Orders: Subject<Order, "region"> = subject("orders.{region}", json<Order>());
const eu = Orders.with({ region: "eu" });

/** Nothing adds a trace context to the headers, unless `telemetry` says so. */
async function withNats(
  use: (nats: Connected, core: ClientCore) => Promise<void>,
  telemetry: TelemetryOptions = { tracing: false },
): Promise<void> {
  await withConnected({ client: { telemetry } }, (nats) => use(nats, nats.core));
}

/** Everything that arrives under a filter, on a connection of its own path. */
function listen(nats: Connected, filter: string): Msg[] {
  const messages: Msg[] = [];
  nats.client.connection.subscribe(filter, {
    callback: (_error, message) => void messages.push(message),
  });
  return messages;
}

/** Fails, and neither sends anything nor loses the connection. */
async function refused(nats: Connected, attempt: Promise<void>, expected: unknown): Promise<void> {
  const before = nats.client.connection.stats().outMsgs;
  await assert.rejects(attempt, expected as Error);
  assert.equal(nats.client.connection.stats().outMsgs, before, "something was sent");
  await nats.client.connection.flush();
  assert.equal(nats.client.status, "connected");
}

test("a value arrives, without headers unless there are any", async () => {
  await withNats(async (nats, core) => {
    const messages = listen(nats, "orders.*");
    await publish(core, eu, { id: "o-1" });
    await publish(core, eu, { id: "o-2" }, {
      headers: { Shop: ["a", "b"] },
      reply: "answers.here",
    });
    await publish(core, eu, { id: "o-3" }, { headers: { "content-type": "text/x" } });
    await publish(core, eu, { id: "o-4" }, { reply: subject("answers.there", text()) });
    await nats.client.connection.flush();
    assert.deepEqual(messages.map((message) => message.json()), [
      { id: "o-1" },
      { id: "o-2" },
      { id: "o-3" },
      { id: "o-4" },
    ]);
    const [plain, full, typed, last] = messages;
    assert.equal(plain?.headers, undefined);
    assert.equal(plain?.reply, "");
    assert.deepEqual(full?.headers?.values("Shop"), ["a", "b"]);
    assert.equal(full?.headers?.get("Content-Type"), "application/json");
    assert.equal(full?.reply, "answers.here");
    assert.deepEqual([...typed?.headers ?? []], [["content-type", ["text/x"]]]);
    assert.equal(last?.reply, "answers.there");
    assert.equal(last?.headers, undefined);
  });
});

test("the caller's headers are never changed", async () => {
  await withNats(async (_nats, core) => {
    const native = nativeHeaders();
    native.set("A", "1");
    const plain = Object.freeze({ A: "1" });
    for (const headers of [native, plain]) {
      await publish(core, eu, { id: "o" }, Object.freeze({ headers }));
    }
    assert.deepEqual([...native], [["A", ["1"]]]);
  });
});

test("hostile subjects are refused before any I/O", async () => {
  await withNats(async (nats, core) => {
    const forged = (name: unknown) =>
      ({ ...eu, filter: name, pattern: name }) as unknown as BoundSubject<Order>;
    const names = [
      "orders.*",
      "orders.>",
      ">",
      "*",
      "a b",
      "a\r\nPUB b 0\r\n",
      "a\0b",
      "a\u00a0b",
      "",
      ".",
      "a..b",
      "a.",
      "x".repeat(5_000),
    ];
    for (const name of names) {
      await refused(nats, publish(core, forged(name), { id: "o" }), TypeError);
      if (name === "") continue;
      await refused(nats, publish(core, eu, { id: "o" }, { reply: name }), TypeError);
    }
    const open = Orders as unknown as BoundSubject<Order>;
    await refused(nats, publish(core, open, { id: "o" }), /open tokens.*with\(\)/);
    for (const other of ["orders.eu", undefined, null, 5, {}]) {
      const attempt = publish(core, other as unknown as BoundSubject<Order>, { id: "o" });
      await refused(nats, attempt, /a subject or an endpoint is needed/);
    }
  });
});

test("a subject that was changed after its first use is checked again", async () => {
  await withNats(async (nats, core) => {
    const own = { ...eu };
    await publish(core, own, { id: "o" });
    Object.assign(own, { filter: "a b", pattern: "a b" });
    await refused(nats, publish(core, own, { id: "o" }), TypeError);
  });
});

test("hostile headers are refused before any I/O", async () => {
  await withNats(async (nats, core) => {
    const hostile: Record<string, unknown>[] = [
      { "Nats-Msg-Id": "x" },
      { "nats-rollup": "all" },
      { "Jsflow-Error-Class": "fatal" },
      { a: "b\r\nNats-Msg-Id: x" },
      { a: "\0" },
      { "a\r\nb": "c" },
      { "a b": "c" },
      { "a:b": "c" },
      { a: 5 },
    ];
    for (const headers of hostile) {
      const options = { headers } as PublishOptions;
      await refused(nats, publish(core, eu, { id: "o" }, options), TypeError);
    }
    const large = { headers: { a: "x".repeat(70_000) } };
    await refused(nats, publish(core, eu, { id: "o" }, large), RangeError);
  });
});

test("values that cannot travel are refused before any I/O", async () => {
  await withNats(async (nats, core) => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    const Any = subject("any", json<unknown>());
    const hostile = [1n, { n: 1n }, cycle, JSON.parse('{"__proto__":{"a":1}}'), NaN, 2 ** 53];
    for (const value of hostile) {
      await refused(nats, publish(core, Any, value), { code: "encode_failed" });
    }
    const odd = { contentType: "a", encode: (): unknown => "text", decode: () => 1 };
    const Odd = subject("odd", odd as unknown as ReturnType<typeof json<number>>);
    await refused(nats, publish(core, Odd, 1), { code: "encode_failed", name: "JsflowError" });
    const Bad = subject("bad", {
      contentType: "a",
      encode: (): Uint8Array => {
        throw new Error("no");
      },
      decode: () => 1,
    });
    await refused(nats, publish(core, Bad, 1), { code: "encode_failed" });
  });
});

test("a payload, and a payload with its headers, may have the server's size at most", async () => {
  await withNats(async (nats, core) => {
    const Blob = subject("blob", bytes());
    const most = core.maxPayloadBytes;
    const tooLarge = { code: "payload_too_large" };
    await publish(core, Blob, new Uint8Array(most));
    await nats.client.connection.flush();
    await refused(nats, publish(core, Blob, new Uint8Array(most + 1)), tooLarge);
    const headers = { A: "x", "Content-Type": "y" };
    const size = "NATS/1.0\r\nA: x\r\nContent-Type: y\r\n\r\n".length;
    await publish(core, Blob, new Uint8Array(most - size), { headers });
    await nats.client.connection.flush();
    await refused(
      nats,
      publish(core, Blob, new Uint8Array(most - size + 1), { headers }),
      tooLarge,
    );
  });
});

test("options are checked before any I/O", async () => {
  await withNats(async (nats, core) => {
    const types: unknown[] = [
      null,
      5,
      { header: {} },
      { signal: {} },
      { timeoutMs: "5" },
      { reply: 5 },
      { reply: Orders },
      { headers: 5 },
    ];
    for (const options of types) {
      await refused(nats, publish(core, eu, { id: "o" }, options as PublishOptions), TypeError);
    }
    for (const timeoutMs of [NaN, -1, 0, 2 ** 31, Infinity]) {
      await refused(nats, publish(core, eu, { id: "o" }, { timeoutMs }), RangeError);
    }
    const signal = AbortSignal.abort(new Error("early"));
    await refused(nats, publish(core, eu, { id: "o" }, { signal }), /early/);
    await publish(core, eu, { id: "o" }, { headers: undefined, timeoutMs: undefined });
  });
});

test("while the connection is down, and once it is closed, publishing fails at once", async () => {
  await withNats(async (nats, core) => {
    const { signal } = new AbortController();
    await nats.server.kill();
    await untilLost(nats.client);
    for (const options of [undefined, { signal }, { headers: { a: "1" } }]) {
      await assert.rejects(publish(core, eu, { id: "o" }, options), { code: "not_connected" });
    }
    assert.equal(getEventListeners(signal, "abort").length, 0);
    await nats.server.restart();
    await waitUntil(() => nats.client.status === "connected", { what: "it is back" });
    await publish(core, eu, { id: "o" });
    await nats.client.close();
    await assert.rejects(
      publish(core, eu, { id: "o" }),
      (error) => isJsflowError(error, "connection_closed"),
    );
  });
});

test("a trace context travels in fresh headers, unless there is no room for it", async () => {
  await withNats(async (nats, core) => {
    const messages = listen(nats, ">");
    const given = Object.freeze({ A: "1" });
    await publish(core, eu, { id: "o" });
    await publish(core, eu, { id: "o" }, { headers: given });
    await publish(core, subject("blob", bytes()), new Uint8Array(core.maxPayloadBytes));
    await nats.client.connection.flush();
    const [plain, full, blob] = messages.map(({ headers }) => headers);
    assert.match(plain?.get("traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
    assert.equal(plain?.get("Content-Type"), "application/json");
    assert.deepEqual([full?.get("A"), full?.has("traceparent")], ["1", true]);
    assert.equal(blob, undefined);
    assert.equal(messages.length, 3);
  }, {});
});

test("the content type of each codec travels with its messages, but no header of its own", async () => {
  await withNats(async (nats, core) => {
    const messages = listen(nats, "typed");
    const typed = (contentType: string) => subject("typed", { ...bytes(), contentType });
    const one = new Uint8Array(1);
    for (const type of ["a/a", "b/b", " a/a "]) await publish(core, typed(type), one);
    // Together they would not fit, and tracing is no reason to refuse a message.
    const large = new Uint8Array(core.maxPayloadBytes - 2_100);
    await publish(core, typed("c".repeat(3_000)), large);
    await refused(nats, publish(core, typed("a/a\r\nNats-Msg-Id: 1"), one), /cannot publish/);
    await publish(core, typed("a/a"), one);
    await nats.client.connection.flush();
    const types = messages.map(({ headers }) => headers?.get("Content-Type"));
    assert.deepEqual(types, ["a/a", "b/b", "a/a", undefined, "a/a"]);
  }, {});
});
