import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { AckPolicy, type ConsumerInfo, type JetStreamManager } from "@nats-io/jetstream";
import { SpanKind } from "@opentelemetry/api";
import { withTrace } from "../trace/current_trace.ts";
import { METRIC_NAMES } from "../trace/metric_names.ts";
import { memoryMetrics, memoryTracing } from "../trace/testdata/in_memory_sdk.ts";
import { createTraceContext } from "../trace/trace_context.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Batch } from "./batch.ts";
import { connect } from "./connect.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { FetchOptions } from "./fetch_options.ts";
import { json } from "./json.ts";
import { type Subject, subject } from "./subject.ts";
import { failure } from "./testdata/failure.ts";
import { type Connected, QUICK, withConnected } from "./testdata/server_ground.ts";

interface Order {
  readonly n: number;
}

const Orders: Subject<Order, "region"> = subject("orders.{region}", json<Order>());
const STREAM = "ORDERS";

type Options = Partial<FetchOptions<Order, "region">>;

interface Ground extends Connected {
  readonly manager: JetStreamManager;
  publish(count: number): Promise<void>;
  fetch(options?: Options): Promise<Batch<Order, "region">>;
  /** Waits until so many messages are delivered and not settled. */
  open(count: number): Promise<void>;
  /** Waits until a request for messages is at the server. */
  waiting(consumer?: string): Promise<void>;
}

async function withGround(
  use: (ground: Ground) => Promise<void>,
  client: ConnectOptions = {},
): Promise<void> {
  await withConnected({ client }, async (connected) => await use(await prepare(connected)));
}

async function prepare(connected: Connected): Promise<Ground> {
  const { client } = connected;
  const manager = await client.manager();
  await manager.streams.add({ name: STREAM, subjects: ["orders.*"] });
  let last = 0;
  const publish = async (count: number) => {
    for (let index = 0; index < count; index++) {
      await client.jetstream.publish("orders.eu", JSON.stringify({ n: ++last }));
    }
  };
  const fetch = (options?: Options) => client.fetch(Orders, { name: "c", ...options });
  const until = (consumer: string, what: string, isSo: (info: ConsumerInfo) => boolean) =>
    waitUntil(async () => isSo(await manager.consumers.info(STREAM, consumer)), { what });
  const open = (count: number) =>
    until("c", `${count} messages are open`, (info) => info.num_ack_pending === count);
  const waiting = (consumer = "c") =>
    until(consumer, "the request is there", (info) => info.num_waiting === 1);
  return {
    ...connected,
    manager,
    publish,
    fetch,
    open: async (count) => void await open(count),
    waiting: async (consumer) => void await waiting(consumer),
  };
}

function valuesOf({ messages }: Batch<Order, "region">): number[] {
  return messages.map(({ value }) => value.n);
}

test("values and all that is known of the messages; what is acknowledged is done", async () => {
  await withGround(async ({ client, fetch, open, publish }) => {
    const { headers } = await import("@nats-io/nats-core");
    const extra = headers();
    extra.set("Trace", "t1");
    await client.jetstream.publish("orders.us", '{"n":7}', { headers: extra });
    await publish(4);
    const beganAt = performance.now();
    const first = await fetch({ maxMessages: 2, expiresMs: 60_000 });
    assert.ok(performance.now() - beganAt < 30_000, "a full batch waits for nothing");
    assert.deepEqual(valuesOf(first), [7, 1]);
    const [message] = first.messages;
    assert.equal(message?.subject, "orders.us");
    assert.deepEqual({ ...message.params }, { region: "us" });
    assert.equal(message.headers.get("trace"), "t1");
    assert.deepEqual([message.stream, message.consumer, message.sequence], [STREAM, "c", 1]);
    assert.deepEqual([message.deliveryCount, message.pending, message.isSettled], [1, 4, false]);
    assert.deepEqual(message.decode(), { n: 7 });
    assert.deepEqual([first.stream, first.consumer, first.pending], [STREAM, "c", 3]);
    assert.equal(first.undecodable, 0);
    await open(2);
    message.ack();
    assert.equal(message.isSettled, true);
    await first.messages[1]?.ackConfirmed();
    await open(0);
    const { signal } = new AbortController();
    const second = await fetch({ expiresMs: 100, signal });
    assert.deepEqual(valuesOf(second), [2, 3, 4], "fewer than asked for");
    assert.equal(getEventListeners(signal, "abort").length, 0);
    second.ackAll();
    await open(0);
    const none = await fetch({ expiresMs: 100 });
    assert.deepEqual([none.messages.length, none.pending, none.stream], [0, 0, STREAM]);
  });
});

