import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { bytes } from "./bytes.ts";
import { ConnectionTimeoutError, NotConnectedError } from "./connection_errors.ts";
import { JsflowError } from "./errors.ts";
import { publish } from "./publish.ts";
import { subject } from "./subject.ts";
import { fails, LONG, lose, never, regain, withClientCore } from "./testdata/core_ground.ts";
import { type Connected, withClient } from "./testdata/server_ground.ts";

test("guard: the value, the translated error, the time-out, the reason", async () => {
  await withClientCore({}, async ({ core }) => {
    assert.equal(await core.guard("try", LONG, () => Promise.resolve(5)), 5);
    await assert.rejects(fails(core, new Error("odd")), {
      code: "nats",
      message: /cannot try: odd/,
    });
    await assert.rejects(fails(core, new TypeError("bad")), TypeError);
    const late = core.guard("try", { timeoutMs: 20 }, never);
    await assert.rejects(late, { code: "timeout", message: /cannot try: no answer within 20 ms/ });
    const { signal } = new AbortController();
    await core.guard("try", { ...LONG, signal }, () => Promise.resolve());
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const controller = new AbortController();
    const aborted = core.guard("try", { ...LONG, signal: controller.signal }, never);
    controller.abort(new Error("enough"));
    await assert.rejects(aborted, /enough/);
  });
});

test("without a connection everything fails at once, by default", async () => {
  await withClientCore({}, async (ground) => {
    const { client, core } = ground;
    await lose(ground);
    const expected = { code: "not_connected", message: /cannot publish: the connection is lost/ };
    assert.throws(() => core.check("publish"), expected);
    await assert.rejects(core.ready("publish", LONG), expected);
    await assert.rejects(core.guard("publish", LONG, () => assert.fail("ran")), NotConnectedError);
    await assert.rejects(client.manager(), NotConnectedError);
    await regain(ground);
    core.check("publish");
    await core.ready("publish", LONG);
    await client.manager();
  });
});

test("work under way is given up with the connection, when it asked for that", async () => {
  await withClientCore({}, async (ground) => {
    const { core } = ground;
    let inner: AbortSignal | undefined;
    const hasty = core.guard("publish to s", { ...LONG, failOnDisconnect: true }, (signal) => {
      inner = signal;
      return never();
    });
    const told = assert.rejects(hasty, (error) => {
      assert.ok(error instanceof NotConnectedError);
      assert.match(error.message, /cannot publish to s: .* may have been done or not/);
      return true;
    });
    const patient = core.guard("wait", { timeoutMs: 600 }, never);
    const timedOut = assert.rejects(patient, { code: "timeout" });
    await lose(ground);
    await told;
    assert.ok(inner?.aborted);
    await timedOut;
  });
});

test("operations wait for the connection when the caller chose so, and keep their order", async () => {
  await withClientCore({ offline: {} }, async (ground) => {
    const { core } = ground;
    await lose(ground);
    const order: string[] = [];
    const late: Promise<void>[] = [];
    const publish = async (name: string) => {
      await core.ready(name, LONG);
      order.push(name);
    };
    const request = (name: string) =>
      core.guard(name, LONG, () => {
        order.push(name);
        return Promise.resolve();
      });
    // As soon as the connection is back, somebody else comes along.
    ground.client.onEvent((event) => {
      if (event.type !== "status" || event.status !== "connected") return;
      assert.throws(() => core.check("overtake"), /others that waited for the connection go first/);
      late.push(publish("5"), request("6"));
    });
    const waiting = [publish("1"), request("2"), publish("3"), request("4")];
    await regain(ground);
    await Promise.all(waiting);
    assert.equal(late.length, 2);
    await Promise.all(late);
    assert.deepEqual(order, ["1", "2", "3", "4", "5", "6"]);
    await waitUntil(() => {
      core.check("publish");
      return true;
    }, { what: "nobody waits any more" });
  });
});

test("waiting ends at the bound, at the time limit, by the signal and by close", async () => {
  await withClientCore({ offline: { maxMessages: 2, maxBytes: 100 } }, async (ground) => {
    const { client, core } = ground;
    await lose(ground);
    await assert.rejects(core.ready("publish", { ...LONG, bytes: 101 }), { code: "buffer_full" });
    const controller = new AbortController();
    const waits = [
      core.ready("publish", { ...LONG, signal: controller.signal }),
      core.guard("ask", { timeoutMs: 30 }, () => assert.fail("ran")),
    ];
    const ends = [
      assert.rejects(waits[0]!, /enough/),
      assert.rejects(waits[1]!, (error) => error instanceof ConnectionTimeoutError),
    ];
    await assert.rejects(core.ready("publish", LONG), { code: "buffer_full" });
    controller.abort(new Error("enough"));
    await Promise.all(ends);
    const last = assert.rejects(core.ready("publish", LONG), { code: "connection_closed" });
    await client.close();
    await last;
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  });
});

test("one time limit bounds waiting and work together", async () => {
  await withClientCore({ offline: {} }, async (ground) => {
    await lose(ground);
    const startedAt = performance.now();
    let begunAt = 0;
    const asked = ground.core.guard("ask", { timeoutMs: 3_000 }, () => {
      begunAt = performance.now();
      return never();
    });
    const ended = assert.rejects(asked, { code: "timeout" });
    await regain(ground);
    await ended;
    const workedMs = performance.now() - begunAt;
    assert.ok(begunAt > startedAt && workedMs < 3_000, `worked for ${workedMs} ms`);
  });
});

