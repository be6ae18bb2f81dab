import assert from "node:assert/strict";
import { test } from "node:test";
import type { Msg, NatsConnection } from "@nats-io/nats-core";
import { waitUntil } from "../testing/wait_until.ts";
import { Core } from "./_client_core.ts";
import { type ClientCore, coreOf } from "./core.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { json } from "./json.ts";
import { publish } from "./publish.ts";
import { request, requestMessage } from "./request.ts";
import { serve } from "./serve.ts";
import { ServiceError } from "./service_error.ts";
import { subject } from "./subject.ts";
import { subscribe } from "./subscribe.ts";
import { withLogRecords } from "./testdata/log_records.ts";
import { Shout } from "./testdata/messages.ts";
import { withMessaging } from "./testdata/nats_ground.ts";
import {
  QUICK,
  subscriptionsOf,
  untilLost,
  withClient,
  withProxiedClient,
} from "./testdata/server_ground.ts";
import { text } from "./text.ts";

const Double: Endpoint<number, number> = endpoint("double", {
  request: json<number>(),
  reply: json<number>(),
});
const Quote: Endpoint<{ size: number }, { px: number }, "symbol"> = endpoint("quote.{symbol}", {
  request: json<{ size: number }>(),
  reply: json<{ px: number }>(),
});
test("a handler answers, with params, headers and its own reply headers", async () => {
  await withMessaging(async (core) => {
    const service = await serve(core, Quote, ({ size }, context) => {
      assert.equal(context.subject, "quote.a=2Eb");
      assert.equal(context.headers.get("shop"), "s-1");
      assert.equal(context.signal.aborted, false);
      assert.ok(context.native.reply);
      const { setHeader } = context;
      setHeader("Served-By", ["one", "two"]);
      context.setHeader("Once", "a");
      context.setHeader("Once", "b");
      assert.throws(() => context.setHeader("Nats-Service-Error", "x"), TypeError);
      assert.throws(() => context.setHeader("Jsflow-Error-Class", "x"), TypeError);
      assert.throws(() => context.setHeader("a", "b\r\nc: d"), TypeError);
      return { px: context.params.symbol.length * size };
    });
    const bound = Quote.with({ symbol: "a.b" });
    const reply = await requestMessage(core, bound, { size: 7 }, { headers: { Shop: "s-1" } });
    assert.deepEqual(reply.value, { px: 21 });
    assert.deepEqual(reply.headers.getAll("served-by"), ["one", "two"]);
    assert.deepEqual(reply.headers.getAll("once"), ["b"]);
    assert.equal(reply.headers.get("content-type"), "application/json");
    assert.equal(reply.subject, reply.native.subject);
    await service.drain();
    assert.equal(service.stats.handled, 1);
  });
});