test("a batch waits for messages that are still to come", async () => {
  await withGround(async ({ fetch, publish, waiting }) => {
    const errors: unknown[] = [];
    const onError = (error: unknown) => errors.push(error);
    const fetching = fetch({ maxMessages: 2, expiresMs: 2 ** 31 - 1, onError });
    await waiting();
    await publish(2);
    assert.deepEqual(valuesOf(await fetching), [1, 2]);
    assert.deepEqual(errors, [], "it ends with the last message");
  });
});

test("nak, term and heartbeat, for one and for all", async () => {
  await withGround(async ({ fetch, manager, open, publish }) => {
    await publish(4);
    const options = { maxMessages: 4, ackWaitMs: 1_000, expiresMs: 200 };
    const { messages } = await fetch(options);
    messages[0]?.nak();
    messages[1]?.nak({ delayMs: 3_600_000 });
    messages[2]?.term("no use");
    const last = messages[3];
    const beating = setInterval(() => last?.heartbeat(), 100);
    try {
      const again = await fetch({ ...options, maxMessages: 1 });
      assert.deepEqual(valuesOf(again), [1]);
      assert.equal(again.messages[0]?.deliveryCount, 2);
      again.nakAll({ delayMs: 0 });
      const third = await fetch({ ...options, expiresMs: 2_500 });
      assert.deepEqual(valuesOf(third), [1], "the last one is kept by its heartbeat");
      third.ackAll();
    } finally {
      clearInterval(beating);
    }
    last?.ack();
    await open(1); // the one with the delay
    assert.equal((await manager.consumers.info(STREAM, "c")).ack_floor.stream_seq, 1);
    assert.throws(() => messages[0]?.nak({ delayMs: -1 }), RangeError);
  });
});

test("an ack is sent before whatever comes next, even the end of the connection", async () => {
  await withGround(async ({ manager, open, publish, server }) => {
    await publish(20);
    for (const way of ["each", "all"] as const) {
      const other = await connect({ servers: server.url });
      const batch = await other.fetch(Orders, { name: "c", maxMessages: 10 });
      if (way === "all") batch.ackAll();
      else for (const message of batch.messages) message.ack();
      await other.connection.close();
      await other.close();
    }
    await open(0);
    assert.equal((await manager.consumers.info(STREAM, "c")).ack_floor.stream_seq, 20);
  });
});

test("a payload that does not decode leaves the rest of the batch alone", async () => {
  await withGround(async ({ client, fetch, open, publish }) => {
    await publish(1);
    await client.jetstream.publish("orders.eu", "{");
    await publish(1);
    const errors: unknown[] = [];
    const onError = (error: unknown) => {
      errors.push(error);
      throw new Error("of no consequence");
    };
    const options: Options = { onError, maxMessages: 3, expiresMs: 1_000 };
    const batch = await fetch({ ...options, onUndecodable: "nak" });
    assert.deepEqual([valuesOf(batch), batch.undecodable], [[1, 2], 1]);
    assert.ok(isJsflowError(errors[0], "decode_failed"), String(errors[0]));
    await open(3); // it waits for its delay
    const delayed = await fetch({ expiresMs: 200 });
    assert.deepEqual([delayed.messages.length, delayed.undecodable], [0, 0]);
    batch.ackAll();
    await client.jetstream.publish("orders.eu", "{");
    const next = await fetch({ ...options, expiresMs: 200 });
    assert.deepEqual([next.messages.length, next.undecodable, errors.length], [0, 1, 2]);
    await open(1);
  });
});

test("no more is asked for than the batch may hold, in messages and in bytes", async () => {
  await withGround(async ({ client, fetch, manager, open, publish }) => {
    await publish(10);
    const few = await fetch({ maxMessages: 3 });
    assert.equal(few.messages.length, 3);
    await open(3);
    few.ackAll();
    const small = await fetch({ maxBytes: 250, expiresMs: 1_000 });
    const { length } = small.messages;
    assert.ok(length > 0 && length < 7, `${length} messages in 250 bytes`);
    await open(length);
    small.ackAll();
    await manager.streams.purge(STREAM);
    await client.jetstream.publish("orders.eu", JSON.stringify({ n: 1, text: "x".repeat(500) }));
    await assert.rejects(fetch({ maxBytes: 250, expiresMs: 1_000 }), failure("payload_too_large"));
    assert.equal((await fetch({ maxBytes: 2_500, maxMessages: 1 })).messages.length, 1);
  });
});

