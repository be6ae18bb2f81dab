import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Semaphore } from "./semaphore.ts";

test("admits as many as it has permits, at any time", async () => {
  const semaphore = new Semaphore(3);
  let inside = 0;
  let most = 0;
  await Promise.all(Array.from({ length: 20 }, async (_, index) => {
    await semaphore.acquire();
    most = Math.max(most, ++inside);
    for (let turns = 0; turns <= index % 4; turns++) await turn();
    inside--;
    semaphore.release();
  }));
  assert.equal(most, 3);
});

test("those who wait are admitted in the order in which they came", async () => {
  const semaphore = new Semaphore(1);
  await semaphore.acquire();
  const admitted: number[] = [];
  const all = [0, 1, 2, 3].map(async (index) => {
    await semaphore.acquire();
    admitted.push(index);
    semaphore.release();
  });
  await turn();
  assert.deepEqual(admitted, []);
  semaphore.release();
  await Promise.all(all);
  assert.deepEqual(admitted, [0, 1, 2, 3]);
});

test("a permit that was given back goes to whoever waits, not to who comes later", async () => {
  const semaphore = new Semaphore(1);
  await semaphore.acquire();
  const admitted: string[] = [];
  const enter = async (name: string) => {
    await semaphore.acquire();
    admitted.push(name);
  };
  const first = enter("first");
  semaphore.release();
  const later = enter("later");
  await first;
  await turn();
  assert.deepEqual(admitted, ["first"]);
  semaphore.release();
  await later;
  assert.deepEqual(admitted, ["first", "later"]);
});
