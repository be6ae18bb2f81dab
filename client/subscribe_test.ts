import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { ClientEvent } from "./client_event.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import type { MessageContext } from "./message_context.ts";
import { publish } from "./publish.ts";
import { type Subject, subject } from "./subject.ts";
import { subscribe, type SubscribeOptions } from "./subscribe.ts";
import { Numbers, publishNumbers } from "./testdata/messages.ts";
import { withMessaging } from "./testdata/nats_ground.ts";
import { subscriptionsOf } from "./testdata/server_ground.ts";
import { text } from "./text.ts";

const Logs: Subject<string, "app" | "rest..."> = subject("logs.{app}.{rest...}", text());

test("values arrive in order, one at a time, with their context", async () => {
  await withMessaging(async (core, nats) => {
    const seen: number[] = [];
    let inside = 0;
    const numbers = await subscribe(core, Numbers, async (value) => {
      assert.equal(++inside, 1);
      await new Promise((resolve) => setTimeout(resolve, value % 3));
      seen.push(value);
      inside--;
    });
    assert.deepEqual([numbers.subject, numbers.queue], ["numbers", undefined]);
    await publishNumbers(core, 20);
    await numbers.drain();
    assert.deepEqual(seen, Array.from({ length: 20 }, (_, index) => index));
    assert.deepEqual(numbers.stats, {
      received: 20,
      handled: 20,
      failed: 0,
      dropped: 0,
      waiting: 0,
      inFlight: 0,
    });
    assert.equal(await subscriptionsOf(nats.server), 0);
  });
});

test("the context has subject, params, headers, message and a reply", async () => {
  await withMessaging(async (core, nats) => {
    const contexts: MessageContext<"app" | "rest...">[] = [];
    const logs = await subscribe(core, Logs, { queue: "q" }, (value, context) => {
      contexts.push(context);
      const { reply } = context;
      if (context.native.reply) reply(`${value}!`, { headers: { Level: "high" } });
    });
    const bound = Logs.with({ app: "web", rest: ["a.b", "c"] });
    await publish(core, bound, "x", { headers: { Shop: "s-1" } });
    const answer = await nats.connection.request("logs.db.x", "hello");
    assert.equal(answer.string(), "hello!");
    assert.equal(answer.headers?.get("Level"), "high");
    const [first, second] = contexts;
    assert.equal(first?.subject, "logs.web.a=2Eb.c");
    assert.deepEqual(first?.params, { app: "web", rest: ["a.b", "c"] });
    assert.equal(first?.headers.get("shop"), "s-1");
    assert.equal(first?.native.string(), "x");
    assert.equal(first?.signal.aborted, false);
    assert.throws(() => first?.reply("x"), /asks for no reply/);
    assert.throws(() => second?.reply(5 as unknown as string), TypeError);
    assert.throws(() => second?.reply("x", { headers: { "Nats-X": "1" } }), TypeError);
    assert.throws(() => second?.reply("x", { header: {} } as never), TypeError);
    const large = new Uint8Array(core.maxPayloadBytes + 1);
    assert.throws(() => second?.reply(large), { code: "payload_too_large" });
    assert.equal(nats.client.status, "connected");
    await logs.drain();
  });
});

test("concurrency is a bound, and is used", async () => {
  await withMessaging(async (core) => {
    const hold = Promise.withResolvers<void>();
    let inside = 0;
    let most = 0;
    const numbers = await subscribe(core, Numbers, { concurrency: 3 }, async () => {
      most = Math.max(most, ++inside);
      await hold.promise;
      inside--;
    });
    await publishNumbers(core, 10);
    await waitUntil(() => numbers.stats.received === 10, { what: "all have arrived" });
    assert.deepEqual([numbers.stats.inFlight, numbers.stats.waiting, most], [3, 7, 3]);
    hold.resolve();
    await numbers.drain();
    assert.deepEqual([numbers.stats.handled, most], [10, 3]);
  });
});

