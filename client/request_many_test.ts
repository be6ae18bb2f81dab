import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import type { TestNats } from "../testing/test_nats.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { json } from "./json.ts";
import type { Reply } from "./reply.ts";
import { requestMany, type RequestManyOptions } from "./request_many.ts";
import { serve } from "./serve.ts";
import { ServiceError } from "./service_error.ts";
import { withMessaging } from "./testdata/nats_ground.ts";
import { text } from "./text.ts";

const Who: Endpoint<string, string> = endpoint("who", { request: text(), reply: text() });

/** Answers each request so many times; tells how many requests there were. */
function answer(nats: TestNats, times: number): { requests: number } {
  const seen = { requests: 0 };
  nats.connection.subscribe("who", {
    callback: (_error, message) => {
      seen.requests++;
      for (let index = 0; index < times; index++) message.respond(String(index));
    },
  });
  return seen;
}

async function values<T>(replies: AsyncIterable<Reply<T>>): Promise<T[]> {
  const all: T[] = [];
  for await (const { value } of replies) all.push(value);
  return all;
}

test("all who are asked answer, until the time is over", async () => {
  await withMessaging(async (core) => {
    const services = await Promise.all(
      ["a", "b", "c"].map((name) =>
        serve(core, Who, { queue: false }, (value, { setHeader }) => {
          assert.equal(typeof setHeader, "function");
          return name + value;
        })
      ),
    );
    const found = await values(requestMany(core, Who, "!", { timeoutMs: 200 }));
    assert.deepEqual(found.toSorted(), ["a!", "b!", "c!"]);
    for (const service of services) await service.drain();
  });
});

test("it ends after so many replies, and after a stall", async () => {
  await withMessaging(async (core, nats) => {
    const seen = answer(nats, 5);
    const long = { timeoutMs: 15_000 };
    const counted = requestMany(core, Who, "", { ...long, maxReplies: 3 });
    assert.deepEqual(await values(counted), ["0", "1", "2"]);
    const stalled = requestMany(core, Who, "", { ...long, stallMs: 50 });
    assert.deepEqual(await values(stalled), ["0", "1", "2", "3", "4"]);
    assert.equal(seen.requests, 2);
    assert.deepEqual(await values(counted), ["0", "1", "2"]);
    assert.equal(seen.requests, 3, "each iteration asks anew, and none before it begins");
  });
});

test("replies have headers, subject and the native message", async () => {
  await withMessaging(async (core) => {
    const service = await serve(core, Who, (_value, context) => {
      context.setHeader("Name", "x");
      return "y";
    });
    for await (const reply of requestMany(core, Who, "", { maxReplies: 1 })) {
      assert.equal(reply.value, "y");
      assert.equal(reply.headers.get("name"), "x");
      assert.equal(reply.subject, reply.native.subject);
    }
    await service.drain();
  });
});

test("nobody listens: an error; a service that says nothing: an empty end", async () => {
  await withMessaging(async (core, nats) => {
    await assert.rejects(values(requestMany(core, Who, "")), { code: "no_responders" });
    answer(nats, 0);
    assert.deepEqual(await values(requestMany(core, Who, "", { timeoutMs: 30 })), []);
  });
});

test("failed replies end it, unless somebody takes them", async () => {
  await withMessaging(async (core, nats) => {
    const Numbers: Endpoint<string, number> = endpoint("who", { request: text(), reply: json() });
    const failing = await serve(core, Who, { queue: false }, () => {
      throw new ServiceError("invalid", "no", { code: "no" });
    });
    await assert.rejects(values(requestMany(core, Who, "", { timeoutMs: 5_000 })), {
      code: "remote_error",
      remoteCode: "no",
    });
    nats.connection.subscribe("who", {
      callback: (_error, message) => {
        message.respond("{broken");
        message.respond("5");
      },
    });
    const errors: unknown[] = [];
    const options: RequestManyOptions = {
      maxReplies: 3,
      timeoutMs: 5_000,
      onError: (error) => {
        errors.push((error as { code?: unknown }).code);
        throw new Error("the callback fails as well");
      },
    };
    assert.deepEqual(await values(requestMany(core, Numbers, "", options)), [5]);
    assert.deepEqual(errors.toSorted(), ["decode_failed", "remote_error"]);
    await failing.drain();
  });
});

