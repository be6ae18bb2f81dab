import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { isJsflowError, type JsflowErrorCode } from "../client/errors.ts";
import { withClient } from "../client/testdata/server_ground.ts";
import {
  isConflict,
  KeyExistsError,
  RetriesExhaustedError,
  RevisionConflictError,
} from "./errors.ts";
import type { UpdateChoices } from "./store.ts";
import { openAny, withStore } from "./testdata/store_ground.ts";

const coded = (code: JsflowErrorCode) => (error: unknown) => isJsflowError(error, code);
const plusOne = (value: unknown) => (value as number ?? 0) + 1;

test("an update computes the next value from the current one", async () => {
  await withStore({ history: 5 }, async ({ store }) => {
    const first = await store.update("k", (value, { revision, attempt }) => {
      assert.deepEqual([value, revision, attempt], [undefined, 0, 1]);
      return 1;
    });
    assert.deepEqual(first, { operation: "put", value: 1, revision: first.revision });
    const second = await store.update("k", (value, { revision }) => {
      assert.deepEqual([value, revision], [1, first.revision]);
      return Promise.resolve(2);
    });
    assert.equal(await store.get("k"), 2);
    const kept = await store.update("k", (_value, { keep }) => keep);
    assert.deepEqual(kept, { operation: "keep", value: 2, revision: second.revision });
    const removed = await store.update("k", (_value, { remove }) => remove);
    assert.deepEqual([removed.operation, removed.value], ["delete", undefined]);
    assert.equal((await store.entry("k"))?.revision, removed.revision);
    const nothing = await store.update("k", (_value, { remove }) => remove);
    assert.deepEqual(nothing, {
      operation: "keep",
      value: undefined,
      revision: removed.revision,
    });
    const never = await store.update("none", (_value, { keep }) => keep);
    assert.deepEqual(never, { operation: "keep", value: undefined, revision: 0 });
    await store.update("k", plusOne);
    assert.equal(await store.get("k"), 1, "it begins anew");
    assert.equal((await store.history("k")).length, 4);
  });
});

test("many who count lose nothing", async () => {
  await withStore({}, async ({ store, client, server }) => {
    const same = await openAny(client);
    await withClient({ servers: server.url }, async (another) => {
      const others = [await openAny(another), await openAny(another)];
      const stores = [store, same, ...others];
      const retry = { attempts: 1_000, initialMs: 1, maxMs: 20 };
      const updates = Array.from(
        { length: 200 },
        (_, n) => stores[n % 4]!.update("n", plusOne, { retry, timeoutMs: 60_000 }),
      );
      const revisions = (await Promise.all(updates)).map(({ revision }) => revision);
      assert.equal(await store.get("n"), 200);
      assert.equal(new Set(revisions).size, 200);
    });
  });
});

test("local callers queue instead of fighting", async () => {
  await withStore({ history: 64 }, async ({ store, client }) => {
    const same = await openAny(client, { history: 64 });
    let attempts = 0;
    const count = (value: unknown, choices: UpdateChoices) => {
      attempts += choices.attempt;
      return plusOne(value);
    };
    const stores = [store, same];
    await Promise.all(Array.from({ length: 50 }, (_, n) => stores[n % 2]!.update("n", count)));
    assert.equal(await store.get("n"), 50);
    assert.equal(attempts, 50, "nobody had to try again");
    const values = (await store.history("n")).map(({ value }) => value);
    assert.deepEqual(values, Array.from({ length: 50 }, (_, n) => n + 1));
  });
});

test("one who waits builds on what the one before wrote, unless another came in between", async () => {
  await withStore({}, async ({ store, client, server }) => {
    await withClient({ servers: server.url }, async (another) => {
      const other = await openAny(another);
      const seen: unknown[] = [];
      const first = store.update("k", async (value) => {
        await other.put("x", 1);
        return plusOne(value);
      });
      const second = store.update("k", async (value, { attempt }) => {
        seen.push([value, attempt]);
        if (attempt === 1) await other.update("k", (theirs) => (theirs as number) + 10);
        return (value as number) + 100;
      });
      await Promise.all([first, second]);
      assert.deepEqual(seen, [[1, 1], [11, 2]]);
      assert.equal(await store.get("k"), 111);
      // What was written after the call before must be seen by the call after.
      await other.put("k", 5);
      const kept = await store.update("k", (_value, { keep }) => keep);
      assert.equal(kept.value, 5);
    });
    assert.equal(client.status, "connected");
  });
});