test("a handler that passes its deadline is answered for, once; a heartbeat extends it", async () => {
  await withMessaging(async (core, nats) => {
    const hold = Promise.withResolvers<void>();
    const reasons: unknown[] = [];
    const service = await serve(core, Shout, { timeoutMs: 150 }, async (value, context) => {
      if (value === "slow") {
        context.signal.addEventListener("abort", () => reasons.push(context.signal.reason));
        await hold.promise;
        return "late";
      }
      const until = performance.now() + 450;
      const { heartbeat } = context;
      while (performance.now() < until) {
        heartbeat();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return "done";
    });
    assert.equal(await request(core, Shout, "beating"), "done");
    const inbox: Msg[] = [];
    nats.connection.subscribe("inbox", { callback: (_error, reply) => void inbox.push(reply) });
    nats.connection.publish("shout", "slow", { reply: "inbox" });
    await waitUntil(() => inbox.length === 1, { what: "the answer is there" });
    assert.equal(inbox[0]?.headers?.get("Jsflow-Error-Class"), "transient");
    assert.equal(inbox[0]?.headers?.get("Jsflow-Error-Code"), "timeout");
    assert.equal(reasons.length, 1);
    assert.equal(service.stats.inFlight, 1);
    hold.resolve();
    await service.drain();
    await nats.connection.flush();
    assert.equal(inbox.length, 1);
    assert.deepEqual([service.stats.handled, service.stats.failed], [1, 1]);
  });
});

test("what exceeds the concurrency waits, what exceeds that is refused at once", async () => {
  await withMessaging(async (core) => {
    const hold = Promise.withResolvers<void>();
    let inside = 0;
    let most = 0;
    const options = { concurrency: 3, maxWaiting: 2 };
    const service = await serve(core, Double, options, async (value) => {
      most = Math.max(most, ++inside);
      await hold.promise;
      inside--;
      return value * 2;
    });
    const outcomes = Array.from({ length: 9 }, (_, value) => request(core, Double, value));
    const settled = Promise.allSettled(outcomes);
    await waitUntil(() => service.stats.received === 9, { what: "all have arrived" });
    assert.deepEqual([service.stats.inFlight, service.stats.waiting, service.stats.dropped], [
      3,
      2,
      4,
    ]);
    for (const outcome of outcomes.slice(5)) {
      await assert.rejects(outcome, { errorClass: "transient", remoteCode: "busy" });
    }
    hold.resolve();
    const values = (await settled).map((one) => one.status === "fulfilled" ? one.value : undefined);
    assert.deepEqual(values.slice(0, 5), [0, 2, 4, 6, 8]);
    assert.equal(most, 3);
    await service.drain();
  });
});

test("services share by default, and all answer with queue: false", async () => {
  await withMessaging(async (core, nats) => {
    await withClient({ servers: nats.url }, async (other) => {
      const counts = [0, 0];
      const count = (index: 0 | 1) => (value: number) => {
        counts[index]!++;
        return value;
      };
      const first = await serve(core, Double, count(0));
      const second = await serve(coreOf(other), Double, count(1));
      assert.ok(first.queue !== undefined && first.queue === second.queue);
      for (let value = 0; value < 100; value++) await request(core, Double, value);
      const [one = 0, two = 0] = counts;
      assert.equal(one + two, 100);
      assert.ok(one > 0 && two > 0, `${one} and ${two}`);
      const third = await serve(core, Double, { queue: false }, count(0));
      assert.equal(third.queue, undefined);
      await request(core, Double, 1);
      await waitUntil(() => third.stats.handled === 1, { what: "it was asked as well" });
      for (const service of [first, second, third]) await service.drain();
    });
  });
});

test("drain answers what has arrived, and takes nothing new", async () => {
  await withMessaging(async (core, nats) => {
    const hold = Promise.withResolvers<void>();
    const service = await serve(core, Double, { concurrency: 1 }, async (value) => {
      await hold.promise;
      return value * 2;
    });
    const asked = Promise.all([1, 2, 3].map((value) => request(core, Double, value)));
    await waitUntil(() => service.stats.received === 3, { what: "all have arrived" });
    const draining = service.drain();
    await waitUntil(async () => await subscriptionsOf(nats.server) === 1, {
      what: "the inbox is left",
    });
    await assert.rejects(request(core, Double, 4), { code: "no_responders" });
    hold.resolve();
    assert.deepEqual(await asked, [2, 4, 6]);
    await draining;
    assert.equal(await service.closed, undefined);
  });
});

test("who is not served when the grace is over is told so", async () => {
  await withMessaging(async (core) => {
    const service = await serve(core, Double, { concurrency: 1 }, async (value, { signal }) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      return value;
    });
    const asked = [1, 2].map((value) => request(core, Double, value));
    const settled = Promise.allSettled(asked);
    await waitUntil(() => service.stats.received === 2, { what: "both have arrived" });
    await service.drain({ graceMs: 5 });
    await settled;
    await assert.rejects(asked[0]!, { errorClass: "transient", remoteCode: "connection_closed" });
    await assert.rejects(asked[1]!, { errorClass: "transient", remoteCode: "stopped" });
  });
});

test("closing the client lets handlers finish that ask other services", async () => {
  await withMessaging(async (core, nats) => {
    await withClient({ servers: nats.url }, async (other) => {
      const hold = Promise.withResolvers<void>();
      const behind = await serve(coreOf(other), Double, (value) => value * 2);
      const service = await serve(core, Shout, async (value) => {
        await hold.promise;
        return `${value}${await request(core, Double, 2)}`;
      });
      const asked = request(coreOf(other), Shout, "x");
      await waitUntil(() => service.stats.inFlight === 1, { what: "it is at work" });
      const closing = nats.client.close();
      hold.resolve();
      assert.equal(await asked, "x4");
      await closing;
      await behind.drain();
    });
  });
});

test("a borrowed connection is left without subscriptions", async () => {
  await withMessaging(async (core, nats) => {
    const { fromConnection } = await import("./from_connection.ts");
    const before = await subscriptionsOf(nats.server);
    const borrower = await fromConnection(nats.connection as NatsConnection);
    const service = await serve(coreOf(borrower), Double, (value) => value * 2);
    assert.equal(await request(coreOf(borrower), Double, 2), 4);
    await borrower.close();
    assert.equal(await service.closed, undefined);
    await core.connection.flush();
    assert.equal(await subscriptionsOf(nats.server), before);
  });
});

test("one trace goes through request, handler, publish and reply", async () => {
  await withMessaging(async (core, nats) => {
    const Events = subject("events", text());
    const traces: string[] = [];
    const events = await subscribe(core, Events, (_value, { headers }) => {
      traces.push(headers.get("traceparent") ?? "");
    });
    const service = await serve(core, Shout, async (value, { headers }) => {
      traces.push(headers.get("traceparent") ?? "");
      await core.connection.flush();
      await publish(core, Events, value);
      if (value === "fail") throw new ServiceError("invalid", "no");
      return value;
    });
    const reply = await requestMessage(core, Shout, "x");
    await events.drain();
    await service.drain();
    traces.push(reply.headers.get("traceparent") ?? "");
    const ids = traces.map((trace) => trace.split("-"));
    assert.equal(new Set(ids.map(([, traceId]) => traceId)).size, 1, traces.join());
    assert.equal(new Set(ids.map(([, , spanId]) => spanId)).size, 3, traces.join());
    assert.equal(ids[0]?.[1]?.length, 32);
    assert.equal(nats.client.status, "connected");
  });
});

