import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import type { TestNats } from "../testing/test_nats.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { bytes } from "./bytes.ts";
import { coreOf } from "./core.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { json } from "./json.ts";
import { RemoteError } from "./remote_error.ts";
import { request, requestMessage, type RequestOptions } from "./request.ts";
import { serve } from "./serve.ts";
import { ServiceError } from "./service_error.ts";
import { Shout } from "./testdata/messages.ts";
import { withMessaging } from "./testdata/nats_ground.ts";
import { connectionsOf, withClient, withServer } from "./testdata/server_ground.ts";
import { text } from "./text.ts";

/** Subscribes to the endpoint by native means, and counts the requests. */
function listen(nats: TestNats, answer?: (count: number) => string | undefined): { count: number } {
  const seen = { count: 0 };
  nats.connection.subscribe("shout", {
    callback: (_error, message) => {
      const reply = answer?.(++seen.count);
      if (reply !== undefined) message.respond(reply);
    },
  });
  return seen;
}

test("request gives the value, requestMessage the headers too", async () => {
  await withMessaging(async (core, nats) => {
    nats.connection.subscribe("shout", {
      callback: (_error, message) =>
        void message.respond(`${message.string()}!`, { headers: message.headers! }),
    });
    assert.equal(await request(core, Shout, "a"), "a!");
    const headers = Object.freeze({ Shop: ["a", "b"] });
    const reply = await requestMessage(core, Shout, "b", { headers });
    assert.equal(reply.value, "b!");
    assert.deepEqual(reply.headers.getAll("shop"), ["a", "b"]);
    assert.equal(reply.headers.get("Content-Type"), Shout.request.contentType);
    assert.match(reply.headers.get("traceparent") ?? "", /^00-/);
    assert.equal(reply.native.string(), "b!");
  });
});

test("many requests at a time get each their own answer, by one subscription", async () => {
  await withMessaging(async (core, nats) => {
    const service = await serve(core, Shout, { maxWaiting: 1_000 }, async (value) => {
      await new Promise((resolve) => setTimeout(resolve, Number(value) % 7));
      return `${value}!`;
    });
    const values = Array.from({ length: 500 }, (_, index) => String(index));
    const replies = await Promise.all(values.map((value) => request(core, Shout, value)));
    assert.deepEqual(replies, values.map((value) => `${value}!`));
    const connections = await connectionsOf(nats.server);
    assert.deepEqual(connections.map(({ subscriptions }) => subscriptions), [2]);
    await service.drain();
  });
});

test("nobody listens: said at once, and not retried unasked", async () => {
  await withMessaging(async (core) => {
    await assert.rejects(request(core, Shout, "x", { timeoutMs: 30_000 }), {
      code: "no_responders",
      message: /^cannot request shout: nobody listens/,
    });
  });
});

test("no answer: time-out; with retries as many as were asked for", async () => {
  await withMessaging(async (core, nats) => {
    const seen = listen(nats, () => undefined);
    const once = { timeoutMs: 20 };
    await assert.rejects(request(core, Shout, "x", once), { code: "timeout", message: /20 ms/ });
    assert.equal(seen.count, 1);
    const retry = { delaysMs: [1, 1, 1] };
    await assert.rejects(request(core, Shout, "x", { ...once, retry }), { code: "timeout" });
    assert.equal(seen.count, 5);
  });
});

test("a retry after a time-out, after no responders and after a transient error succeeds", async () => {
  await withMessaging(async (core, nats) => {
    const retry = { attempts: 20, initialMs: 5, maxMs: 20 };
    const waiting = request(core, Shout, "x", { timeoutMs: 200, retry });
    await core.connection.flush();
    const seen = listen(nats, (count) => count === 1 ? undefined : "late");
    assert.equal(await waiting, "late");
    const again = await request(core, Shout, "x", { timeoutMs: 50, retry });
    assert.equal(again, "late");
    assert.ok(seen.count >= 2);
    const Flaky: Endpoint<string, string> = endpoint("flaky", { request: text(), reply: text() });
    let calls = 0;
    const flaky = await serve(core, Flaky, (value) => {
      if (++calls < 3) throw new ServiceError("transient", "not yet");
      return value;
    });
    assert.equal(await request(core, Flaky, "y", { retry }), "y");
    assert.equal(calls, 3);
    await flaky.drain();
  });
});

test("an invalid or fatal answer, and one that cannot be decoded, is not retried", async () => {
  await withMessaging(async (core) => {
    const Numbers: Endpoint<string, number> = endpoint("n", { request: text(), reply: json() });
    const Texts: Endpoint<string, string> = endpoint("n", { request: text(), reply: text() });
    let calls = 0;
    const service = await serve(core, Texts, (value) => {
      calls++;
      if (value === "broken") return "{broken";
      throw new ServiceError(value as "invalid", "no");
    });
    const retry = { attempts: 5, initialMs: 1 };
    for (const errorClass of ["invalid", "fatal"]) {
      const attempt = request(core, Numbers, errorClass, { retry });
      await assert.rejects(attempt, (error) => {
        assert.ok(error instanceof RemoteError);
        assert.equal(error.name, "RemoteError");
        return error.errorClass === errorClass;
      });
    }
    await assert.rejects(request(core, Numbers, "broken", { retry }), { code: "decode_failed" });
    assert.equal(calls, 3);
    await service.drain();
  });
});

test("an answer after the time-out disturbs nobody", async () => {
  await withMessaging(async (core, nats) => {
    let late: (() => void) | undefined;
    nats.connection.subscribe("shout", {
      callback: (_error, message) => {
        if (message.string() === "slow") late = () => void message.respond("late");
        else message.respond("quick");
      },
    });
    await assert.rejects(request(core, Shout, "slow", { timeoutMs: 30 }), { code: "timeout" });
    const next = request(core, Shout, "x");
    late?.();
    assert.equal(await next, "quick");
  });
});

