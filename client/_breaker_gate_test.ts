import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import type { ClientEvent } from "./client_event.ts";
import { CircuitOpenError, NotConnectedError } from "./connection_errors.ts";
import type { ClientCore } from "./core.ts";
import { JsflowError, type JsflowErrorCode } from "./errors.ts";
import { fails, LONG, lose, never, regain, withClientCore } from "./testdata/core_ground.ts";

async function failTimes(core: ClientCore, times: number, code: JsflowErrorCode): Promise<void> {
  for (let i = 0; i < times; i++) await assert.rejects(fails(core, new JsflowError(code, code)));
}

test("the breaker opens after faults of the connection in a row, and fails fast", async () => {
  await withClientCore(
    { breaker: { threshold: 3, initialMs: 60_000 } },
    async ({ client, core }) => {
      const events: ClientEvent[] = [];
      client.onEvent((event) => events.push(event));
      await failTimes(core, 2, "connection_closed");
      await core.guard("try", LONG, () => Promise.resolve());
      await failTimes(core, 2, "connection_closed");
      assert.equal(client.breaker.state, "closed");
      await failTimes(core, 1, "connection_refused");
      assert.equal(client.breaker.state, "open");
      assert.equal(client.breaker.failures, 3);
      const refused = (error: unknown) => {
        assert.ok(error instanceof CircuitOpenError);
        assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= 60_000);
        return true;
      };
      await assert.rejects(core.guard("try", LONG, () => assert.fail("ran")), refused);
      await assert.rejects(core.ready("try", LONG), refused);
      await assert.rejects(client.manager(), refused);
      assert.throws(() => core.check("try"), refused);
      assert.equal(
        await core.guard("try", { ...LONG, bypassBreaker: true }, () => Promise.resolve(1)),
        1,
      );
      assert.equal(client.breaker.state, "open");
      const [event] = events;
      assert.ok(event?.type === "breaker" && event.state === "open" && event.retryAfterMs > 0);
      assert.equal(client.status, "connected");
    },
  );
});

test("what is no fault of the connection never counts", async () => {
  await withClientCore({ breaker: { threshold: 1 } }, async ({ client, core }) => {
    const codes: JsflowErrorCode[] = [
      "authorization",
      "buffer_full",
      "config_drift",
      "consumer_not_found",
      "decode_failed",
      "encode_failed",
      "invalid_payload",
      "jetstream_disabled",
      "jetstream_unavailable", // JetStream as a whole answers
      "message_not_found",
      "nats",
      "no_responders",
      "not_connected", // its loss is what counts
      "payload_too_large",
      "permission_denied",
      "remote_error",
      "sequence_conflict",
      "stream_not_found",
      "timeout",
      "unsupported",
    ];
    for (const code of codes) await failTimes(core, 2, code);
    await assert.rejects(fails(core, new TypeError("bad argument")));
    await assert.rejects(fails(core, new JsflowError("timeout", "late"), { jetstream: true }));
    await assert.rejects(core.guard("try", { timeoutMs: 5 }, never));
    const signal = AbortSignal.timeout(5);
    await assert.rejects(core.guard("try", { ...LONG, signal, jetstream: true }, never));
    const manager = await client.manager();
    await assert.rejects(
      core.guard("publish", { ...LONG, jetstream: true }, () => client.jetstream.publish("nobody")),
      { code: "jetstream_unavailable" },
    );
    await assert.rejects(
      core.guard("look up", { ...LONG, jetstream: true }, () => manager.streams.info("NONE")),
      { code: "stream_not_found" },
    );
    await client.close(); // waits for verdicts under way
    assert.equal(client.breaker.state, "closed");
    assert.equal(client.breaker.failures, 0);
  });
});

