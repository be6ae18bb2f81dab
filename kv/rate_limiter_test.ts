import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, systemClock } from "../client/clock.ts";
import { waitUntil } from "../testing/wait_until.ts";
import type { Arrival } from "./_gcra.ts";
import { openSpace } from "./_open_space.ts";
import { spaceOf } from "./_space.ts";
import { SteadyClock } from "./_steady_clock.ts";
import type { Coordination } from "./coordination.ts";
import { rateLimiter, type RateLimiterOptions, type RateVerdict } from "./rate_limiter.ts";
import { coordinationGround, hasCode, patchStore } from "./testdata/coordination_ground.ts";
import { withLostAnswers } from "./testdata/lost_answers.ts";

const withCoordination = coordinationGround({ openSpace, spaceOf });
const START = 1_700_000_000_000;
/** Ten tokens a second, five at once. */
const RULES: RateLimiterOptions = {
  limit: 10,
  periodMs: 1_000,
  burst: 5,
  onUnavailable: "refuse",
  timeoutMs: 10_000,
};

/** A wall clock that stands until it is set; the rest is the system's. */
function wallClock(): Clock & { wall: number; passed: number } {
  return {
    ...systemClock,
    wall: START,
    passed: 0,
    now() {
      return this.wall;
    },
    monotonic() {
      return this.passed;
    },
  };
}

/** Another clock that shows the same. */
function wallClockAt(clock: Clock): Clock {
  return { ...clock, now: () => clock.now(), monotonic: () => clock.monotonic() };
}

function allowed(remaining: number): RateVerdict {
  return { allowed: true, retryAfterMs: 0, remaining, decidedBy: "limit" };
}

function refused(retryAfterMs: number, remaining = 0): RateVerdict {
  return { allowed: false, retryAfterMs, remaining, decidedBy: "limit" };
}

test("a burst is let through, then as much as comes in, for each key alone", async () => {
  const clock = wallClock();
  await withCoordination(async ({ coordination }) => {
    const limiter = rateLimiter(coordination, "api", RULES);
    assert.equal(limiter.name, "api");
    for (let left = 4; left >= 0; left--) assert.deepEqual(await limiter.take("a"), allowed(left));
    assert.deepEqual(await limiter.take("a"), refused(100));
    assert.deepEqual(await limiter.take("b"), allowed(4));
    clock.wall += 99;
    assert.deepEqual(await limiter.take("a"), refused(1));
    clock.wall += 1;
    assert.deepEqual(await limiter.take("a"), allowed(0));
    clock.wall += 250;
    assert.deepEqual(await limiter.take("a", { cost: 3 }), refused(50, 2));
    assert.deepEqual(await limiter.take("a", { cost: 2 }), allowed(0));
    clock.wall += 60_000;
    assert.deepEqual(await limiter.take("a", { cost: 5 }), allowed(0));
  }, { clock });
});

test("many connections share one limit", async () => {
  await withCoordination(async (ground) => {
    const others = await Promise.all(Array.from({ length: 4 }, () => ground.another()));
    const rules = { ...RULES, limit: 30, periodMs: 86_400_000, burst: 30 };
    const verdicts = await Promise.all(others.flatMap((other) => {
      const limiter = rateLimiter(other, "api", rules);
      return Array.from({ length: 15 }, () => limiter.take("a"));
    }));
    assert.equal(verdicts.filter((verdict) => verdict.allowed).length, 30);
    assert.ok(verdicts.every(({ decidedBy }) => decidedBy === "limit"));
  });
});

test("names and keys are told apart, whatever is in them", async () => {
  await withCoordination(async ({ coordination }) => {
    const rules = { ...RULES, burst: 1 };
    const pairs = [["a.b", "c"], ["a", "b.c"], ["a%2Eb", "c"], ["a", "ü/>*"], ["a", "__proto__"]];
    for (const [name, key] of pairs) {
      const limiter = rateLimiter(coordination, name!, rules);
      assert.equal((await limiter.take(key!)).allowed, true);
      assert.equal((await limiter.take(key!)).allowed, false);
    }
  });
});

test("a take whose answer is lost takes its tokens once", async () => {
  await withCoordination(async (ground) => {
    await withLostAnswers(ground, async ({ behind, loseNext, heal }) => {
      loseNext();
      const rules = { ...RULES, periodMs: 86_400_000, timeoutMs: 20_000 };
      const taking = rateLimiter(behind, "api", rules).take("a", { cost: 2 });
      await waitUntil(() => ground.space.store.get("rate.api.a"));
      heal();
      assert.deepEqual(await taking, allowed(3));
      const direct = rateLimiter(ground.coordination, "api", rules);
      assert.equal((await direct.take("a", { cost: 3 })).allowed, true);
    });
  });
});

