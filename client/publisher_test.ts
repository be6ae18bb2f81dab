import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerConfigValue } from "../testing/server_config.ts";
import type { TestNats } from "../testing/test_nats.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { coreOf } from "./core.ts";
import { ensureStream } from "./ensure_stream.ts";
import { json } from "./json.ts";
import { createPublisher, type Publisher, type PublisherOptions } from "./publisher.ts";
import { createStreams } from "./streams.ts";
import { subject } from "./subject.ts";
import { failure } from "./testdata/failure.ts";
import { withCore } from "./testdata/nats_ground.ts";
import { numbers, S, stored, STREAM, withGround } from "./testdata/publisher_ground.ts";
import { withClient } from "./testdata/server_ground.ts";

test("messages are stored in the order of the calls, several at a time", async () => {
  await withGround(async ({ nats, publisher }) => {
    const it = publisher({ maxMessages: 16 });
    let most = 0;
    const acks = await Promise.all(Array.from({ length: 500 }, (_, n) => {
      const pending = it.publish(S, n);
      most = Math.max(most, it.stats.inFlight);
      return pending;
    }));
    assert.deepEqual(acks.map(({ sequence }) => sequence), acks.map((_, n) => n + 1));
    assert.deepEqual(await numbers(nats, 500), acks.map((_, n) => n));
    assert.equal(most, 16);
    assert.deepEqual(it.stats, {
      inFlight: 0,
      bytesInFlight: 0,
      waiting: 0,
      published: 500,
      failed: 0,
    });
  });
});

test("no more is in flight than the bounds say, in messages and in bytes", async () => {
  await withGround(async ({ nats, proxy, publisher }) => {
    proxy.stall({ direction: "toClient" });
    const few = publisher({ maxMessages: 5 });
    const small = publisher({ maxBytes: 1_450 });
    const all = Array.from({ length: 20 }, (_, n) => [
      few.publish(S, n),
      small.publish(S, "x".repeat(390)),
    ]).flat();
    await waitUntil(async () => await stored(nats) === 8, { what: "5 and 3 are stored" });
    assert.deepEqual([few.stats.inFlight, few.stats.waiting], [5, 15]);
    assert.deepEqual([small.stats.inFlight, small.stats.waiting], [3, 17]);
    assert.ok(small.stats.bytesInFlight <= 1_450 && small.stats.bytesInFlight > 1_150);
    proxy.heal();
    await Promise.all(all);
    assert.equal(await stored(nats), 40);
    await assert.rejects(small.publish(S, "x".repeat(1_450)), RangeError);
  });
});

test("too much that waits for room is refused", async () => {
  await withGround(async ({ proxy, publisher }) => {
    proxy.stall({ direction: "toClient" });
    const it = publisher({ maxMessages: 1, maxWaitingBytes: 2_500 });
    const all = Array.from({ length: 10 }, (_, n) => it.publish(S, n));
    const results = Promise.allSettled(all);
    assert.deepEqual([it.stats.inFlight, it.stats.waiting, it.stats.failed], [1, 4, 5]);
    proxy.heal();
    for (const [n, result] of (await results).entries()) {
      if (n < 5) assert.equal(result.status, "fulfilled");
      else if (result.status === "rejected") failure("buffer_full", "4 messages")(result.reason);
      else assert.fail();
    }
  });
});

test("waiting for room ends at the deadline or with the signal, and others go on", async () => {
  await withGround(async ({ nats, proxy, publisher }) => {
    proxy.stall({ direction: "toClient" });
    const it = publisher({ maxMessages: 1, timeoutMs: 20_000 });
    const first = it.publish(S, 0);
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = it.publish(S, 1, { signal: controller.signal });
    const late = it.publish(S, 2, { timeoutMs: 100 });
    const last = it.publish(S, 3);
    controller.abort(reason);
    await assert.rejects(aborted, (error) => error === reason);
    await assert.rejects(late, failure("timeout", "no room", "nothing was sent"));
    assert.deepEqual([it.stats.inFlight, it.stats.waiting], [1, 1]);
    proxy.heal();
    await Promise.all([first, last]);
    assert.deepEqual(await numbers(nats, 2), [0, 3]);
  });
});