test("aborting gives back what has come, at once", async () => {
  await withGround(async ({ fetch, open, publish }) => {
    const controller = new AbortController();
    const { signal } = controller;
    await publish(3);
    const fetching = fetch({ signal, expiresMs: 60_000 });
    await open(3);
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(fetching, (error) => error === reason);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const again = await fetch({ maxMessages: 3, expiresMs: 10_000 });
    assert.deepEqual(valuesOf(again).sort(), [1, 2, 3]);
    assert.deepEqual(again.messages.map(({ deliveryCount }) => deliveryCount), [2, 2, 2]);
    await publish(1);
    const later = await fetch({ maxMessages: 1, expiresMs: 10_000 });
    assert.equal(later.messages[0]?.deliveryCount, 1, "nothing goes to the request that ended");
    await assert.rejects(fetch({ signal }), (error) => error === reason);
  });
});

test("what is on its way when it is aborted goes back too", async () => {
  await withGround(async ({ client, fetch, publish }) => {
    const count = 500;
    for (let index = 1; index < count; index++) {
      client.connection.publish("orders.eu", `{"n":${index},"text":"${"x".repeat(1_000)}"}`);
    }
    await publish(1); // all are stored
    const controller = new AbortController();
    const codec = json<Order>();
    let decoded = 0;
    const decode = (bytes: Uint8Array) => {
      if (++decoded === 3) controller.abort();
      return codec.decode(bytes);
    };
    const Watched = subject("orders.{region}", { ...codec, decode });
    const { signal } = controller;
    const options = { name: "c", maxMessages: count, expiresMs: 10_000 };
    await assert.rejects(client.fetch(Watched, { ...options, signal }), { name: "AbortError" });
    const again = await fetch(options);
    assert.equal(again.messages.length, count);
  });
});

test("closing the client ends it, and gives back what has come", async () => {
  await withGround(async ({ fetch, open, publish, server }) => {
    const other = await connect({ servers: server.url });
    await publish(2);
    const fetching = other.fetch(Orders, { name: "c", expiresMs: 60_000 });
    const rejected = assert.rejects(fetching, failure("connection_closed"));
    await open(2);
    await other.close();
    await rejected;
    const again = await fetch({ maxMessages: 2, expiresMs: 10_000 });
    assert.deepEqual(again.messages.map(({ deliveryCount }) => deliveryCount), [2, 2]);
    await assert.rejects(other.fetch(Orders, { name: "c" }), failure("connection_closed"));
  });
});

test("what nobody settles comes again after the ack wait, which collecting puts off", async () => {
  await withGround(async ({ fetch, manager, publish }) => {
    await publish(1);
    const options = { ackWaitMs: 500, maxMessages: 2 };
    const first = await fetch({ ...options, expiresMs: 2_000 });
    assert.deepEqual(first.messages.map(({ deliveryCount }) => deliveryCount), [1]);
    assert.equal((await manager.consumers.info(STREAM, "c")).num_redelivered, 0);
    const second = await fetch({ ...options, maxMessages: 1, expiresMs: 10_000 });
    assert.deepEqual(second.messages.map(({ deliveryCount }) => deliveryCount), [2]);
  });
});

test("a message that comes again while it is held is in the batch once", async () => {
  await withGround(async ({ fetch, open, publish }) => {
    await publish(1);
    const fetching = fetch({ ackWaitMs: 100, expiresMs: 2_000 });
    await open(1);
    const frozenAt = performance.now();
    while (performance.now() - frozenAt < 500); // sends no sign of life
    const batch = await fetching;
    assert.deepEqual(valuesOf(batch), [1]);
    assert.ok((batch.messages[0]?.deliveryCount ?? 0) > 1, "it came again");
    batch.ackAll();
    await open(0);
  });
});