test("replies that nobody reads are bounded", async () => {
  await withMessaging(async (core, nats) => {
    answer(nats, 10);
    const seen: string[] = [];
    const attempt = async () => {
      for await (const { value } of requestMany(core, Who, "", { maxWaiting: 3 })) {
        seen.push(value);
        await core.connection.flush(); // the rest arrives meanwhile
        await core.connection.flush();
      }
    };
    await assert.rejects(attempt, { code: "buffer_full" });
    assert.ok(seen.length >= 3 && seen.length < 10, String(seen.length));
  });
});

test("break, throw and abort end the wait for replies", async () => {
  await withMessaging(async (core, nats) => {
    const seen = answer(nats, 2);
    const controller = new AbortController();
    const { signal } = controller;
    const long = { timeoutMs: 15_000, signal };
    for await (const { value } of requestMany(core, Who, "", long)) {
      assert.equal(value, "0");
      assert.equal(getEventListeners(signal, "abort").length, 1);
      break;
    }
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const thrown = async () => {
      for await (const _ of requestMany(core, Who, "", long)) throw new Error("thrown");
    };
    await assert.rejects(thrown, /thrown/);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const reason = { custom: "reason" };
    const aborted = values(requestMany(core, Who, "", long));
    aborted.catch(() => {});
    await waitUntil(() => seen.requests === 3, { what: "it has arrived" });
    controller.abort(reason);
    await assert.rejects(aborted, (error) => error === reason);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    await assert.rejects(values(requestMany(core, Who, "", long)), (error) => error === reason);
    assert.equal(seen.requests, 3);
    assert.deepEqual((await nats.client.close()).abandoned, [], "nothing waits any more");
  });
});

test("what ends it leaves nothing open, although nobody reads on", async () => {
  await withMessaging(async (core, nats) => {
    answer(nats, 5);
    const long = 60_000;
    const ends: [string, RequestManyOptions][] = [
      ["maxReplies", { maxReplies: 2, timeoutMs: long }],
      ["stallMs", { stallMs: 20, timeoutMs: long }],
      ["maxWaiting", { maxWaiting: 1, timeoutMs: long }],
      ["timeoutMs", { timeoutMs: 100 }],
    ];
    for (const [what, options] of ends) {
      const { signal } = new AbortController();
      const replies = requestMany(core, Who, "", { ...options, signal });
      const iterator = replies[Symbol.asyncIterator]();
      assert.equal((await iterator.next()).done, false);
      const isFree = () => getEventListeners(signal, "abort").length === 0;
      await waitUntil(isFree, { what: `${what} ends it`, timeoutMs: 3_000 });
    }
    assert.deepEqual((await nats.client.close({ graceMs: 0 })).abandoned, []);
  });
});

test("an abort is noticed although replies wait", async () => {
  await withMessaging(async (core, nats) => {
    answer(nats, 5);
    const controller = new AbortController();
    const { signal } = controller;
    let count = 0;
    const attempt = async () => {
      for await (const _ of requestMany(core, Who, "", { signal })) {
        count++;
        await core.connection.flush();
        controller.abort(new Error("enough"));
      }
    };
    await assert.rejects(attempt, /enough/);
    assert.equal(count, 1);
  });
});

test("a lost connection ends it with an error", async () => {
  await withMessaging(async (core, nats) => {
    const seen = answer(nats, 1);
    const attempt = values(requestMany(core, Who, "", { timeoutMs: 15_000 }));
    attempt.catch(() => {});
    await waitUntil(() => seen.requests === 1, { what: "it has arrived" });
    await nats.server.kill();
    await assert.rejects(attempt, { code: "not_connected" });
    await assert.rejects(values(requestMany(core, Who, "")), { code: "not_connected" });
  });
});

test("misuse is refused at the call", async () => {
  await withMessaging(async (core, nats) => {
    const before = nats.connection.stats().outMsgs;
    const types: unknown[] = [null, { max: 1 }, { signal: 5 }, { onError: 5 }, { stallMs: "1" }];
    for (const options of types) {
      assert.throws(() => requestMany(core, Who, "", options as RequestManyOptions), TypeError);
    }
    const ranges: RequestManyOptions[] = [
      { maxReplies: 0 },
      { maxWaiting: 0 },
      { stallMs: 0 },
      { timeoutMs: NaN },
      { timeoutMs: 2 ** 31 },
    ];
    for (const options of ranges) {
      assert.throws(() => requestMany(core, Who, "", options), RangeError);
    }
    const forged = { ...Who, filter: "a b", pattern: "a b" };
    assert.throws(() => requestMany(core, forged, ""), TypeError);
    assert.throws(() => requestMany(core, Who, 5 as unknown as string), { code: "encode_failed" });
    await nats.connection.flush();
    assert.equal(nats.connection.stats().outMsgs, before);
  });
});