test("a handler that ignores its deadline keeps its place: the bound holds", async () => {
  await withMessaging(async (core) => {
    const hold = Promise.withResolvers<void>();
    const errors: unknown[] = [];
    let started = 0;
    const numbers = await subscribe(
      core,
      Numbers,
      { timeoutMs: 30, onError: (error) => errors.push(error) },
      async () => {
        started++;
        await hold.promise;
      },
    );
    await publishNumbers(core, 2);
    await waitUntil(() => errors.length === 1, { what: "the deadline is reported" });
    assert.ok(isJsflowError(errors[0], "timeout"));
    assert.match(String(errors[0]), /heartbeat\(\)/);
    assert.deepEqual([started, numbers.stats.inFlight, numbers.stats.failed], [1, 1, 1]);
    hold.resolve();
    await numbers.drain();
    assert.deepEqual([started, numbers.stats.failed + numbers.stats.handled], [2, 2]);
  });
});

test("the deadline aborts the signal, a heartbeat extends it", async () => {
  await withMessaging(async (core) => {
    const failed: number[] = [];
    const options: SubscribeOptions = {
      timeoutMs: 150,
      concurrency: 2,
      onError: (_error, { native }) => failed.push(native.json<number>()),
    };
    let beats = 0;
    const reasons: unknown[] = [];
    const numbers = await subscribe(core, Numbers, options, async (value, context) => {
      if (value === 0) {
        await new Promise<void>((resolve) =>
          context.signal.addEventListener("abort", () => resolve())
        );
        reasons.push(context.signal.reason);
      } else {
        const until = performance.now() + 450;
        while (performance.now() < until) {
          beats++;
          context.heartbeat();
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    });
    await publishNumbers(core, 2);
    await waitUntil(() => reasons.length === 1, { what: "the signal has aborted" });
    assert.ok(isJsflowError(reasons[0], "timeout"));
    await numbers.drain();
    assert.ok(beats > 1);
    assert.deepEqual(failed, [0]);
    assert.deepEqual([numbers.stats.handled, numbers.stats.failed], [1, 1]);
  });
});

test("failures are reported and end nothing", async () => {
  await withMessaging(async (core) => {
    const errors: [string, unknown][] = [];
    const options: SubscribeOptions = {
      onError: (error, { native }) => {
        errors.push([native.string(), error]);
        throw new Error("the callback fails as well");
      },
    };
    const numbers = await subscribe(core, Numbers, options, (value) => {
      if (value === 1) throw new Error("thrown");
      if (value === 2) return Promise.reject(new Error("rejected"));
      if (value === 3) return Promise.reject(undefined);
      if (value === 4) throw null;
    });
    core.connection.publish("numbers", "{broken");
    core.connection.publish("numbers", new Uint8Array([0xff]));
    await publishNumbers(core, 6);
    await numbers.drain();
    assert.equal(errors.length, 6);
    assert.ok(isJsflowError(errors[0]?.[1], "decode_failed"));
    assert.ok(isJsflowError(errors[1]?.[1], "decode_failed"));
    assert.deepEqual(
      errors.slice(2).map(([, error]) => (error as Error | null | undefined)?.message),
      [
        "thrown",
        "rejected",
        undefined,
        undefined,
      ],
    );
    assert.deepEqual([numbers.stats.handled, numbers.stats.failed], [2, 6]);
  });
});

test("__proto__ in a payload pollutes nothing", async () => {
  await withMessaging(async (core) => {
    const Any = subject("any", json<Record<string, unknown>>());
    const seen: Record<string, unknown>[] = [];
    const any = await subscribe(core, Any, (value) => void seen.push(value));
    core.connection.publish("any", '{"__proto__":{"polluted":1},"a":{"__proto__":2,"b":3}}');
    await any.drain();
    assert.deepEqual(seen, [{ a: { b: 3 } }]);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });
});

test("a slow subscription drops what does not fit, and says so", async () => {
  await withMessaging(async (core, nats) => {
    const events: ClientEvent[] = [];
    const stop = nats.client.onEvent((event) => events.push(event));
    const hold = Promise.withResolvers<void>();
    const seen: number[] = [];
    const numbers = await subscribe(core, Numbers, { maxWaiting: 3 }, async (value) => {
      await hold.promise;
      seen.push(value);
    });
    await publishNumbers(core, 10);
    await waitUntil(() => numbers.stats.received === 10, { what: "all have arrived" });
    assert.deepEqual([numbers.stats.waiting, numbers.stats.dropped], [3, 6]);
    const slow = events.filter((event) => event.type === "subscription" && event.what === "slow");
    assert.equal(slow.length, 1, "once, not for each message");
    hold.resolve();
    await numbers.drain();
    assert.deepEqual(seen, [0, 1, 2, 3]);
    stop();
  });
});

test("what waits is bounded in bytes as well", async () => {
  await withMessaging(async (core) => {
    const hold = Promise.withResolvers<void>();
    const Texts = subject("texts", text());
    const options = { maxWaitingBytes: 100 };
    const texts = await subscribe(core, Texts, options, () => hold.promise);
    for (const size of [500, 60, 60, 30]) await publish(core, Texts, "x".repeat(size));
    await core.connection.flush();
    await waitUntil(() => texts.stats.received === 4, { what: "all have arrived" });
    assert.deepEqual([texts.stats.waiting, texts.stats.dropped], [2, 1]);
    hold.resolve();
    await texts.drain();
    assert.equal(texts.stats.handled, 3);
  });
});

test("thousands of messages for a handler that returns at once do not pile up the stack", async () => {
  await withMessaging(async (core) => {
    const hold = Promise.withResolvers<void>();
    let first = true;
    const numbers = await subscribe(core, Numbers, { maxWaiting: 20_000 }, () => {
      if (!first) return;
      first = false;
      return hold.promise;
    });
    await publishNumbers(core, 20_000);
    await waitUntil(() => numbers.stats.received === 20_000, { what: "all have arrived" });
    hold.resolve();
    await numbers.drain();
    assert.equal(numbers.stats.handled, 20_000);
  });
});

test("a queue group shares, other subscriptions get everything", async () => {
  await withMessaging(async (core) => {
    const counts = [0, 0, 0];
    const all = await Promise.all([
      subscribe(core, Numbers, { queue: "workers" }, () => void counts[0]!++),
      subscribe(core, Numbers, { queue: "workers" }, () => void counts[1]!++),
      subscribe(core, Numbers, undefined, () => void counts[2]!++),
    ]);
    await publishNumbers(core, 200);
    for (const one of all) await one.drain();
    const [one = 0, other = 0, every] = counts;
    assert.deepEqual([one + other, every], [200, 200]);
    assert.ok(one > 0 && other > 0, `${one} and ${other}`);
  });
});

test("options, subject and handler are checked before any I/O", async () => {
  await withMessaging(async (core, nats) => {
    const types: unknown[] = [
      null,
      5,
      { queu: "a" },
      { queue: "a b" },
      { queue: "" },
      { queue: 5 },
      { signal: {} },
      { concurrency: "1" },
      { timeoutMs: "1" },
      { onError: 5 },
    ];
    for (const options of types) {
      const attempt = subscribe(core, Numbers, options as SubscribeOptions, () => {});
      await assert.rejects(attempt, TypeError, JSON.stringify(options));
    }
    const ranges: SubscribeOptions[] = [
      { concurrency: 0 },
      { concurrency: 1.5 },
      { concurrency: NaN },
      { maxWaiting: -1 },
      { maxWaitingBytes: 0 },
      { timeoutMs: 0 },
      { timeoutMs: NaN },
      { timeoutMs: 2 ** 31 },
      { queue: "q".repeat(256) },
    ];
    for (const options of ranges) {
      const attempt = subscribe(core, Numbers, options, () => {});
      await assert.rejects(attempt, RangeError, JSON.stringify(options));
    }
    await assert.rejects(subscribe(core, Numbers, undefined as never), TypeError);
    const forged = ["a b", "a\r\n", "", "x".repeat(5_000)].map((name) => ({
      ...Numbers,
      filter: name,
      pattern: name,
    }));
    for (const other of [...forged, "numbers", undefined, {}]) {
      await assert.rejects(subscribe(core, other as typeof Numbers, () => {}), TypeError);
    }
    assert.equal(await subscriptionsOf(nats.server), 0);
    assert.equal(nats.client.status, "connected");
  });
});

test("types: value and params are those of the subject", () => {
  const check = (core: ClientCore) => [
    subscribe(core, Logs, (value, { params }) => {
      const app: string = params.app;
      const rest: readonly string[] = params.rest;
      console.log(value.length, app, rest);
    }),
    // @ts-expect-error -- no such token
    subscribe(core, Logs, (_value, { params }) => params.other),
    // @ts-expect-error -- the value is a string
    subscribe(core, Logs, (value: number) => console.log(value)),
  ];
  assert.equal(typeof check, "function");
});