test("calls that share a consumer get different messages", async () => {
  await withGround(async ({ fetch, publish, server }) => {
    await publish(60);
    const other = await connect({ servers: server.url });
    try {
      const wanted = { maxMessages: 10, expiresMs: 10_000 };
      const batches = await Promise.all([
        ...Array.from({ length: 3 }, () => fetch(wanted)),
        ...Array.from({ length: 3 }, () => other.fetch(Orders, { name: "c", ...wanted })),
      ]);
      const seen = batches.flatMap(valuesOf).sort((a, b) => a - b);
      assert.deepEqual(seen, Array.from({ length: 60 }, (_, index) => index + 1));
      for (const batch of batches) batch.ackAll();
    } finally {
      await other.close();
    }
  });
});

test("a consumer that was deleted between two calls is made again", async () => {
  await withGround(async ({ fetch, manager, publish }) => {
    await publish(2);
    (await fetch({ maxMessages: 1 })).ackAll();
    await manager.consumers.delete(STREAM, "c");
    assert.deepEqual(valuesOf(await fetch({ maxMessages: 2 })), [1, 2], "from the beginning");
    await manager.consumers.delete(STREAM, "c");
    const latest = await fetch({ deliver: "last", maxMessages: 1 });
    assert.deepEqual(valuesOf(latest), [2]);
  });
});

test("a consumer or stream that is deleted meanwhile ends it: with what has come, or an error", async () => {
  await withGround(async ({ fetch, manager, open, publish, waiting }) => {
    const lost = assert.rejects(fetch({ expiresMs: 60_000 }), failure("consumer_not_found"));
    await waiting();
    await manager.consumers.delete(STREAM, "c");
    await lost;
    await publish(1);
    const errors: unknown[] = [];
    const cut = fetch({ expiresMs: 60_000, onError: (error) => errors.push(error) });
    await open(1);
    await manager.consumers.delete(STREAM, "c");
    assert.deepEqual(valuesOf(await cut), [1]);
    assert.ok(isJsflowError(errors[0], "consumer_not_found"), String(errors[0]));
    const gone = fetch({ deliver: "new", expiresMs: 60_000 });
    const ended = assert.rejects(gone, failure("stream_not_found"));
    await waiting();
    await manager.streams.delete(STREAM);
    await ended;
    await assert.rejects(fetch(), failure("stream_not_found"));
  });
});

test("a server that is killed ends it, and a later call goes on", async () => {
  await withGround(async ({ client, fetch, open, publish, server, waiting }) => {
    const lost = assert.rejects(
      fetch({ expiresMs: 60_000 }),
      failure("not_connected"),
    );
    await waiting();
    await server.kill();
    await lost;
    await assert.rejects(fetch(), failure("not_connected"));
    await server.restart();
    await client.waitForConnection({ timeoutMs: 30_000 });
    await publish(1);
    const errors: unknown[] = [];
    const cut = fetch({
      expiresMs: 60_000,
      ackWaitMs: 2_000,
      onDrift: "update",
      onError: (error) => errors.push(error),
    });
    await open(1);
    await server.kill();
    const batch = await cut;
    assert.deepEqual(valuesOf(batch), [1], "what has come is worth more than the error");
    assert.ok(isJsflowError(errors[0], "not_connected"), String(errors[0]));
    await server.restart();
    await client.waitForConnection({ timeoutMs: 30_000 });
    const again = await fetch({ expiresMs: 30_000, maxMessages: 1 });
    assert.deepEqual(valuesOf(again), [1]);
  });
});

test("a server that falls silent ends it with a time-out", async () => {
  await withGround(async ({ fetch, server, waiting }) => {
    const silent = assert.rejects(fetch({ expiresMs: 600_000 }), failure("timeout"));
    await waiting();
    server.pause();
    try {
      await silent;
    } finally {
      server.continue();
    }
  });
});

test("a server that says nothing at the end of a short request is silent too", async () => {
  await withGround(async ({ fetch, server, waiting }) => {
    await fetch({ expiresMs: 10 });
    const silent = assert.rejects(fetch({ expiresMs: 999 }), failure("timeout"));
    await waiting();
    server.pause();
    try {
      await silent;
    } finally {
      server.continue();
    }
  });
});

test("a client whose calls wait for the connection: a lost one is silent, the next call waits", async () => {
  await withGround(async ({ client, fetch, publish, server, waiting }) => {
    const silent = assert.rejects(fetch({ expiresMs: 600_000 }), failure("timeout"));
    await waiting();
    await server.kill();
    await silent;
    const patient = fetch({ timeoutMs: 60_000, maxMessages: 1, expiresMs: 60_000 });
    await server.restart();
    await client.waitForConnection({ timeoutMs: 30_000 });
    await publish(1);
    assert.deepEqual(valuesOf(await patient), [1]);
  }, { ...QUICK, offline: {} });
});

