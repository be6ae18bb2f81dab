import assert from "node:assert/strict";
import { test } from "node:test";
import { headers as nativeHeaders } from "@nats-io/nats-core";
import { waitUntil } from "../testing/wait_until.ts";
import { ensureStream } from "./ensure_stream.ts";
import { json } from "./json.ts";
import { publishToStream, type PublishToStreamOptions } from "./publish_to_stream.ts";
import { createStreams } from "./streams.ts";
import { subject } from "./subject.ts";
import { failure } from "./testdata/failure.ts";
import { withCore } from "./testdata/nats_ground.ts";
import { type Ground, S, stored, STREAM, withGround } from "./testdata/publisher_ground.ts";

test("the ack tells where the message is", async () => {
  await withCore(async (core, nats) => {
    await ensureStream(core, STREAM);
    assert.deepEqual(await publishToStream(core, S, { n: 1 }), {
      stream: "S",
      sequence: 1,
      duplicate: false,
    });
    const manager = await nats.client.manager();
    const message = await manager.streams.getMessage("S", { seq: 1 });
    assert.deepEqual(message?.json(), { n: 1 });
    assert.equal(message?.subject, "s.1");
  });
});

test("an id is stored once, and the caller's headers stay as they are", async () => {
  await withCore(async (core, nats) => {
    await ensureStream(core, STREAM);
    const headers = nativeHeaders();
    headers.set("Shop", "s-7");
    const first = await publishToStream(core, S, 1, { id: "a", headers });
    const again = await publishToStream(core, S, 1, { id: "a", headers });
    const other = await publishToStream(core, S, 2, { id: "b", headers });
    const plain = await publishToStream(core, S, 3, { headers });
    assert.deepEqual([first.duplicate, again.duplicate], [false, true]);
    assert.deepEqual(
      [first.sequence, again.sequence, other.sequence, plain.sequence],
      [1, 1, 2, 3],
    );
    assert.deepEqual(headers.keys(), ["Shop"]);
    const message = await (await nats.client.manager()).streams.getMessage("S", { seq: 2 });
    assert.equal(message?.header.get("Nats-Msg-Id"), "b");
    assert.equal(message?.header.get("Shop"), "s-7");
  });
});

test("expectations hold or are a conflict", async () => {
  await withCore(async (core) => {
    await ensureStream(core, STREAM);
    const Other = subject("s.2", json<unknown>());
    const expect = (options: PublishToStreamOptions["expect"]) =>
      publishToStream(core, S, 0, { expect: options });
    await expect({ lastSequence: 0, lastSubjectSequence: 0, stream: "S" });
    await publishToStream(core, Other, 0, { id: "x" });
    await expect({ lastSubjectSequence: 1, lastSequence: 2, lastId: "x" });
    await assert.rejects(expect({ lastSequence: 2 }), failure("sequence_conflict", "s.1"));
    await assert.rejects(expect({ lastSubjectSequence: 0 }), failure("sequence_conflict"));
    await assert.rejects(expect({ lastId: "y" }), failure("sequence_conflict"));
    await assert.rejects(expect({ stream: "T" }), failure("stream_not_found", "s.1"));
  });
});

test("a subject that no stream captures is named", async () => {
  await withCore(async (core) => {
    await ensureStream(core, STREAM);
    const Nowhere = subject("nowhere.at.all", json<number>());
    await assert.rejects(
      publishToStream(core, Nowhere, 1),
      failure("stream_not_found", "nowhere.at.all", "autoCreate"),
    );
  });
});

test("a service that answers in a stream's place is no ack", async () => {
  await withCore(async (core, nats) => {
    const subscription = nats.connection.subscribe("s.1", {
      callback: (_, message) => void message.respond("hello"),
    });
    await assert.rejects(publishToStream(core, S, 1), failure("nats", "s.1", "no stream's ack"));
    subscription.unsubscribe();
  });
});

test("an ack that is lost is told as a message that may be stored", async () => {
  await withGround(async ({ core, proxy, nats }) => {
    await publishToStream(core, S, 1);
    proxy.drop({ direction: "toClient" });
    await assert.rejects(
      publishToStream(core, S, 1, { timeoutMs: 150 }),
      failure("timeout", "150 ms", "may have been stored", "give messages an id"),
    );
    await assert.rejects(
      publishToStream(core, S, 1, { timeoutMs: 150, id: "a" }),
      failure("timeout", "150 ms", "may have been stored", "same id"),
    );
    assert.equal(await stored(nats), 3);
  });
});

/** Loses all acks from now on, and counts what is published. */
async function loseAcks({ nats, proxy }: Ground): Promise<{ readonly attempts: number }> {
  const seen = { attempts: 0 };
  nats.connection.subscribe("s.1", { callback: () => void seen.attempts++ });
  await nats.connection.flush();
  proxy.drop({ direction: "toClient" });
  return seen;
}

