import assert from "node:assert/strict";
import { test } from "node:test";
import { NatsCluster } from "../testing/nats_cluster.ts";
import type { TestNats } from "../testing/test_nats.ts";
import { waitUntil } from "../testing/wait_until.ts";
import { type ClientCore, coreOf } from "./core.ts";
import { isJsflowError } from "./errors.ts";
import { json } from "./json.ts";
import { publishToStream } from "./publish_to_stream.ts";
import { createStreams, type Streams } from "./streams.ts";
import { subject } from "./subject.ts";
import { withApiPrefix } from "./testdata/core_ground.ts";
import { withCore, withMessaging } from "./testdata/nats_ground.ts";
import { withClient } from "./testdata/server_ground.ts";

async function withStreams(
  use: (streams: Streams, nats: TestNats, core: ClientCore) => Promise<void>,
): Promise<void> {
  await withCore((core, nats) => use(createStreams(core), nats, core));
}

test("a stream is described, and a missing one is an error by name", async () => {
  await withStreams(async (streams, nats) => {
    await nats.createStream({ name: "S", subjects: ["s.*"] });
    await nats.client.jetstream.publish("s.1", "x");
    const info = await streams.info("S");
    assert.deepEqual(
      [info.name, info.messages, info.firstSequence, info.lastSequence, info.consumers],
      ["S", 1, 1, 1, 0],
    );
    assert.ok(info.bytes > 0);
    assert.deepEqual(info.config.subjects, ["s.*"]);
    assert.equal(info.native.config.name, "S");
    await assert.rejects(streams.info("NONE"), (error: Error & { code?: string }) => {
      assert.match(error.message, /NONE/);
      return error.code === "stream_not_found";
    });
  });
});

test("all streams are listed, over several pages, or those of a subject", async () => {
  await withStreams(async (streams, nats) => {
    assert.deepEqual(await Array.fromAsync(streams.list()), []);
    assert.deepEqual(await Array.fromAsync(streams.names()), []);
    const manager = await nats.client.manager();
    const wanted = Array.from({ length: 300 }, (_, n) => `S${n}`); // a page has 256
    for (const name of wanted) await manager.streams.add({ name, subjects: [`s.${name}`] });
    const infos = await Array.fromAsync(streams.list());
    assert.deepEqual(infos.map(({ name }) => name).sort(), [...wanted].sort());
    assert.deepEqual((await Array.fromAsync(streams.names())).sort(), [...wanted].sort());
    assert.deepEqual(await Array.fromAsync(streams.names({ subject: "s.S7" })), ["S7"]);
    const [only] = await Array.fromAsync(streams.list({ subject: "*.S7" }));
    assert.equal(only?.name, "S7");
    for await (const name of streams.names()) if (name === "S1") break;
  });
});

test("a list ends with the error, never as if it were complete", async () => {
  await withStreams(async (streams, nats) => {
    const manager = await nats.client.manager();
    for (let n = 0; n < 300; n++) {
      await manager.streams.add({ name: `S${n}`, subjects: [`s.${n}`] });
    }
    const controller = new AbortController();
    const reason = new Error("enough");
    let seen = 0;
    await assert.rejects(async () => {
      for await (const _ of streams.list({ signal: controller.signal })) {
        if (++seen === 5) controller.abort(reason);
      }
    }, (error) => error === reason);
    assert.equal(seen, 5);
    seen = 0;
    try {
      await assert.rejects(async () => {
        for await (const _ of streams.list({ timeoutMs: 300 })) {
          if (++seen === 256) nats.server.pause();
        }
      }, { code: "timeout" });
    } finally {
      nats.server.continue();
    }
    assert.equal(seen, 256);
  });
});

test("the stream of a subject is found, if there is one that has all of it", async () => {
  await withStreams(async (streams, nats) => {
    await nats.createStream({ name: "A", subjects: ["a.>"] });
    await nats.createStream({ name: "B", subjects: ["b.one", "b.two"] });
    assert.equal((await streams.find("a.x.y"))?.name, "A");
    assert.equal((await streams.find("a.*.y"))?.name, "A");
    assert.equal((await streams.find("b.two"))?.name, "B");
    assert.equal(await streams.find("b.*"), undefined);
    assert.equal(await streams.find("a"), undefined);
    assert.equal(await streams.find("c"), undefined);
  });
});

test("deleting tells whether there was anything", async () => {
  await withStreams(async (streams, nats) => {
    await nats.createStream({ name: "S", subjects: ["s"] });
    assert.equal(await streams.delete("S"), true);
    assert.equal(await streams.delete("S"), false);
    await assert.rejects(streams.info("S"), { code: "stream_not_found" });
  });
});