test("while the breaker is open it is refused, unless it bypasses that", async () => {
  const breaker = { threshold: 1, initialMs: 600_000, maxMs: 600_000 };
  await withGround(async ({ core, fetch, publish }) => {
    await publish(1);
    const fault = () => Promise.reject(new JsflowError("connection_closed", "a fault"));
    await assert.rejects(core.guard("try", { timeoutMs: 20_000 }, fault), /a fault/);
    await assert.rejects(fetch(), failure("circuit_open"));
    const batch = await fetch({ bypassBreaker: true, maxMessages: 1 });
    assert.deepEqual(valuesOf(batch), [1]);
  }, { breaker });
});

test("a request that the server ends early is sent again while there is time", async () => {
  await withGround(async ({ fetch, manager, publish, waiting }) => {
    const config = { durable_name: "c", filter_subject: "orders.*", max_waiting: 1 };
    await manager.consumers.add(STREAM, { ...config, ack_policy: AckPolicy.Explicit });
    const controller = new AbortController();
    const { signal } = controller;
    const first = assert.rejects(
      fetch({ expiresMs: 60_000, signal }),
      (error) => error === signal.reason,
    );
    await waiting();
    await assert.rejects(fetch({ expiresMs: 300 }), failure("jetstream_unavailable"));
    const second = fetch({ expiresMs: 60_000, maxMessages: 1 });
    controller.abort();
    await first;
    await publish(1);
    assert.deepEqual(valuesOf(await second), [1]);
  });
});

test("a consumer that bounds single requests is asked several times", async () => {
  await withGround(async ({ fetch, manager, open, publish }) => {
    await manager.consumers.add(STREAM, {
      durable_name: "c",
      filter_subject: "orders.*",
      ack_policy: AckPolicy.Explicit,
      max_batch: 2,
      max_expires: 200_000_000,
    });
    await publish(3);
    const fetching = fetch({ expiresMs: 60_000, maxMessages: 5 });
    await open(3);
    await publish(3);
    assert.deepEqual(valuesOf(await fetching), [1, 2, 3, 4, 5]);
    const beganAt = performance.now();
    assert.deepEqual(valuesOf(await fetch({ expiresMs: 1_000 })), [6]);
    assert.ok(performance.now() - beganAt >= 900, "it waits as long as was asked for");
  });
});

test("the same errors as from consume, before anything is fetched", async () => {
  await withGround(async ({ client, fetch, manager }) => {
    await fetch({ expiresMs: 10, ackWaitMs: 5_000 });
    await assert.rejects(fetch({ ackWaitMs: 6_000 }), failure("config_drift"));
    await fetch({ expiresMs: 10, ackWaitMs: 6_000, onDrift: "update" });
    const info = await manager.consumers.info(STREAM, "c");
    assert.equal(info.config.ack_wait, 6_000_000_000);
    const Other = subject("other.{x}", json<Order>());
    await assert.rejects(client.fetch(Other, { name: "c" }), failure("stream_not_found"));
    const made = await client.fetch(Other, { name: "c", autoCreate: true, expiresMs: 10 });
    assert.equal(made.stream, "OTHER");
  });
});

test("options are checked before any I/O", async () => {
  await withGround(async ({ client, manager }) => {
    const refused: [unknown, new (message: string) => Error][] = [
      [undefined, TypeError],
      [null, TypeError],
      [{}, TypeError],
      [{ name: "" }, TypeError],
      [{ name: "a.b" }, TypeError],
      [{ name: "c", concurrency: 2 }, TypeError],
      [{ name: "c", maxMessages: 0 }, RangeError],
      [{ name: "c", maxMessages: NaN }, RangeError],
      [{ name: "c", maxMessages: 100_001 }, RangeError],
      [{ name: "c", maxBytes: -1 }, RangeError],
      [{ name: "c", expiresMs: 9 }, RangeError],
      [{ name: "c", expiresMs: 2 ** 31 }, RangeError],
      [{ name: "c", timeoutMs: 0 }, RangeError],
      [{ name: "c", signal: {} }, TypeError],
      [{ name: "c", bypassBreaker: 1 }, TypeError],
      [{ name: "c", onError: 1 }, TypeError],
      [{ name: "c", ackPolicy: "some" }, TypeError],
      [{ name: "c", ackWaitMs: NaN }, RangeError],
    ];
    for (const [options, type] of refused) {
      await assert.rejects(
        client.fetch(Orders, options as FetchOptions<Order, "region">),
        { name: type.name, message: /^fetch\b/ },
      );
    }
    await assert.rejects(
      client.fetch({} as typeof Orders, { name: "c" }),
      /^TypeError: fetch needs/,
    );
    for await (const page of manager.consumers.list(STREAM)) assert.fail(page.name);
  });
});

