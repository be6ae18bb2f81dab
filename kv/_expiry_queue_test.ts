import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ExpiryQueue } from "./_expiry_queue.ts";

const times = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 });

function drain(queue: ExpiryQueue): number[] {
  const order: number[] = [];
  while (queue.nextAt !== undefined) {
    assert.equal(queue.nextAt, queue.shift()!.at);
    order.push(queue.nextAt ?? -1);
  }
  return order;
}

test("what expires first comes first, also when some were dropped and others added", () => {
  fc.assert(fc.property(times, times, fc.integer({ min: 1, max: 5 }), (first, second, share) => {
    const queue = new ExpiryQueue();
    let revision = 0;
    const add = (at: number) => queue.add({ at, key: "k", revision: revision++ });
    first.forEach(add);
    queue.retain((due) => due.revision % share === 0);
    const kept = first.filter((_, index) => index % share === 0);
    assert.equal(queue.size, kept.length);
    second.forEach(add);
    const expected = [...kept, ...second].sort((a, b) => a - b);
    assert.deepEqual(drain(queue), expected.length === 0 ? [] : [...expected.slice(1), -1]);
    assert.equal(queue.shift(), undefined);
  }));
});