test("an abort in flight gives the place away", async () => {
  await withGround(async ({ nats, proxy, publisher }) => {
    proxy.stall({ direction: "toClient" });
    const it = publisher({ maxMessages: 1 });
    const controller = new AbortController();
    const first = it.publish(S, 0, { signal: controller.signal });
    const second = it.publish(S, 1);
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(first, (error) => error === reason);
    await waitUntil(async () => await stored(nats) === 2, { what: "the second is sent" });
    proxy.heal();
    await second;
    await assert.rejects(it.publish(S, 2, { signal: controller.signal }), (e) => e === reason);
  });
});

test("flush waits for what was published, not for what comes", async () => {
  await withGround(async ({ proxy, publisher }) => {
    const it = publisher({ maxMessages: 2 });
    await it.flush();
    proxy.stall({ direction: "toClient" });
    const first = Promise.allSettled([1, 2, 3, 4].map((n) => it.publish(S, n)));
    await assert.rejects(it.flush({ timeoutMs: 50 }), failure("timeout"));
    const reason = new Error("enough");
    await assert.rejects(it.flush({ signal: AbortSignal.abort(reason) }), (e) => e === reason);
    const flushed = it.flush();
    let open = true;
    const endless = (async () => {
      while (open) await it.publish(S, 0);
    })();
    proxy.heal();
    await flushed;
    assert.equal(it.stats.published >= 4, true);
    await first;
    open = false;
    await endless;
  });
});

test("flush counts failures as settled", async () => {
  await withGround(async ({ publisher }) => {
    const it = publisher();
    const Nowhere = subject("nowhere", json<number>());
    const lost = it.publish(Nowhere, 1);
    lost.catch(() => {});
    await it.flush();
    await assert.rejects(lost, failure("stream_not_found", "nowhere"));
    assert.equal(it.stats.failed, 1);
  });
});

test("close takes nothing new and waits for the rest", async () => {
  await withGround(async ({ nats, proxy, publisher }) => {
    const it = publisher({ maxMessages: 3 });
    proxy.stall({ direction: "toClient" });
    const all = Array.from({ length: 10 }, (_, n) => it.publish(S, n));
    const closing = it.close();
    assert.equal(it.close(), closing);
    await assert.rejects(it.publish(S, 99), failure("connection_closed"));
    proxy.heal();
    await closing;
    await Promise.all(all);
    assert.equal(await stored(nats), 10);
    await it[Symbol.asyncDispose]();
  });
});

test("closed publishers leave nothing on a connection", async () => {
  await withGround(async ({ core, publisher }) => {
    const native = core.connection as unknown as {
      protocol: { subscriptions: { size(): number }; listeners: unknown[] };
    };
    const count = () => [
      native.protocol.subscriptions.size(),
      native.protocol.listeners.length,
    ];
    const before = count();
    for (let n = 0; n < 20; n++) {
      const it = publisher();
      await it.publish(S, n);
      await it.close();
    }
    assert.deepEqual(count(), before);
  });
});

test("a stream is created on the way, and again when it is deleted", async () => {
  await withGround(async ({ core, nats, publisher }) => {
    const it = publisher({ autoCreate: { maxAgeMs: 60_000 } });
    const A = subject("a.1", json<number>());
    const B = subject("b.1", json<number>());
    const acks = await Promise.all(
      Array.from({ length: 50 }, (_, n) => it.publish(n % 2 ? A : B, n)),
    );
    assert.deepEqual(acks.slice(0, 4).map(({ stream }) => stream), ["B", "A", "B", "A"]);
    await createStreams(core).delete("A");
    const again = await Promise.all([1, 2, 3].map((n) => it.publish(A, n)));
    assert.deepEqual(again.map(({ sequence }) => sequence), [1, 2, 3]);
    assert.equal((await nats.stream("A")).config.max_age, 60_000 * 1e6);
  });
});