test("aborting ends a request with the reason, also between retries", async () => {
  await withMessaging(async (core, nats) => {
    const seen = listen(nats, () => undefined);
    const reason = { custom: "reason" };
    const controller = new AbortController();
    const { signal } = controller;
    const attempt = request(core, Shout, "x", { signal });
    await waitUntil(() => seen.count === 1, { what: "it has arrived" });
    controller.abort(reason);
    await assert.rejects(attempt, (error) => error === reason);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    await assert.rejects(request(core, Shout, "x", { signal }), (error) => error === reason);
    assert.equal(seen.count, 1);

    const later = new AbortController();
    const Nobody = endpoint("nobody", { request: text(), reply: text() });
    const retry = { delaysMs: [60_000] };
    const waiting = request(core, Nobody, "x", { signal: later.signal, retry });
    await core.connection.flush();
    await core.connection.flush();
    later.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    assert.equal(getEventListeners(later.signal, "abort").length, 0);
    await assert.rejects(request(core, Shout, "x", { timeoutMs: 20 }), { code: "timeout" });
    assert.deepEqual((await nats.client.close()).abandoned, [], "nothing waits any more");
  });
});

test("a lost connection fails what is under way at once, and the next request works", async () => {
  await withMessaging(async (core, nats) => {
    await withClient({ servers: nats.url }, async (other) => {
      const seen = listen({ ...nats, connection: other.connection } as TestNats, (count) => {
        return count === 1 ? undefined : "back";
      });
      await other.connection.flush();
      const attempt = request(core, Shout, "x", { timeoutMs: 15_000 });
      attempt.catch(() => {});
      await waitUntil(() => seen.count === 1, { what: "it has arrived" });
      await nats.server.kill();
      await assert.rejects(attempt, { code: "not_connected" });
      await assert.rejects(request(core, Shout, "x"), { code: "not_connected" });
      await nats.server.restart();
      await waitUntil(() => nats.client.status === "connected", { what: "it is back" });
      await waitUntil(() => other.status === "connected", { what: "the other is back" });
      await other.connection.flush();
      assert.equal(await request(core, Shout, "x"), "back");
    });
  });
});

test("closing the client ends what is under way when the grace is over", async () => {
  await withMessaging(async (core, nats) => {
    await withClient({ servers: nats.url }, async (other) => {
      const seen = listen({ ...nats, connection: other.connection } as TestNats, () => undefined);
      await other.connection.flush();
      const attempt = request(core, Shout, "x", { timeoutMs: 15_000 });
      attempt.catch(() => {});
      await waitUntil(() => seen.count === 1, { what: "it has arrived" });
      const report = await nats.client.close({ graceMs: 50 });
      assert.deepEqual(report.abandoned, [{ what: "requests under way", count: 1 }]);
      await assert.rejects(attempt, { code: "connection_closed" });
      await assert.rejects(request(core, Shout, "x"), { code: "connection_closed" });
    });
  });
});

test("a request that the server forbids is refused by name, and so is the inbox", async () => {
  const users = [
    { user: "a", password: "p", permissions: { publish: ["other"] } },
    { user: "b", password: "p", permissions: { subscribe: ["other"] } },
  ];
  await withServer({ config: { authorization: { users } } }, async (server) => {
    for (const user of ["a", "b"]) {
      await withClient({ servers: server.url, user, pass: "p" }, async (client) => {
        const attempt = request(coreOf(client), Shout, "x", { timeoutMs: 30_000 });
        await assert.rejects(attempt, { code: "permission_denied" }, user);
      });
    }
  });
});

test("hostile input is refused before any I/O", async () => {
  await withMessaging(async (core, nats) => {
    const refused = async (attempt: Promise<unknown>, expected: unknown) => {
      const before = nats.connection.stats().outMsgs;
      await assert.rejects(attempt, expected as Error);
      assert.equal(nats.connection.stats().outMsgs, before);
    };
    for (const name of ["a.*", ">", "a b", "a\r\nb", "a\0", "", "x".repeat(5_000)]) {
      const forged = { ...Shout, filter: name, pattern: name };
      await refused(request(core, forged, "x"), TypeError);
    }
    const open = endpoint("q.{a}", { request: text(), reply: text() });
    await refused(request(core, open as unknown as typeof Shout, "x"), /open tokens/);
    const types: unknown[] = [
      null,
      { timeout: 1 },
      { signal: 5 },
      { retry: 3 },
      { retry: { attempts: 2, delaysMs: [] } },
      { headers: { "Nats-X": "1" } },
      { headers: { a: "\r\n" } },
    ];
    for (const options of types) {
      await refused(request(core, Shout, "x", options as RequestOptions), TypeError);
    }
    const ranges: RequestOptions[] = [
      { timeoutMs: 0 },
      { timeoutMs: NaN },
      { timeoutMs: 2 ** 31 },
      { retry: { attempts: 0 } },
      { retry: { attempts: Infinity } },
    ];
    for (const options of ranges) await refused(request(core, Shout, "x", options), RangeError);
    const Blob = endpoint("blob", { request: bytes(), reply: bytes() });
    const large = new Uint8Array(core.maxPayloadBytes + 1);
    await refused(request(core, Blob, large), { code: "payload_too_large" });
    const Any = endpoint("any", { request: json<unknown>(), reply: json() });
    await refused(request(core, Any, 1n), { code: "encode_failed" });
    await nats.connection.flush();
    assert.equal(nats.client.status, "connected");
  });
});