test("purging removes what was asked for and counts it", async () => {
  await withStreams(async (streams, nats) => {
    await nats.createStream({ name: "S", subjects: ["s.*"] });
    const fill = async () => {
      for (let n = 0; n < 10; n++) await nats.client.jetstream.publish(`s.${n % 2}`, "x");
    };
    await fill();
    assert.equal(await streams.purge("S", { keep: 8 }), 2);
    assert.equal(await streams.purge("S", { filter: "s.1" }), 4);
    assert.equal(await streams.purge("S", { filter: "s.0", keep: 1 }), 3);
    assert.equal(await streams.purge("S"), 1);
    await fill();
    const { firstSequence } = await streams.info("S");
    assert.equal(await streams.purge("S", { upToSequence: firstSequence + 3 }), 3);
    assert.equal((await streams.info("S")).firstSequence, firstSequence + 3);
    await assert.rejects(streams.purge("NONE"), { code: "stream_not_found" });
  });
});

test("a JetStream that is off is told apart from a missing stream", async () => {
  await withMessaging(async (core) => {
    const streams = createStreams(core);
    await assert.rejects(streams.info("S"), { code: "jetstream_disabled" });
    await assert.rejects(streams.find("s"), { code: "jetstream_disabled" });
  });
});

test("lookups wait out a moment in which JetStream does not answer", async () => {
  await withStreams(async (_, nats, core) => {
    await nats.createStream({ name: "S", subjects: ["s"] });
    await core.manager();
    // Another prefix, which nobody serves at first, stands for a JetStream without a leader.
    const late = withApiPrefix(core, "LATE.API");
    const pending = createStreams(late).info("S");
    const served: string[] = [];
    const timer = setTimeout(() => {
      nats.connection.subscribe("LATE.API.>", {
        callback: (_, message) => {
          served.push(message.subject);
          const api = message.subject.replace("LATE.API", "$JS.API");
          nats.connection.publish(api, message.data, { reply: message.reply ?? "" });
        },
      });
    }, 120);
    try {
      assert.equal((await pending).name, "S");
      assert.deepEqual(served, ["LATE.API.STREAM.INFO.S"]);
    } finally {
      clearTimeout(timer);
    }
  });
});

test("a stream whose server is down is unavailable, never missing", async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  try {
    await withClient({ servers: cluster.urls }, async (admin) => {
      const manager = await admin.manager();
      await manager.streams.add({ name: "DOWN", subjects: ["down.*"], num_replicas: 1 });
      await manager.streams.add({ name: "UP", subjects: ["up.*"], num_replicas: 3 });
    });
    const holder = await cluster.leaderOf("DOWN");
    const rest = cluster.nodes.filter((node) => node !== holder);
    await cluster.stopNode(holder);
    await cluster.ready();
    await withClient(
      { servers: rest.map(({ url }) => url), requestTimeoutMs: 15_000 },
      async (client) => {
        const core = coreOf(client);
        const streams = createStreams(core);
        const unavailable = { code: "jetstream_unavailable" };
        await waitUntil(
          async () => (await Array.fromAsync(streams.names({ subject: "down.1" }))).length,
          {
            what: "the rest has a leader",
          },
        );
        assert.equal(await streams.find("elsewhere"), undefined);
        await assert.rejects(streams.find("down.1"), unavailable);
        await waitUntil(() => streams.info("UP"), { what: "the other stream has a leader" });
        const seen: string[] = [];
        const list = async () => {
          for await (const { name } of streams.list()) seen.push(name);
        };
        await assert.rejects(list(), (error: Error) => {
          assert.deepEqual(seen, ["UP"]);
          assert.match(error.message, /DOWN/);
          return isJsflowError(error, "jetstream_unavailable");
        });
        const Down = subject("down.1", json<number>());
        await assert.rejects(publishToStream(core, Down, 1, { autoCreate: true }), unavailable);
      },
    );
  } finally {
    await cluster.close();
  }
});

test("misuse is refused before any I/O", async () => {
  await withStreams(async (streams, nats) => {
    await nats.connection.close();
    for (const name of ["", "a.b", "a b", "*", ">", "a/b", 5, undefined]) {
      const bad = name as string;
      await assert.rejects(streams.info(bad), TypeError);
      await assert.rejects(streams.delete(bad), TypeError);
      await assert.rejects(streams.purge(bad), TypeError);
    }
    await assert.rejects(streams.find("a..b"), TypeError);
    assert.throws(() => streams.list({ subject: "a b" }), TypeError);
    assert.throws(() => streams.names({ nope: 1 } as object), TypeError);
    await assert.rejects(streams.purge("S", { keep: 1, upToSequence: 2 }), TypeError);
    for (const keep of [-1, 1.5, NaN]) {
      await assert.rejects(streams.purge("S", { keep }), RangeError);
    }
    await assert.rejects(streams.purge("S", { upToSequence: 0 }), RangeError);
    for (const timeoutMs of [0, -1, NaN, 2 ** 31]) {
      await assert.rejects(streams.info("S", { timeoutMs }), RangeError);
    }
  });
});