test("while the server can't be asked, the caller's choice decides", async () => {
  await withCoordination(async (ground) => {
    const choices = ["allow", "refuse"] as const;
    const make = (onUnavailable: "allow" | "refuse") =>
      rateLimiter(ground.coordination, "api", { ...RULES, onUnavailable, timeoutMs: 200 });
    const limiters = choices.map(make);
    await ground.nats.server.kill();
    const [open, closed] = await Promise.all(limiters.map((limiter) => limiter.take("a")));
    const rest = { remaining: 0, decidedBy: "unavailable" };
    assert.deepEqual(open, { allowed: true, retryAfterMs: 0, ...rest });
    assert.deepEqual(closed, { allowed: false, retryAfterMs: 1_000, ...rest });
    const leased = rateLimiter(ground.coordination, "api", {
      ...RULES,
      timeoutMs: 100,
      leaseTokens: 3,
    });
    const line = await Promise.all([leased.take("b"), leased.take("b")]);
    assert.ok(line.every(({ decidedBy }) => decidedBy === "unavailable"), "waiting in line too");
    await ground.nats.server.restart();
    const patient = { timeoutMs: 20_000 };
    await waitUntil(async () => (await limiters[1]!.take("c", patient)).decidedBy === "limit");
  });
});

test("what no waiting mends is an error, whatever the choice", async () => {
  await withCoordination(async (ground) => {
    const limiter = rateLimiter(ground.coordination, "api", { ...RULES, onUnavailable: "allow" });
    await ground.plant("rate.api.bad", { ms: 1 });
    await assert.rejects(limiter.take("bad"), hasCode("invalid_payload"));
    const reason = new Error("enough");
    await assert.rejects(limiter.take("a", { signal: AbortSignal.abort(reason) }), /enough/);
    await (await ground.client.manager()).streams.delete("KV_jsflow_coordination");
    await assert.rejects(limiter.take("a"), hasCode("bucket_not_found"));
    await ground.coordination.close();
    await assert.rejects(limiter.take("a"), hasCode("connection_closed"));
  });
});

test("a caller can leave while it waits", async () => {
  await withCoordination(async (ground) => {
    const limiter = rateLimiter(ground.coordination, "api", { ...RULES, onUnavailable: "allow" });
    await limiter.take("a");
    await ground.nats.server.kill();
    const stop = new AbortController();
    const taking = limiter.take("a", { signal: stop.signal, timeoutMs: 30_000 });
    stop.abort(new Error("enough"));
    await assert.rejects(taking, /enough/);
    await ground.nats.server.restart();
  });
});

test("tokens that were taken ahead are handed out without asking anybody", async () => {
  const clock = wallClock();
  await withCoordination(async (ground) => {
    const { coordination, space } = ground;
    const limiter = rateLimiter(coordination, "api", { ...RULES, leaseTokens: 4 });
    let asked = 0;
    patchStore(space, (store) => ({
      update: (key, fn, options) => {
        asked++;
        return store.update(key, fn, options);
      },
    }));
    const first = await Promise.all([limiter.take("a"), limiter.take("a"), limiter.take("a")]);
    assert.deepEqual(first.map(({ remaining }) => remaining), [4, 2, 1]);
    assert.equal(asked, 1);
    assert.deepEqual(await limiter.take("a", { cost: 2 }), refused(100, 1));
    assert.deepEqual(await limiter.take("a"), allowed(0), "the last one of the four");
    assert.equal(asked, 2);
    assert.deepEqual(await limiter.take("a"), allowed(0), "the last one of the five");
    assert.deepEqual(await limiter.take("a"), refused(100));
    clock.wall += 60_000;
    await limiter.take("a");
    const stored = await space.store.getOrThrow("rate.api.a") as Arrival;
    assert.equal(stored.ms, clock.wall + 400);
    clock.passed += 1_000;
    await limiter.take("a");
    assert.equal(asked, 6, "what was left a period ago is lost");
  }, { clock });
});

test("limiters of one name hand out the same tokens, though each is made for one call", async () => {
  const clock = wallClock();
  await withCoordination(async (ground) => {
    const { client, space } = ground;
    const second = await openSpace(client, undefined, { clock });
    const elsewhere = await openSpace(client, { bucket: "elsewhere" }, { clock });
    const rules = { ...RULES, leaseTokens: 4 };
    let asked = 0;
    for (const one of [space, spaceOf(second)]) {
      patchStore(one, (store) => ({
        update: (key, fn, options) => {
          asked++;
          return store.update(key, fn, options);
        },
      }));
    }
    const take = (coordination: Coordination) => rateLimiter(coordination, "api", rules).take("a");
    const { coordination } = ground;
    const verdicts = await Promise.all([coordination, second, coordination].map(take));
    assert.deepEqual(verdicts.map(({ remaining }) => remaining), [4, 2, 1]);
    assert.equal(asked, 1);
    assert.deepEqual(await take(elsewhere), allowed(4), "another bucket has tokens of its own");
    assert.deepEqual(await rateLimiter(elsewhere, "web", rules).take("a"), allowed(4));
    assert.deepEqual(await take(second), allowed(0), "the last one of the four");
    assert.equal(asked, 1);
    await Promise.all([second.close(), elsewhere.close()]);
  }, { clock });
});