test("a retry after a lost ack stores the message once", async () => {
  await withGround(async (ground) => {
    const { core, proxy, nats } = ground;
    await publishToStream(core, S, 0);
    const seen = await loseAcks(ground);
    const acks = Promise.all(Array.from({ length: 20 }, (_, n) =>
      publishToStream(core, S, n, {
        id: `m-${n}`,
        timeoutMs: 150,
        retry: { attempts: 100, initialMs: 50, maxMs: 100 },
      })));
    await waitUntil(() => seen.attempts > 40, { what: "all have been tried again" });
    proxy.heal(); // which resets the connection, so the acks are lost for good
    for (const ack of await acks) assert.equal(ack.duplicate, true);
    assert.equal(await stored(nats), 21);
  });
});

test("a retry that a stream has forgotten recognises its own message", async () => {
  await withGround(async (ground) => {
    const { core, proxy, nats } = ground;
    await publishToStream(core, S, 0);
    const seen = await loseAcks(ground);
    const publish = (id: string) =>
      publishToStream(core, S, 1, {
        id,
        expect: { lastSubjectSequence: 1 },
        timeoutMs: 300,
        retry: { delaysMs: [500, 500, 500, 500] },
      });
    const pending = publish("mine");
    await waitUntil(() => seen.attempts > 1, { what: "it has been tried again" });
    proxy.heal();
    assert.deepEqual(await pending, { stream: "S", sequence: 2, duplicate: true });
    assert.equal(await stored(nats), 2);
    // A message of somebody else stays a conflict, and one that was answered at once as well.
    await assert.rejects(publish("other"), failure("sequence_conflict"));
  }, { ...STREAM, duplicateWindowMs: 100 });
});

test("a server that is restarted gets the message in the end", async () => {
  await withCore(async (core, nats) => {
    await ensureStream(core, STREAM);
    await nats.server.kill();
    const pending = publishToStream(core, S, 1, {
      id: "a",
      timeoutMs: 500,
      retry: { attempts: 200, initialMs: 50, maxMs: 50 },
    });
    await nats.server.restart();
    assert.equal((await pending).stream, "S");
    assert.equal(await stored(nats), 1);
  });
});

test("without a retry there is one attempt", async () => {
  await withGround(async ({ core, proxy }) => {
    await publishToStream(core, S, 1);
    proxy.drop({ direction: "toTarget" });
    await assert.rejects(publishToStream(core, S, 1, { timeoutMs: 100, id: "a" }), {
      code: "timeout",
    });
    await assert.rejects(
      publishToStream(core, S, 1, { timeoutMs: 50, id: "a", retry: { delaysMs: [10, 10] } }),
      { code: "timeout" },
    );
  });
});

test("a stream is created for a subject that none captures", async () => {
  await withCore(async (core, nats) => {
    const Deep = subject("order-lines.eu.created", json<number>());
    const publish = () => publishToStream(core, Deep, 1, { autoCreate: true });
    const acks = await Promise.all(Array.from({ length: 10 }, publish));
    assert.ok(acks.every(({ stream }) => stream === "ORDER_LINES"));
    assert.equal((await nats.stream("ORDER_LINES")).state.messages, 10);
    // It is found to be gone by the publish itself.
    await createStreams(core).delete("ORDER_LINES");
    assert.equal((await publish()).sequence, 1);
    const own = { stream: "MINE", maxAgeMs: 5_000 };
    assert.equal((await publishToStream(core, S, 1, { autoCreate: own })).stream, "MINE");
  });
});

test("a subscriber on the subject does not hide that there is no stream", async () => {
  await withCore(async (core, nats) => {
    const subscription = nats.connection.subscribe("s.1", { callback: () => {} });
    const ack = await publishToStream(core, S, 1, { autoCreate: true, timeoutMs: 2_000 });
    assert.equal(ack.stream, "S");
    subscription.unsubscribe();
  });
});

test("a stream of the name that does not capture the subject is never used", async () => {
  await withCore(async (core) => {
    await ensureStream(core, { name: "S", subjects: ["t"] });
    await assert.rejects(
      publishToStream(core, S, 1, { autoCreate: true }),
      failure("config_drift"),
    );
  });
});

test("a message can have a lifetime, where server and stream know that", async (t) => {
  await withCore(async (core, nats) => {
    await ensureStream(core, STREAM);
    const publish = () => publishToStream(core, S, 1, { ttlMs: 1_000 });
    if (!nats.client.server.supports("message_ttl")) {
      await assert.rejects(publish(), failure("unsupported", "message_ttl"));
      assert.equal(await stored(nats), 0);
      return t.diagnostic("the server knows no lifetime");
    }
    await assert.rejects(publish(), failure("unsupported", "allowMessageTtl"));
    await ensureStream(core, { ...STREAM, allowMessageTtl: true }, { onDrift: "update" });
    await publish();
    await waitUntil(async () => await stored(nats) === 0, { what: "it is dropped" });
  });
});

test("what is too large is refused, by the server or the stream", async () => {
  await withCore(async (core, nats) => {
    await ensureStream(core, { ...STREAM, maxMessageBytes: 1_000 });
    await assert.rejects(
      publishToStream(core, S, "x".repeat(2_000)),
      failure("payload_too_large", "s.1"),
    );
    const huge = "x".repeat(nats.client.maxPayloadBytes);
    await assert.rejects(publishToStream(core, S, huge), failure("payload_too_large"));
    assert.equal(await stored(nats), 0);
  });
});