/** Opens the breaker and makes a probe that goes on until it is told to end. */
async function longProbe({ client, core }: Connected): Promise<() => Promise<void>> {
  await assert.rejects(fails(core, new JsflowError("connection_closed", "once")));
  await waitUntil(() => client.breaker.retryAfterMs === 0, { what: "a probe is due" });
  const { promise, resolve } = Promise.withResolvers<void>();
  const probe = core.guard("probe", LONG, () => promise);
  assert.equal(client.breaker.state, "half-open");
  return () => {
    resolve();
    return probe;
  };
}

const TRIGGER = { threshold: 1, initialMs: 30 } as const;
const SLOW = { initialMs: 60_000, maxMs: 60_000 } as const;

test("a connection that is lost while the breaker decides is noticed", async () => {
  await withClientCore({ breaker: TRIGGER, reconnect: SLOW }, async (ground) => {
    const { core } = ground;
    const end = await longProbe(ground);
    const told = [
      assert.rejects(core.ready("publish", LONG), NotConnectedError),
      assert.rejects(core.guard("ask", LONG, () => assert.fail("ran")), NotConnectedError),
    ];
    await lose(ground);
    await end();
    await Promise.all(told);
  });
});

test("who waits for the breaker waits for the connection as well, when the caller chose so", async () => {
  await withClientCore({ breaker: TRIGGER, offline: {} }, async (ground) => {
    const { client, core } = ground;
    const end = await longProbe(ground);
    const states: string[] = [];
    const told = [
      core.ready("publish", LONG).then(() => states.push(client.status)),
      core.guard("ask", LONG, () => Promise.resolve(states.push(client.status))),
    ];
    await lose(ground);
    await end();
    await regain(ground);
    await Promise.all(told);
    assert.deepEqual(states, ["connected", "connected"]);
  });
});

test("a connection that is gone takes nothing, even before its loss is told", async () => {
  await withClientCore({}, async ({ client, core }) => {
    const { protocol } = client.connection as unknown as { protocol: { connected: boolean } };
    protocol.connected = false;
    try {
      assert.equal(client.status, "connected");
      assert.equal(core.isClear, false);
      assert.throws(() => core.check("publish"), /the connection is lost/);
      await assert.rejects(core.ready("publish", LONG), NotConnectedError);
      await assert.rejects(core.guard("ask", LONG, () => assert.fail("ran")), NotConnectedError);
    } finally {
      protocol.connected = true;
    }
    assert.equal(core.isClear, true);
    core.check("publish");
  });
});

test("checkLink looks at the connection alone", async () => {
  const breaker = { threshold: 1, initialMs: 60_000 };
  await withClientCore({ breaker, offline: {} }, async (ground) => {
    const { client, core } = ground;
    await assert.rejects(fails(core, new JsflowError("connection_closed", "once")));
    assert.throws(() => core.check("reply"), { code: "circuit_open" });
    core.checkLink("reply");
    await lose(ground);
    assert.throws(() => core.checkLink("reply"), NotConnectedError);
    const waiting = core.ready("publish", LONG);
    let looked = false;
    client.onEvent((event) => {
      if (event.type !== "status" || event.status !== "connected") return;
      assert.throws(() => core.check("reply"), /go first/);
      core.checkLink("reply");
      looked = true;
    });
    await regain(ground);
    await waiting;
    assert.ok(looked);
    await client.close();
    assert.throws(() => core.checkLink("reply"), { code: "connection_closed" });
  });
});

const Blob = subject("blob", bytes());
const MEBIBYTE = new Uint8Array(1_048_576);

test("towards a server that takes nothing only so much is sent; the rest waits in order", async () => {
  await withClientCore({}, async ({ server, client, core }) => {
    await withClient({ servers: server.url }, async (reader) => {
      const seen: number[] = [];
      reader.connection.subscribe("blob", { callback: (_, { data }) => void seen.push(data[0]!) });
      await reader.connection.flush();
      const sent: Promise<void>[] = [];
      const send = (n: number) => sent.push(publish(core, Blob, MEBIBYTE.slice().fill(n)));
      server.pause();
      try {
        for (let n = 0; n < 24; n++) send(n);
        assert.equal(client.connection.stats().outMsgs, 16);
        assert.throws(() => core.check("publish"), /cannot publish: .* go first/);
        const late = core.ready("publish", { timeoutMs: 20 });
        await assert.rejects(late, (error) => {
          assert.ok(error instanceof ConnectionTimeoutError);
          assert.match(error.message, /did not take what was sent before within 20 ms/);
          return true;
        });
        const large = core.ready("publish", { ...LONG, bytes: 16 * 1_048_576 });
        await assert.rejects(large, { code: "buffer_full" });
      } finally {
        server.continue();
      }
      await Promise.race(sent.slice(16));
      send(24); // behind those that wait still
      await Promise.all(sent);
      await waitUntil(() => seen.length === 25, { what: "all has arrived" });
      assert.deepEqual(seen, Array.from({ length: 25 }, (_, n) => n));
    });
  });
});

test("what waits for a server that takes nothing fails when the connection is lost", async () => {
  await withClientCore({}, async (ground) => {
    const { server, client, core } = ground;
    server.pause();
    const sent = Array.from({ length: 16 }, () => publish(core, Blob, MEBIBYTE));
    await Promise.all(sent);
    assert.throws(() => core.check("publish"), { code: "buffer_full" });
    const waiting = assert.rejects(core.ready("publish", LONG), NotConnectedError);
    await server.kill();
    await waiting;
    await regain(ground);
    core.check("publish"); // what was on its way is gone, and counts no more
    await client.connection.flush();
  });
});