test("a clock that is set back goes on, and nobody is blocked by one that was ahead", async () => {
  const clock = wallClock();
  await withCoordination(async (ground) => {
    const { coordination } = ground;
    const limiter = rateLimiter(coordination, "api", RULES);
    await limiter.take("a", { cost: 5 });
    clock.wall -= 3_600_000;
    clock.passed += 99;
    assert.deepEqual(await limiter.take("a"), refused(1));
    clock.passed += 1;
    assert.deepEqual(await limiter.take("a"), allowed(0));
    const again = rateLimiter(coordination, "api", RULES);
    clock.passed += 50;
    assert.deepEqual(await again.take("a"), refused(50), "another one tells the same time");
    // As another process, which begins by the clock as it is now.
    const restarted = await openSpace(ground.client, undefined, { clock: wallClockAt(clock) });
    const began = rateLimiter(restarted, "api", RULES);
    assert.deepEqual(await began.take("a"), refused(100), "taken for a mistake");
    clock.wall += 100;
    assert.deepEqual(await began.take("a"), allowed(0));
    const trusting = rateLimiter(restarted, "api", { ...RULES, maxClockSkewMs: 2 ** 31 - 1 });
    await ground.plant("rate.api.b", { ms: clock.wall + 3_600_500, part: 0, of: 10 });
    assert.deepEqual(await trusting.take("b"), refused(3_600_100));
    await restarted.close();
  }, { clock });
});

test("a steady clock never runs backwards", () => {
  const clock = { wall: 1_000, passed: 0, now: () => clock.wall, monotonic: () => clock.passed };
  const steady = new SteadyClock(clock);
  const at = (wall: number, passed: number) => {
    Object.assign(clock, { wall, passed });
    return steady.now();
  };
  assert.equal(at(1_010.5, 10), 1_010);
  assert.equal(at(500, 30), 1_030, "set back by half a second: the other clock counts");
  assert.equal(at(520, 50), 1_050);
  assert.equal(at(5_000, 60), 5_000, "set forward");
});

test("misuse is refused", async () => {
  await withCoordination(async ({ coordination }) => {
    const misuse: [object, typeof TypeError | typeof RangeError][] = [
      [{ limit: 0 }, RangeError],
      [{ limit: 1.5 }, RangeError],
      [{ limit: "1" }, TypeError],
      [{ burst: 0 }, RangeError],
      [{ burst: 1_000_001 }, RangeError],
      [{ periodMs: 0.5 }, RangeError],
      [{ periodMs: 2 ** 31 }, RangeError],
      [{ onUnavailable: undefined }, TypeError],
      [{ onUnavailable: "maybe" }, TypeError],
      [{ timeoutMs: 0 }, RangeError],
      [{ leaseTokens: 6 }, RangeError],
      [{ maxClockSkewMs: -1 }, RangeError],
      [{ rate: 1 }, TypeError],
    ];
    for (const [options, type] of misuse) {
      assert.throws(() => rateLimiter(coordination, "api", { ...RULES, ...options }), type);
    }
    assert.throws(() => rateLimiter(coordination, "", RULES), TypeError);
    assert.throws(() => rateLimiter(coordination, "日".repeat(200), RULES), RangeError);
    const long = rateLimiter(coordination, "日".repeat(60), RULES);
    await assert.rejects(long.take("日".repeat(60)), RangeError);
    assert.equal((await long.take("日".repeat(50))).allowed, true);
    assert.throws(() => rateLimiter(coordination, "api", undefined as never), TypeError);
    assert.throws(() => rateLimiter({} as never, "api", RULES), TypeError);
    const limiter = rateLimiter(coordination, "api", RULES);
    await assert.rejects(limiter.take(""), TypeError);
    await assert.rejects(limiter.take("a", { cost: 0 }), RangeError);
    await assert.rejects(limiter.take("a", { cost: 6 }), RangeError);
    await assert.rejects(limiter.take("a", { timeoutMs: 0 }), RangeError);
    await assert.rejects(limiter.take("a", { price: 1 } as never), TypeError);
  });
});