test("a full stream refuses by its own words", async () => {
  await withCore(async (core) => {
    await ensureStream(core, { ...STREAM, maxMessages: 1, discard: "new" });
    await publishToStream(core, S, 1);
    await assert.rejects(publishToStream(core, S, 2), failure("nats", "s.1", "maximum messages"));
  });
});

test("an abort ends the wait with its reason", async () => {
  await withCore(async (core, nats) => {
    await ensureStream(core, STREAM);
    const reason = new Error("enough");
    const aborted = AbortSignal.abort(reason);
    await assert.rejects(publishToStream(core, S, 1, { signal: aborted }), (e) => e === reason);
    assert.equal(await stored(nats), 0);
    nats.server.pause();
    try {
      for (const retry of [undefined, { attempts: 5 }]) {
        const controller = new AbortController();
        const options = { signal: controller.signal, id: "a", retry };
        const pending = publishToStream(core, S, 1, options);
        controller.abort(reason);
        await assert.rejects(pending, (error) => error === reason);
      }
    } finally {
      nats.server.continue();
    }
  });
});

test("a trace context goes out in headers of its own", async () => {
  await withCore(async (core, nats) => {
    await ensureStream(core, STREAM);
    const ended: unknown[] = [];
    const traced = new Proxy(core, {
      get: (target, key) => {
        if (key === "telemetry") return telemetry;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const telemetry = {
      ...core.telemetry,
      tracing: true,
      begin: (kind: string, details: { destination: string; messageId?: string }) => ({
        inject: (headers: { set(name: string, value: string): void }) =>
          headers.set("traceparent", `${kind} ${details.destination} ${details.messageId}`),
        end: (error: unknown) => ended.push(error),
      }),
    };
    const headers = { Shop: "s-7" };
    await publishToStream(traced, S, 1, { id: "a", headers });
    await publishToStream(traced, S, 1);
    await assert.rejects(publishToStream(traced, subject("x", json<number>()), 1));
    assert.deepEqual(Object.keys(headers), ["Shop"]);
    assert.deepEqual([ended[0], ended[1]], [undefined, undefined]);
    assert.equal((ended[2] as { code: string }).code, "stream_not_found");
    const manager = await nats.client.manager();
    const first = await manager.streams.getMessage("S", { seq: 1 });
    const second = await manager.streams.getMessage("S", { seq: 2 });
    assert.equal(first?.header.get("traceparent"), "publish s.1 a");
    assert.equal(second?.header.get("traceparent"), "publish s.1 undefined");
  });
});

test("misuse is refused before any I/O", async () => {
  await withCore(async (core, nats) => {
    await ensureStream(core, STREAM);
    const refused = async (options: unknown, type: ErrorConstructor, on: unknown = S) => {
      const target = on as typeof S;
      await assert.rejects(publishToStream(core, target, 1, options as object), type);
    };
    for (const on of [null, 5, "s.1", {}, subject("s.{x}", json())]) {
      await refused({}, TypeError as ErrorConstructor, on);
    }
    const types: unknown[] = [null, 5, [], { nope: 1 }, { retry: { attempts: 3 } }];
    for (const id of ["", " a", "a ", "a\nb", "a\r", "a\0", 5, null, "\ud800"]) types.push({ id });
    for (
      const expect of [5, { nope: 1 }, { stream: "a b" }, { lastId: "" }, { lastSequence: "1" }]
    ) {
      types.push({ expect });
    }
    for (const name of ["Nats-Msg-Id", "nats-ttl", "a b", "a:b", "a\r\nb", ""]) {
      types.push({ headers: { [name]: "x" } });
    }
    types.push({ headers: { a: "x\r\nNats-Msg-Id: 1" } }, { headers: { a: "\0" } }, { headers: 5 });
    types.push({ ttlMs: "1" }, { timeoutMs: "1" }, { signal: {} }, { autoCreate: false });
    types.push({ autoCreate: { nope: 1 } }, { autoCreate: { subjects: ["other"] } });
    for (const options of types) await refused(options, TypeError as ErrorConstructor);
    for (const timeoutMs of [0, -1, NaN, 2 ** 31]) {
      await refused({ timeoutMs }, RangeError as ErrorConstructor);
    }
    for (const ttlMs of [0, 999, NaN, -1, Infinity]) {
      await refused({ ttlMs }, RangeError as ErrorConstructor);
    }
    for (const lastSequence of [-1, 1.5, NaN]) {
      await refused({ expect: { lastSequence } }, RangeError as ErrorConstructor);
    }
    await refused({ id: "a", retry: { attempts: 0 } }, RangeError as ErrorConstructor);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const value of [1n, cycle]) {
      await assert.rejects(publishToStream(core, S, value), { code: "encode_failed" });
    }
    assert.equal(await stored(nats), 0);
  });
});