test("JetStream that answers nothing at all counts, a service that is slow does not", async () => {
  await withClientCore(
    { breaker: { threshold: 2, initialMs: 60_000 } },
    async ({ client, core, server }) => {
      await client.manager();
      server.pause();
      try {
        for (const _ of [1, 2, 3]) {
          await assert.rejects(
            core.guard("ask", { timeoutMs: 20 }, never),
          );
        }
        assert.equal(client.breaker.failures, 0);
        const ask = () =>
          core.guard(
            "publish",
            { timeoutMs: 20, jetstream: true },
            () => client.jetstream.publish("s"),
          );
        for (const _ of [1, 2]) {
          await assert.rejects(ask(), { code: "timeout" });
        }
        await waitUntil(() => client.breaker.state === "open", { what: "the breaker is open" });
        await assert.rejects(ask(), CircuitOpenError);
      } finally {
        server.continue();
      }
    },
  );
});

test("exactly one probe goes through; the others wait for what it finds", async () => {
  await withClientCore({ breaker: { threshold: 1, initialMs: 30 } }, async ({ client, core }) => {
    await failTimes(core, 1, "connection_closed");
    await waitUntil(() => client.breaker.retryAfterMs === 0, { what: "a probe is due" });
    assert.equal(client.breaker.state, "open");
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    let running = 0;
    const work = async () => {
      running++;
      await gate;
      return running;
    };
    const probe = core.guard("try", LONG, work);
    const others = [core.guard("try", LONG, work), core.guard("try", LONG, work)];
    const impatient = core.guard("try", { timeoutMs: 20 }, work);
    assert.equal(client.breaker.state, "half-open");
    assert.throws(() => core.check("publish"), CircuitOpenError);
    await assert.rejects(impatient, CircuitOpenError);
    assert.equal(running, 1);
    open();
    assert.equal(await probe, 1);
    await Promise.all(others);
    assert.equal(running, 3);
    assert.equal(client.breaker.state, "closed");
  });
});

test("whoever calls from a listener while the probe begins is no second probe", async () => {
  await withClientCore({ breaker: { threshold: 1, initialMs: 30 } }, async ({ client, core }) => {
    await failTimes(core, 1, "connection_closed");
    await waitUntil(() => client.breaker.retryAfterMs === 0, { what: "a probe is due" });
    let running = 0;
    const work = async () => {
      running++;
      await client.connection.flush();
    };
    let other: Promise<void> | undefined;
    client.onEvent((event) => {
      if (event.type !== "breaker" || event.state !== "half-open") return;
      other = core.guard("try", LONG, work);
    });
    const probe = core.guard("try", LONG, work);
    assert.equal(running, 1);
    await probe;
    await other;
    assert.equal(running, 2);
  });
});

test("a probe that fails opens the breaker again, for those that wait as well", async () => {
  await withClientCore({ breaker: { threshold: 1, initialMs: 100 } }, async ({ client, core }) => {
    await failTimes(core, 1, "connection_closed");
    await waitUntil(() => client.breaker.retryAfterMs === 0, { what: "a probe is due" });
    const probe = fails(core, new JsflowError("connection_closed", "again"));
    const other = core.guard("try", LONG, () => assert.fail("ran"));
    await assert.rejects(probe, /again/);
    await assert.rejects(other, CircuitOpenError);
    assert.ok(client.breaker.retryAfterMs > 0);
  });
});

test("what a probe does inside is part of the probe", async () => {
  await withClientCore({ breaker: { threshold: 1, initialMs: 30 } }, async ({ client, core }) => {
    await failTimes(core, 1, "connection_closed");
    await waitUntil(() => client.breaker.retryAfterMs === 0, { what: "a probe is due" });
    const manager = await core.guard("try", LONG, (signal) => core.manager({ signal }));
    assert.equal(await client.manager(), manager);
    assert.equal(client.breaker.state, "closed");
  });
});

test("a probe that is aborted says nothing: the next one goes at once", async () => {
  await withClientCore({ breaker: { threshold: 1, initialMs: 30 } }, async ({ client, core }) => {
    await failTimes(core, 1, "connection_closed");
    await waitUntil(() => client.breaker.retryAfterMs === 0, { what: "a probe is due" });
    const controller = new AbortController();
    const probe = core.guard("try", { ...LONG, signal: controller.signal }, never);
    controller.abort(new Error("not needed"));
    await assert.rejects(probe, /not needed/);
    assert.equal(await core.guard("try", LONG, () => Promise.resolve(1)), 1);
    assert.equal(client.breaker.state, "closed");
  });
});