test("one span for each batch, linked to those of its messages, and metrics", async () => {
  const tracing = memoryTracing();
  const metrics = memoryMetrics();
  const telemetry = { tracerProvider: tracing.provider, meterProvider: metrics.provider };
  try {
    await withGround(async ({ client, fetch }) => {
      const senders = [createTraceContext(), createTraceContext()];
      for (const sender of senders) {
        const publishing = () => client.publishToStream(Orders.with({ region: "eu" }), { n: 1 });
        await withTrace(sender, publishing);
      }
      await client.jetstream.publish("orders.eu", '{"n":2}');
      const batch = await fetch({ maxMessages: 3 });
      batch.nakAll();
      await fetch({ maxMessages: 3 });
      await fetch({ expiresMs: 10 });
      await assert.rejects(fetch({ maxBytes: 1, ackWaitMs: 9 }), RangeError);
      await assert.rejects(fetch({ ackWaitMs: 10 }), failure("config_drift"));
      const spans = tracing.spans().filter(({ name }) => name.startsWith("receive"));
      assert.equal(spans.length, 4);
      const [first, , empty, failed] = spans;
      assert.equal(first?.name, "receive orders.{region}");
      assert.equal(first.kind, SpanKind.CLIENT);
      const wanted = {
        "messaging.system": "nats",
        "messaging.operation.name": "receive",
        "messaging.operation.type": "receive",
        "messaging.batch.message_count": 3,
        "messaging.consumer.group.name": "c",
        "messaging.destination.name": "orders.*",
        "messaging.destination.template": "orders.{region}",
        "messaging.nats.stream": STREAM,
      };
      for (const [key, value] of Object.entries(wanted)) {
        assert.equal(first.attributes[key], value, key);
      }
      const traces = first.links.map(({ context }) => context.traceId);
      assert.deepEqual(traces, senders.map(({ traceId }) => traceId));
      assert.equal(empty?.attributes["messaging.batch.message_count"], 0);
      assert.equal(failed?.attributes["error.type"], "config_drift");
      const [consumed, ...rest] = await metrics.points(METRIC_NAMES.consumedMessages);
      assert.deepEqual([consumed?.value, rest.length], [6, 0]);
      assert.equal(consumed?.attributes["messaging.consumer.group.name"], "c");
      assert.equal((await metrics.points(METRIC_NAMES.redeliveries))[0]?.value, 3);
      const durations = await metrics.points(METRIC_NAMES.operationDuration);
      const received = durations.filter(({ attributes }) =>
        attributes["messaging.operation.name"] === "receive"
      );
      assert.deepEqual(received.map(({ value }) => value), [3, 1]);
    }, { telemetry });
  } finally {
    await metrics.close();
  }
});

test("a fetch that fails is counted; one that is aborted is not", async () => {
  const metrics = memoryMetrics();
  try {
    await withGround(async ({ fetch, manager, open, publish, waiting }) => {
      const errors = async () => (await metrics.points(METRIC_NAMES.fetchErrors))[0]?.value ?? 0;
      const controller = new AbortController();
      const aborted = assert.rejects(
        fetch({ expiresMs: 60_000, signal: controller.signal }),
        (error) => error === controller.signal.reason,
      );
      await publish(1);
      await open(1);
      controller.abort();
      await aborted;
      assert.equal(await errors(), 0);
      const failing = assert.rejects(
        fetch({ expiresMs: 60_000, maxMessages: 1, filters: ["orders.us"], name: "d" } as Options),
        (error) => error instanceof JsflowError,
      );
      await waiting("d");
      await manager.consumers.delete(STREAM, "d");
      await failing;
      assert.equal(await errors(), 1);
    }, { telemetry: { tracing: false, meterProvider: metrics.provider } });
  } finally {
    await metrics.close();
  }
});
