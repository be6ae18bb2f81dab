import assert from "node:assert/strict";
import { test } from "node:test";
import { waitUntil } from "../testing/wait_until.ts";
import { MAX_LOGGED_WRITERS } from "./_applied_log.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import type { MetricsSnapshot } from "./metric.ts";
import { metricsBoard } from "./metrics_board.ts";
import { coordinationGround, hasCode, patchStore } from "./testdata/coordination_ground.ts";
import { loseOutcome, withLostAnswers } from "./testdata/lost_answers.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });
/** Nothing is stored unless the test says so. */
const MANUAL = { flushMs: 600_000 };
const LONG = { timeoutMs: 60_000 };

/** In short: `orders{region=eu} 3`. */
function brief({ metrics }: MetricsSnapshot): string[] {
  return metrics.map(({ name, labels, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}=${text}`);
    return `${name}{${pairs}} ${value}`;
  });
}

test("counters add up and gauges are set, by labels in any order", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const board = metricsBoard(coordination, "x", MANUAL);
    const other = metricsBoard(await ground.another(), "x", MANUAL);
    assert.equal(board.name, "x");
    assert.deepEqual(await board.read(), { metrics: [], revision: 0 });
    board.count("orders", { labels: { region: "eu", kind: "web" } });
    board.count("orders", { labels: { kind: "web", region: "eu" }, amount: 2.5 });
    board.count("orders");
    board.gauge("depth", 5);
    board.gauge("depth", 3);
    await board.flush();
    other.count("orders", { amount: 10 });
    other.gauge("depth", -7);
    other.gauge("orders", 1);
    await other.flush();
    assert.deepEqual((await board.read()).metrics, [
      { name: "depth", kind: "gauge", labels: {}, value: -7 },
      { name: "orders", kind: "counter", labels: { kind: "web", region: "eu" }, value: 3.5 },
      { name: "orders", kind: "counter", labels: {}, value: 11 },
      { name: "orders", kind: "gauge", labels: {}, value: 1 },
    ]);
    await Promise.all([board.close(), other.close()]);
    assert.equal(board.dropped + other.dropped, 0);
  });
});

test("labels are texts, whatever they look like", async () => {
  await withCoordination(async ({ coordination }) => {
    const board = metricsBoard(coordination, "x", MANUAL);
    const labels = JSON.parse(`{"__proto__": "a", "": "b", "constructor": "[,\\""}`);
    assert.throws(() => board.count("n", { labels }), TypeError, "an empty name");
    delete labels[""];
    board.count("n", { labels });
    board.count("n", { labels });
    await board.flush();
    const [metric] = (await board.read()).metrics;
    assert.equal(metric?.value, 2);
    assert.deepEqual(Object.entries(metric!.labels), Object.entries(labels).sort());
    await board.close();
  });
});

test("what was collected is stored at intervals, as one change, and at the end", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    let updates = 0;
    patchStore(space, (store) => ({
      update: (key, fn, options) => {
        updates++;
        return store.update(key, fn, options);
      },
    }));
    const board = metricsBoard(coordination, "x", { flushMs: 20 });
    for (let count = 0; count < 1_000; count++) board.count(`n${count % 10}`);
    await waitUntil(async () => (await board.read()).metrics.length === 10);
    assert.equal(updates, 1);
    board.count("n0");
    await waitUntil(() => updates === 2);
    board.count("last");
    await board.close();
    await board.close();
    const rest = metricsBoard(coordination, "x", MANUAL);
    const { metrics } = await rest.read();
    assert.deepEqual(metrics.map(({ value }) => value), [1, 101, ...Array(9).fill(100)]);
    board.count("too late");
    assert.equal(board.dropped, 1);
    await assert.rejects(async () => {
      for await (const _ of board.watch()) assert.fail("it is closed");
    }, hasCode("connection_closed"));
  });
});

test("many connections count at once, and nothing is lost", async () => {
  await withCoordination(async (ground) => {
    const others = await Promise.all(Array.from({ length: 5 }, () => ground.another()));
    const boards = others.map((other) => metricsBoard(other, "x", { flushMs: 5 }));
    await Promise.all(boards.map(async (board, index) => {
      for (let round = 0; round < 10; round++) {
        board.count("all");
        board.count("own", { labels: { id: `${index}` } });
        await board.flush(LONG);
      }
      await board.close();
    }));
    const snapshot = await metricsBoard(ground.coordination, "x", MANUAL).read();
    const own = others.map((_, index) => `own{id=${index}} 10`);
    assert.deepEqual(brief(snapshot), ["all{} 50", ...own]);
  });
});

