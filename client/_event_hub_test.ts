import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { EventHub, MAX_WAITING_EVENTS } from "./_event_hub.ts";
import type { ClientEvent } from "./client_event.ts";

function event(detail: string): ClientEvent {
  return { type: "subscription", subject: "x", what: "slow", detail };
}

function detailOf(event: ClientEvent | undefined): string | undefined {
  return event?.type === "subscription" ? event.detail : undefined;
}

test("listeners get events until they are removed; one that throws harms nobody", async () => {
  const hub = new EventHub();
  const seen: string[] = [];
  hub.listen(() => {
    throw new Error("bad listener");
  });
  hub.listen(async () => await Promise.reject(new Error("bad asynchronous listener")));
  const listener = (event: ClientEvent) => void seen.push(detailOf(event) ?? "");
  const first = hub.listen(listener);
  const second = hub.listen(listener);
  hub.emit(event("1"));
  first();
  first();
  hub.emit(event("2"));
  second();
  hub.emit(event("3"));
  await Promise.resolve();
  assert.deepEqual(seen, ["1", "1", "2"]);
  assert.equal(hub.size, 2);
  hub.end();
  assert.equal(hub.size, 0);
});

test("a reader gets events from its call on, and ends with the hub", async () => {
  const hub = new EventHub();
  hub.emit(event("before"));
  const events = hub.read(undefined);
  hub.emit(event("1"));
  hub.emit(event("2"));
  hub.end();
  const seen: string[] = [];
  for await (const each of events) seen.push(detailOf(each) ?? "");
  assert.deepEqual(seen, ["1", "2"]);
  assert.equal(events.dropped, 0);
  for await (const _ of hub.read(undefined)) assert.fail("the hub has ended");
});

test("a reader that waits gets the next event, or the end", async () => {
  const hub = new EventHub();
  const iterator = hub.read(undefined)[Symbol.asyncIterator]();
  const [first, second, third] = [iterator.next(), iterator.next(), iterator.next()];
  hub.emit(event("1"));
  hub.emit(event("2"));
  hub.end();
  assert.equal(detailOf((await first).value), "1");
  assert.equal(detailOf((await second).value), "2");
  assert.equal((await third).done, true);
});

test("the oldest events are dropped and counted when nobody reads", async () => {
  const hub = new EventHub();
  const events = hub.read(undefined);
  for (let i = 0; i < MAX_WAITING_EVENTS + 3; i++) hub.emit(event(`${i}`));
  hub.end();
  const seen: string[] = [];
  for await (const each of events) seen.push(detailOf(each) ?? "");
  assert.equal(seen.length, MAX_WAITING_EVENTS);
  assert.equal(seen[0], "3");
  assert.equal(events.dropped, 3);
});

test("break and throw release a reader", async () => {
  const hub = new EventHub();
  const controller = new AbortController();
  for (const end of ["break", "throw"]) {
    const events = hub.read(controller.signal);
    hub.emit(event("1"));
    try {
      for await (const _ of events) {
        if (end === "break") break;
        throw new Error("enough");
      }
    } catch (error) {
      assert.match(String(error), /enough/);
    }
    assert.equal(hub.size, 0);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  }
});

test("an abort ends a reader with the reason, while it waits and before", async () => {
  const hub = new EventHub();
  const controller = new AbortController();
  const iterator = hub.read(controller.signal)[Symbol.asyncIterator]();
  const waiting = iterator.next();
  const reason = new Error("not needed");
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(iterator.next(), reason);
  assert.equal(hub.size, 0);
  const late = hub.read(controller.signal)[Symbol.asyncIterator]();
  await assert.rejects(late.next(), reason);
  assert.equal(hub.size, 0);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("a listener that is added by a listener gets the next event, one that is removed none", () => {
  const hub = new EventHub();
  const seen: string[] = [];
  const add = (name: string): () => void =>
    hub.listen((event) => {
      seen.push(`${name}${detailOf(event)}`);
      if (seen.length < 100) add(`${name}+`);
      removeLast();
    });
  add("a");
  const removeLast = hub.listen(() => void seen.push("removed"));
  hub.emit(event("1"));
  assert.deepEqual(seen, ["a1"]);
  hub.emit(event("2"));
  assert.deepEqual(seen, ["a1", "a2", "a+2"]);
});