test("a plain publish to a service is handled, and answered to nobody", async () => {
  await withMessaging(async (core, nats) => {
    const seen: number[] = [];
    const service = await serve(core, Double, (value) => {
      seen.push(value);
      if (value === 2) throw new Error("no");
      return value;
    });
    nats.connection.publish("double", "1");
    nats.connection.publish("double", "2");
    await service.drain();
    assert.deepEqual(seen, [1, 2]);
    assert.equal(nats.client.status, "connected");
  });
});

test("requests are answered while others wait for the connection, or for the breaker", async () => {
  await withMessaging(async (core, nats) => {
    await withProxiedClient(nats.server, { offline: {}, ...QUICK }, async (behind, proxy) => {
      const served = coreOf(behind);
      assert.ok(served instanceof Core);
      const refusals: unknown[] = [];
      await serve(served, Shout, (value) => {
        assert.throws(() => served.check("publish"), (error) => refusals.push(error) > 0);
        return value.toUpperCase();
      });
      proxy.cut();
      await untilLost(behind);
      let isAnswered = false;
      // Who is let go queues up again, so that the buffer is not empty before the answer is there.
      const waiting = Array.from({ length: 20 }, async () => {
        while (!isAnswered) await publish(served, subject("out", text()), "x");
      });
      proxy.heal();
      await waitUntil(() => behind.status === "connected", { what: "it is back", intervalMs: 1 });
      await behind.connection.flush(); // only then the server knows the subscription again
      const answer = request(core, Shout, "x", { timeoutMs: 5_000 });
      await answer.finally(() => isAnswered = true).catch(() => {});
      await Promise.all(waiting);
      assert.equal(await answer, "X");
      assert.match(String(refusals[0]), /others that waited for the connection go first/);
      const error = new Error("JetStream does not answer");
      const isOpen = async () => {
        await served.gate.circuit.record({ verdict: "jetstream", error });
        return behind.breaker.state === "open";
      };
      await waitUntil(isOpen, { what: "the breaker is open", intervalMs: 0 });
      assert.equal(await request(core, Shout, "y", { timeoutMs: 5_000 }), "Y");
      assert.match(String(refusals[1]), /breaker/i);
    });
  });
});

test("an answer that cannot be sent is tried once, and reported once", async () => {
  await withLogRecords(async (records) => {
    await withMessaging(async (core, nats) => {
      const hold = Promise.withResolvers<void>();
      const service = await serve(core, Shout, async (value) => {
        await hold.promise;
        return value;
      });
      nats.connection.publish("shout", "x", { reply: "inbox" });
      await waitUntil(() => service.stats.inFlight === 1, { what: "it is at work" });
      await nats.server.kill();
      await untilLost(nats.client);
      hold.resolve();
      await waitUntil(() => service.stats.failed === 1, { what: "it has failed" });
      const reports = records.filter(({ rawMessage }) => /could not answer/.test(`${rawMessage}`));
      assert.equal(reports.length, 1);
    });
  });
});

test("options, endpoint and handler are checked before any I/O", async () => {
  await withMessaging(async (core, nats) => {
    const attempts: unknown[][] = [
      [Double],
      [Double, {}],
      [Double, { queue: true }, () => 1],
      [Double, { queue: "a\nb" }, () => 1],
      [Double, { unknown: 1 }, () => 1],
      [Double, { onError: 1 }, () => 1],
      ["double", () => 1],
      [{ ...Double, filter: "a b", pattern: "a b" }, () => 1],
    ];
    for (const [first, ...rest] of attempts) {
      const attempt = (serve as (...given: unknown[]) => Promise<unknown>)(core, first, ...rest);
      await assert.rejects(attempt, TypeError);
    }
    await assert.rejects(serve(core, Double, { concurrency: 0 }, () => 1), RangeError);
    assert.equal(await subscriptionsOf(nats.server), 0);
  });
});

test("types: request, reply and params are those of the endpoint", () => {
  const check = (core: ClientCore) => [
    serve(core, Quote, ({ size }, { params }) => ({ px: size * params.symbol.length })),
    // @ts-expect-error -- no such token
    serve(core, Quote, (_request, { params }) => ({ px: params.other })),
    // @ts-expect-error -- the reply is no number
    serve(core, Quote, () => 5),
    // @ts-expect-error -- symbol is open
    request(core, Quote, { size: 1 }),
    // @ts-expect-error -- the request has a size
    request(core, Quote.with({ symbol: "X" }), { sizes: 1 }),
  ];
  assert.equal(typeof check, "function");
});