test("a batch whose answer is lost counts once", async () => {
  await withCoordination(async (ground) => {
    await withLostAnswers(ground, async ({ behind, loseNext, heal }) => {
      loseNext();
      const board = metricsBoard(behind, "x", MANUAL);
      const direct = metricsBoard(ground.coordination, "x", MANUAL);
      board.count("n", { amount: 5 });
      const flushing = board.flush(LONG);
      await waitUntil(async () => (await direct.read()).revision > 0);
      direct.count("n");
      await direct.flush();
      heal();
      await flushing;
      assert.deepEqual(brief(await direct.read()), ["n{} 6"]);
      await board.close();
      assert.deepEqual(brief(await direct.read()), ["n{} 6"]);
    });
  });
});

for (const isStored of [true, false]) {
  test(`a batch that nobody can tell of is looked for (stored: ${isStored})`, async () => {
    await withCoordination(async (ground) => {
      const other = metricsBoard(await ground.another(), "x", MANUAL);
      const board = metricsBoard(ground.coordination, "x", MANUAL);
      board.count("n", { amount: 5 });
      loseOutcome(ground.space, isStored, async () => {
        other.count("n", { amount: 100 });
        await other.flush();
      });
      await board.flush();
      board.count("n", { amount: 1 });
      await board.flush();
      assert.deepEqual(brief(await other.read()), ["n{} 106"]);
      assert.equal(board.dropped, 0);
    });
  });
}

test("a flush that its caller leaves is found again by the next one", async () => {
  await withCoordination(async (ground) => {
    const board = metricsBoard(ground.coordination, "x", MANUAL);
    const stop = new AbortController();
    let isFirst = true;
    patchStore(ground.space, (store) => ({
      update: async (key, fn, options) => {
        if (!isFirst) return await store.update(key, fn, options);
        isFirst = false;
        await store.update(key, fn, { ...options, signal: undefined });
        stop.abort(new Error("enough"));
        throw stop.signal.reason;
      },
    }));
    board.count("n");
    await assert.rejects(board.flush({ signal: stop.signal }), /enough/);
    board.count("n");
    await board.flush();
    assert.deepEqual(brief(await board.read()), ["n{} 2"]);
  });
});

test("a batch that others may have hidden is dropped, not counted twice", async () => {
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const board = metricsBoard(coordination, "x", MANUAL);
    const log = Array.from({ length: MAX_LOGGED_WRITERS }, (_, index) => [`w${index}`, 1, 0]);
    board.count("n");
    board.count("m");
    loseOutcome(space, true, () => ground.plant("metrics.x", { series: [], log }));
    await board.flush();
    assert.equal(board.dropped, 2);
    board.count("n");
    loseOutcome(space, true, () => space.store.delete("metrics.x"));
    await board.flush();
    assert.equal(board.dropped, 3);
    board.count("n");
    await board.flush();
    assert.deepEqual(brief(await board.read()), ["n{} 1"]);
  });
});

test("there are only so many series, in this process and on the board", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const rules = { ...MANUAL, maxSeries: 3 };
    const board = metricsBoard(coordination, "x", rules);
    for (const name of ["a", "b", "c", "d", "a", "d"]) board.count(name);
    assert.equal(board.dropped, 2);
    await board.flush();
    const other = metricsBoard(await ground.another(), "x", rules);
    for (const name of ["c", "e", "f"]) other.count(name);
    loseOutcome(spaceOf(ground.coordination), true);
    await other.flush();
    assert.equal(other.dropped, 2);
    assert.deepEqual(brief(await board.read()), ["a{} 2", "b{} 1", "c{} 2"]);
  });
});

test("what could not be stored stays collected while the server is away", async () => {
  await withCoordination(async (ground) => {
    const board = metricsBoard(ground.coordination, "x", { flushMs: 20 });
    board.count("n");
    await board.flush();
    await ground.nats.server.kill();
    board.count("n", { amount: 2 });
    await assert.rejects(board.flush({ timeoutMs: 200 }));
    board.count("n", { amount: 4 });
    await ground.nats.server.restart();
    await waitUntil(async () => `${brief(await board.read())}` === "n{} 7");
    await board.close();
    assert.equal(board.dropped, 0);
  });
});