test("expectations and conflicts travel with each message", async () => {
  await withGround(async ({ publisher }) => {
    const it = publisher();
    const results = await Promise.allSettled([
      it.publish(S, 1, { expect: { lastSequence: 0 } }),
      it.publish(S, 2, { expect: { lastSequence: 1 } }),
      it.publish(S, 3, { expect: { lastSequence: 1 } }),
      it.publish(S, 4, { expect: { lastSubjectSequence: 2 } }),
    ]);
    assert.deepEqual(results.map(({ status }) => status), [
      "fulfilled",
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    const [, , refused] = results;
    if (refused?.status === "rejected") failure("sequence_conflict")(refused.reason);
  });
});

/** Runs a test with a publisher of a user with these permissions only. */
async function withRestricted(
  permissions: ServerConfigValue,
  use: (publisher: Publisher, nats: TestNats) => Promise<void>,
): Promise<void> {
  const users = [{ user: "admin", password: "p" }, { user: "u", password: "p", permissions }];
  const credentials = { user: "admin", pass: "p" };
  await withCore(async (admin, nats) => {
    await ensureStream(admin, STREAM);
    await withClient({ servers: nats.url, user: "u", pass: "p" }, async (client) => {
      await use(createPublisher(coreOf(client), { timeoutMs: 20_000 }), nats);
    });
  }, { server: { credentials, config: { authorization: { users } } } });
}

test("a subject that the user may not publish to is told at once", async () => {
  const permissions = { publish: ["s.1", "$JS.API.>"], subscribe: ["_INBOX.>"] };
  await withRestricted(permissions, async (it) => {
    const Denied = subject("s.2", json<number>());
    const denied = it.publish(Denied, 1);
    denied.catch(() => {});
    assert.equal((await it.publish(S, 1)).sequence, 1);
    await assert.rejects(denied, failure("permission_denied", "s.2"));
    assert.equal(it.stats.inFlight, 0);
  });
});

test("when acks may not be received, the error says that the message may be stored", async () => {
  const permissions = { publish: [">"], subscribe: { deny: ["_INBOX.>"] } };
  await withRestricted(permissions, async (it, nats) => {
    await assert.rejects(it.publish(S, 1), failure("permission_denied", "may have been stored"));
    assert.equal(await stored(nats), 1);
  });
});

test("misuse is refused before any I/O", async () => {
  await withGround(async ({ core, nats, publisher }) => {
    const types = [null, 5, [], { nope: 1 }, { maxMessages: "1" }, { retry: 3 }, { autoCreate: 1 }];
    for (const options of types) {
      assert.throws(() => publisher(options as PublisherOptions), TypeError);
    }
    for (const bad of [0, -1, 1.5, NaN, 65_537]) {
      assert.throws(() => publisher({ maxMessages: bad }), RangeError);
    }
    for (const bad of [0, -1, NaN, Infinity]) {
      assert.throws(() => publisher({ maxBytes: bad }), RangeError);
      assert.throws(() => publisher({ timeoutMs: bad }), RangeError);
    }
    assert.throws(() => publisher({ autoCreate: { nope: 1 } as object }), TypeError);
    const it = createPublisher(core);
    await assert.rejects(it.publish(S, 1, { retry: { attempts: 2 } }), TypeError);
    await assert.rejects(it.publish(S, 1, { autoCreate: true } as object), TypeError);
    await assert.rejects(it.publish("s.1" as unknown as typeof S, 1), TypeError);
    await assert.rejects(it.publish(S, 1n), failure("encode_failed"));
    await assert.rejects(it.flush({ timeoutMs: 0 }), RangeError);
    await assert.rejects(it.flush({ nope: 1 } as object), TypeError);
    assert.equal(await stored(nats), 0);
    assert.deepEqual([it.stats.failed, it.stats.inFlight], [0, 0]);
  });
});