test("what goes out without an answer is let through, while the server is asked behind it", async () => {
  await withClientCore({ breaker: { threshold: 1, initialMs: 30 } }, async ({ client, core }) => {
    await failTimes(core, 1, "connection_closed");
    await waitUntil(() => client.breaker.retryAfterMs === 0, { what: "a probe is due" });
    core.check("publish");
    assert.throws(() => core.check("publish"), CircuitOpenError);
    await waitUntil(() => client.breaker.state === "closed", { what: "the server has answered" });
    core.check("publish");
  });
});

test("an outage opens the breaker, and the connection closes it", async () => {
  const breaker = { threshold: 3, initialMs: 60_000 };
  await withClientCore({ breaker }, async (ground) => {
    const { client, core } = ground;
    const states: string[] = [];
    client.onEvent((event) => event.type === "breaker" && states.push(event.state));
    await lose(ground);
    await waitUntil(() => client.breaker.state === "open", { what: "attempts have failed" });
    assert.ok(client.breaker.lastFailure!.at <= new Date());
    // Whatever the breaker says, there is no connection.
    await assert.rejects(core.ready("publish", LONG), NotConnectedError);
    await regain(ground);
    assert.equal(client.breaker.state, "closed");
    await core.guard("ask", LONG, () => client.connection.flush());
    assert.deepEqual(states, ["open", "half-open", "closed"]);
  });
});

test("without a breaker nothing is held back, and failures are counted", async () => {
  await withClientCore({ breaker: false }, async ({ client, core }) => {
    await failTimes(core, 10, "connection_closed");
    assert.equal(client.breaker.state, "closed");
    assert.equal(client.breaker.failures, 10);
    await core.guard("try", LONG, () => Promise.resolve());
    assert.equal(client.breaker.failures, 0);
  });
});

test("one loss of the connection counts once, however much was under way", async () => {
  const reconnect = { initialMs: 60_000, maxMs: 60_000 };
  await withClientCore({ breaker: { threshold: 2 }, reconnect }, async (ground) => {
    const { client, core } = ground;
    const { promise: failing, reject } = Promise.withResolvers<never>();
    const hasty = { ...LONG, failOnDisconnect: true };
    const casualties = [
      ...Array.from({ length: 8 }, () => core.guard("ask", hasty, never)),
      core.guard("ask", LONG, () => failing),
      core.guard("ask", { ...LONG, jetstream: true }, () => failing),
    ].map((call) => assert.rejects(call));
    await lose(ground);
    reject(new JsflowError("connection_closed", "gone with the connection"));
    await Promise.all(casualties);
    for (let i = 0; i < 5; i++) await assert.rejects(core.ready("publish", LONG));
    assert.equal(client.breaker.failures, 1);
    assert.equal(client.breaker.state, "closed");
  });
});

test("what had begun before the connection was lost counts no more once it is back", async () => {
  await withClientCore({ breaker: { threshold: 1 } }, async (ground) => {
    const { client, core } = ground;
    const { promise: failing, reject } = Promise.withResolvers<never>();
    const late = assert.rejects(core.guard("ask", LONG, () => failing));
    await lose(ground);
    await regain(ground);
    reject(new JsflowError("connection_closed", "gone with the connection"));
    await late;
    assert.equal(client.breaker.state, "closed");
  });
});

test("JetStream is asked once for all that fail at the same time", async () => {
  await withClientCore({ breaker: { threshold: 100 } }, async ({ client, core, server }) => {
    server.pause();
    try {
      const before = client.connection.stats().outMsgs;
      const asks = Array.from(
        { length: 20 },
        () => core.guard("ask", { timeoutMs: 30, jetstream: true }, never),
      );
      await Promise.all(asks.map((ask) => assert.rejects(ask, { code: "timeout" })));
      await waitUntil(() => client.breaker.failures === 20, { what: "all are counted" });
      const asked = client.connection.stats().outMsgs - before;
      assert.ok(asked >= 1 && asked <= 3, `asked ${asked} times`);
    } finally {
      server.continue();
    }
  });
});