test("conflicts are met again until the policy says that it is enough", async () => {
  await withStore({}, async ({ store, server }) => {
    await withClient({ servers: server.url }, async (another) => {
      const other = await openAny(another);
      const attempts: number[] = [];
      const lose = async (value: unknown, { attempt }: UpdateChoices) => {
        attempts.push(attempt);
        await other.put("k", attempt);
        return value ?? 0;
      };
      const exhausted = (error: unknown) =>
        isConflict(error) && error instanceof RetriesExhaustedError &&
        error.key === "k" && error.attempts === 3;
      await assert.rejects(store.update("k", lose, { retry: { delaysMs: [1, 1] } }), exhausted);
      assert.deepEqual(attempts, [1, 2, 3]);
      const backoff = { attempts: 3, initialMs: 1 };
      await assert.rejects(store.update("k", lose, { retry: backoff }), exhausted);
      await assert.rejects(store.update("k", lose, { retry: { attempts: 1 } }), isConflict);
      assert.equal(await store.get("k"), 1);
      const patient = { retry: { attempts: Infinity, initialMs: 1 }, timeoutMs: 300 };
      // Where the time ends in the middle of a write, nobody knows what became of it.
      const ended = (error: unknown) =>
        isJsflowError(error, "timeout") || isJsflowError(error, "outcome_unknown");
      await assert.rejects(store.update("k", lose, patient), ended);
    });
  });
});

test("what the function does wrong is the caller's to know, and nothing is written", async () => {
  await withStore({}, async ({ store }) => {
    const failure = new Error("mine");
    await assert.rejects(
      store.update("k", () => {
        throw failure;
      }),
      (error) => error === failure,
    );
    await assert.rejects(store.update("k", () => Promise.reject(failure)), (e) => e === failure);
    await assert.rejects(store.update("k", () => undefined), TypeError);
    await assert.rejects(store.update("k", () => Symbol("keep")), TypeError);
    assert.equal(await store.entry("k"), undefined);
    await store.update("k", plusOne, { timeoutMs: 10_000 });
    assert.equal(await store.get("k"), 1, "the queue goes on");
  });
});

test("a conflict that the function itself meets is not taken for the update's own", async () => {
  await withStore({}, async ({ store }) => {
    await store.put("other", 1);
    let calls = 0;
    const update = store.update("k", async () => {
      calls++;
      await store.create("other", 2);
      return 1;
    });
    await assert.rejects(
      update,
      (error) => error instanceof KeyExistsError && error.key === "other",
    );
    const late = store.update("k", async () => {
      calls++;
      await store.updateAt("other", 2, { revision: 1_000 });
      return 1;
    });
    await assert.rejects(
      late,
      (error) => error instanceof RevisionConflictError && error.key === "other",
    );
    assert.equal(calls, 2, "it was not tried again");
  });
});

test("a function that never ends does not stop the key for ever", async () => {
  await withStore({}, async ({ store }) => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const { signal } = controller;
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const hanging = store.update("k", () => {
      begin();
      return new Promise<never>(() => {});
    }, { signal });
    const waiting = store.update("k", plusOne, { signal });
    const late = assert.rejects(store.update("k", plusOne, { timeoutMs: 1 }), coded("timeout"));
    const next = store.update("k", plusOne, { timeoutMs: 20_000 });
    await begun;
    await late;
    controller.abort(reason);
    await assert.rejects(hanging, (error) => error === reason);
    await assert.rejects(waiting, (error) => error === reason);
    assert.equal((await next).value, 1);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const slow = store.update("k", () => new Promise<never>(() => {}), { timeoutMs: 50 });
    await assert.rejects(slow, coded("timeout"));
    assert.equal((await store.update("k", plusOne)).value, 2);
  });
});
