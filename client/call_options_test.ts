import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { CallOptions } from "./call_options.ts";
import type { Client } from "./client.ts";
import { CircuitOpenError } from "./connection_errors.ts";
import { coreOf } from "./core.ts";
import { endpoint } from "./endpoint.ts";
import { JsflowError } from "./errors.ts";
import { json } from "./json.ts";
import { subject } from "./subject.ts";
import { withClientCore } from "./testdata/core_ground.ts";

const Orders = subject("orders.new", json<number>());
const Twice = endpoint("twice", { request: json<number>(), reply: json<number>() });
const STREAM = { name: "ORDERS", subjects: ["orders.>"] };

/** Everything that the breaker may refuse. */
const CALLS: Record<string, (client: Client, options?: CallOptions) => Promise<unknown>> = {
  publish: (client, options) => client.publish(Orders, 1, options),
  request: (client, options) => client.request(Twice, 2, options),
  requestMessage: (client, options) => client.requestMessage(Twice, 2, options),
  requestMany: async (client, options) => {
    for await (const _ of client.requestMany(Twice, 2, { ...options, maxReplies: 1 }));
  },
  subscribe: (client, options) => client.subscribe(Orders, options, () => {}),
  serve: (client, options) => client.serve(Twice, options, (n) => n),
  ensureStream: (client, options) => client.ensureStream(STREAM, options),
  publishToStream: (client, options) => client.publishToStream(Orders, 1, options),
  "publishToStream with autoCreate": (client, options) => {
    const logs = subject(`logs.${options?.bypassBreaker}`, json<number>());
    return client.publishToStream(logs, 1, { ...options, autoCreate: true });
  },
  "a publisher": (client, options) => client.createPublisher().publish(Orders, 1, options),
  consume: (client, options) => client.consume(Orders, options, () => {}),
  fetch: (client, options) => {
    return client.fetch(Orders, { ...options, name: "fetched", maxMessages: 1 });
  },
  "consumers.stopAndDelete": (client, options) => {
    return client.consumers.stopAndDelete(options === undefined ? "refused" : "deleted", options);
  },
  "streams.info": (client, options) => client.streams.info("ORDERS", options),
  "streams.find": (client, options) => client.streams.find(Orders, options),
  "streams.list": (client, options) => Array.fromAsync(client.streams.list(options)),
  "streams.names": (client, options) => Array.fromAsync(client.streams.names(options)),
  "streams.purge": (client, options) => client.streams.purge("ORDERS", options),
  "streams.delete": (client, options) => client.streams.delete("ORDERS", options),
};

function fault(client: Client, options?: CallOptions): Promise<void> {
  const work = () => Promise.reject(new JsflowError("connection_closed", "a fault"));
  return assert.rejects(
    coreOf(client).guard("try", { ...options, timeoutMs: 20_000 }, work),
    /a fault/,
  );
}

const AT_ONCE = { threshold: 1, initialMs: 600_000, maxMs: 600_000 };

test("while the breaker is open calls are refused, unless they bypass it", async () => {
  await withClientCore({ breaker: AT_ONCE }, async ({ client }) => {
    await client.ensureStream(STREAM);
    await client.serve(Twice, (n) => 2 * n);
    for (const name of ["refused", "deleted"]) await client.consume(Orders, { name }, () => {});
    await fault(client);
    for (const [name, call] of Object.entries(CALLS)) {
      await assert.rejects(call(client), CircuitOpenError, name);
      await call(client, { bypassBreaker: true }).catch((cause) => {
        throw new Error(`${name} did not bypass the breaker`, { cause });
      });
    }
    assert.equal(client.breaker.state, "open");
  });
});

test("the breaker refuses the manager until JetStream is known, unless that is bypassed", async () => {
  const bypass = { bypassBreaker: true };
  const calls = [
    (client: Client) => client.manager(bypass),
    (client: Client) => client.streams.find(Orders, bypass), // which needs the manager
  ];
  for (const call of calls) {
    await withClientCore({ breaker: AT_ONCE }, async ({ client }) => {
      await fault(client);
      await assert.rejects(client.manager(), CircuitOpenError);
      await call(client);
      await client.manager();
    });
  }
});

test("a message that bypasses the breaker does not wait for one before it that rests", async () => {
  await withClientCore({ breaker: AT_ONCE }, async ({ client }) => {
    await client.ensureStream(STREAM);
    const publisher = client.createPublisher({ timeoutMs: 20_000 });
    const retry = { attempts: 2, initialMs: 10_000, jitter: false };
    await fault(client);
    const resting = publisher.publish(Orders, 1, { id: "a", retry });
    const refused = assert.rejects(resting, { code: "connection_closed" });
    assert.equal((await publisher.publish(Orders, 2, { bypassBreaker: true })).sequence, 1);
    await client.close({ graceMs: 0 });
    await refused;
  });
});

test("how a call ends that bypasses the breaker counts", async () => {
  await withClientCore({ breaker: { ...AT_ONCE, threshold: 2 } }, async ({ client }) => {
    await fault(client, { bypassBreaker: true });
    assert.equal(client.breaker.failures, 1);
    await client.manager({ bypassBreaker: true });
    await waitUntil(() => client.breaker.failures === 0, { what: "the success is counted" });
    for (const _ of [1, 2, 3]) await fault(client, { bypassBreaker: true });
    assert.deepEqual([client.breaker.state, client.breaker.failures], ["open", 3]);
    await client.streams.find(Orders, { bypassBreaker: true });
    assert.equal(client.breaker.state, "open"); // only a probe closes it
  });
});

test("what is no boolean is refused, and so is the option where the breaker has no say", async () => {
  await withClientCore({ breaker: AT_ONCE }, async ({ client }) => {
    await client.ensureStream(STREAM);
    for (const bypassBreaker of ["yes", 1, null]) {
      for (const [name, call] of Object.entries(CALLS)) {
        const misuse = async () => await call(client, { bypassBreaker } as unknown as CallOptions);
        await assert.rejects(misuse(), TypeError, name);
      }
    }
    const bypass = { bypassBreaker: true } as never;
    await assert.rejects(client.waitForConnection(bypass), TypeError);
    await assert.rejects(client.health(bypass), TypeError);
    await assert.rejects(client.start(bypass), TypeError);
    await assert.rejects(client.createPublisher().flush(bypass), TypeError);
    await assert.rejects(client.consumers.stopAll(bypass), TypeError);
    const { promise: tried, resolve } = Promise.withResolvers<unknown>();
    const refused = assert.rejects(tried, TypeError); // before the ack of the publish may come
    await client.consume(Orders, (_, message) => resolve(message.ackConfirmed(bypass)));
    await client.publishToStream(Orders, 1);
    await refused;
  });
});