test("closing what can't be stored drops it in time", async () => {
  await withCoordination(async (ground) => {
    const board = metricsBoard(ground.coordination, "x", MANUAL);
    Object.assign(ground.space, { timeoutMs: 200 });
    board.count("n");
    await ground.nats.server.kill();
    await board.close();
    assert.equal(board.dropped, 1);
    await ground.nats.server.restart();
  });
});

test("closing the coordination or the client stores what was collected", async () => {
  await withCoordination(async (ground) => {
    const first = await ground.another();
    const second = await ground.another();
    metricsBoard(first, "x", MANUAL).count("n");
    metricsBoard(second, "x", MANUAL).count("n");
    await first.close();
    await ground.clients[1]!.close();
    const board = metricsBoard(ground.coordination, "x", MANUAL);
    assert.deepEqual(brief(await board.read()), ["n{} 2"]);
  });
});

test("anyone can watch, and leaves no watch behind", async () => {
  await withCoordination(async (ground) => {
    const board = metricsBoard(ground.coordination, "x", MANUAL);
    const viewer = metricsBoard(await ground.another(), "x", MANUAL);
    const seen: string[] = [];
    const watching = (async () => {
      for await (const snapshot of viewer.watch()) {
        seen.push(...brief(snapshot));
        if (seen.length === 2) break;
      }
    })();
    await ground.untilWatches(1);
    for (let count = 1; count <= 2; count++) {
      board.count("n");
      await board.flush();
      await waitUntil(() => seen.length === count);
    }
    await watching;
    assert.deepEqual(seen, ["n{} 1", "n{} 2"]);
    await ground.untilWatches(0);
    const stop = new AbortController();
    const drain = async (signal?: AbortSignal) => {
      for await (const snapshot of viewer.watch({ signal })) seen.push(...brief(snapshot));
    };
    const cancelled = drain(stop.signal);
    const left = drain();
    await waitUntil(() => seen.length === 4);
    stop.abort(new Error("enough"));
    await assert.rejects(cancelled, /enough/);
    await viewer.close();
    await left;
    await ground.untilWatches(0);
    await ground.plant("metrics.x", { series: 1 });
    const again = metricsBoard(ground.coordination, "x", MANUAL);
    await assert.rejects(async () => {
      for await (const _ of again.watch()) assert.fail("it is no board");
    }, hasCode("invalid_payload"));
    await ground.untilWatches(0);
  });
});

test("misuse and foreign states are refused", async () => {
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const board = metricsBoard(coordination, "x", MANUAL);
    const misuse: [() => unknown, typeof TypeError | typeof RangeError][] = [
      [() => metricsBoard(coordination, ""), TypeError],
      [() => metricsBoard({} as never, "x"), TypeError],
      [() => metricsBoard(coordination, "x", { flushMs: 0 }), RangeError],
      [() => metricsBoard(coordination, "x", { maxSeries: 2_001 }), RangeError],
      [() => metricsBoard(coordination, "x", { series: 1 } as never), TypeError],
      [() => board.count(""), TypeError],
      [() => board.count("x".repeat(101)), RangeError],
      [() => board.count("n", { amount: -1 }), RangeError],
      [() => board.count("n", { amount: NaN }), RangeError],
      [() => board.count("n", { amount: "1" as never }), TypeError],
      [() => board.count("n", { by: 1 } as never), TypeError],
      [() => board.count("n", { labels: { a: 1 } as never }), TypeError],
      [() => board.count("n", { labels: [] as never }), TypeError],
      [() => board.gauge("n", Infinity), RangeError],
      [() => board.gauge("n", 2 ** 53), RangeError],
      [() => board.watch({ timeoutMs: 1 } as never), TypeError],
    ];
    for (const [use, type] of misuse) assert.throws(use, type);
    const labels = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`l${index}`, ""]));
    assert.throws(() => board.count("n", { labels }), RangeError);
    await assert.rejects(board.flush({ timeoutMs: 0 }), RangeError);
    await assert.rejects(board.read({ time: 1 } as never), TypeError);
    const bad = [1, { series: [], log: [1] }, { series: [["counter", "n", [], "1"]], log: [] }];
    for (const state of bad) {
      await ground.plant("metrics.x", state);
      board.count("n");
      await assert.rejects(board.flush(), hasCode("invalid_payload"));
      await assert.rejects(board.read(), hasCode("invalid_payload"));
    }
  });
});
