import { checkWait, type WaitBounds } from "../client/call_options.ts";
import { timeoutError } from "../client/deadline.ts";
import {
  checkDurationMs,
  checkInteger,
  checkObject,
  checkOneOf,
  checkOptions,
} from "../client/validate.ts";
import type { Bounds } from "./_bucket.ts";
import { AFTER_CONFLICT } from "./_change_state.ts";
import { foreignState } from "./_foreign_state.ts";
import { type Arrival, type GcraRules, judge } from "./_gcra.ts";
import { queuesOf } from "./_key_queue.ts";
import { isPassing } from "./_passing_error.ts";
import { keyWithin, type Seen, type Space, spaceOf } from "./_space.ts";
import { type SteadyClock, steadyClockOf } from "./_steady_clock.ts";
import { timeLeft } from "./_time_left.ts";
import { type TokenLeases, tokenLeasesOf } from "./_token_leases.ts";
import type { Coordination } from "./coordination.ts";

/** The most tokens of a limit, and of a burst. */
export const MAX_RATE_TOKENS: number = 1_000_000;

/** How much a rate limiter lets through; all who use it should say the same. */
export interface RateLimiterOptions {
  /** Tokens that come in each period, 1 to 1000000. */
  readonly limit: number;
  /** Milliseconds of a period, a whole number; up to 24 days. */
  readonly periodMs: number;
  /** Tokens that may be taken at once after a pause, 1 to 1000000. @default limit */
  readonly burst?: number | undefined;
  /** What happens while the server can't be asked: everything is let through, or nothing. */
  readonly onUnavailable: "allow" | "refuse";
  /** Milliseconds after which the server counts as unavailable for one call. @default 1000 */
  readonly timeoutMs?: number | undefined;
  /**
   * Tokens that this client takes at once and then hands out by itself, from 1 (none ahead) to
   * `burst`: for keys that are asked for thousands of times a second. What it does not hand out
   * within a period is lost to others.
   * @default 1
   */
  readonly leaseTokens?: number | undefined;
  /**
   * Milliseconds by which clocks are expected to differ at most. A state that lies further ahead is
   * taken for a mistake.
   * @default 60000
   */
  readonly maxClockSkewMs?: number | undefined;
}

/** How tokens are taken. */
export interface TakeOptions extends WaitBounds {
  /** Tokens to take, 1 to `burst`. @default 1 */
  readonly cost?: number | undefined;
}

/** What a rate limiter says. */
export interface RateVerdict {
  /** Whether it may be done. */
  readonly allowed: boolean;
  /**
   * Milliseconds after which the same may be allowed, if nobody else takes tokens; 0 when it is
   * allowed. When the server can't be asked, a guess: 1000.
   */
  readonly retryAfterMs: number;
  /** Whole tokens that were left at that moment, as far as is known here. */
  readonly remaining: number;
  /** Who decided: the limit, or `onUnavailable` because the server could not be asked in time. */
  readonly decidedBy: "limit" | "unavailable";
}

/** Lets so much through and no more, across processes. */
export interface RateLimiter {
  /** Its name. */
  readonly name: string;
  /**
   * Takes tokens if enough are there; never waits for tokens.
   *
   * @param key who or what is limited, each with a limit of its own: any text of up to 200
   * characters, which take up to a kilobyte together with the limiter's name: letters, digits,
   * `_ - / .` one byte each, others three for each byte of their UTF-8.
   * @throws {JsflowError} when asking again makes no sense: `bucket_not_found`,
   * `permission_denied`, `connection_closed`, `invalid_payload`.
   * @throws {TypeError | RangeError} for a key or options that make no sense.
   * @throws the signal's reason when it aborts; tokens may have been taken by then.
   */
  take(key: string, options?: TakeOptions): Promise<RateVerdict>;
}

const NAME = { what: "the name of a rate limiter", prefix: "rate.", escape: withoutDots } as const;
const DEFAULT_TIMEOUT_MS = 1_000;
const DEFAULT_MAX_SKEW_MS = 60_000;
const UNAVAILABLE_RETRY_MS = 1_000;

/**
 * Returns a rate limiter; does no I/O.
 *
 * A bucket of `burst` tokens, full at first, fills evenly with `limit` tokens in each period (the
 * generic cell rate algorithm). In any span of time, at most `burst` tokens are let through, plus
 * those that came in meanwhile. Stored is one point in time for each key.
 *
 * A limiter holds nothing itself, so it may be made for each call or kept: those of one name, made
 * on one client and bucket, hand out the same tokens, and those of a process tell time alike.
 *
 * Time is each process's own wall clock, without its steps back while the process runs. Clocks that
 * differ by d let through, in any span, at most what comes in d more; and who is behind waits up to
 * d longer. That holds for d up to `maxClockSkewMs`. A state further ahead counts as a mistake and
 * as an empty bucket, so nobody is blocked for longer than the bucket takes to fill; while clocks
 * differ by more than that, the limit does not hold.
 *
 * With `leaseTokens` above 1, each client may hand out up to that many tokens less one up to a
 * period after they were counted, for 10000 keys at most; beyond, tokens of the key that was asked
 * for longest ago are lost to all.
 *
 * Of a call whose answer was lost the tokens may be taken twice, never given out twice. What
 * `onUnavailable: "allow"` lets through is not counted. A key that was asked for stays in the
 * bucket, at some hundred bytes.
 *
 * @throws {TypeError | RangeError} for a name or options that make no sense.
 *
 * @example
 * ```ts
 * import { type Coordination, rateLimiter } from "@x/jsflow/kv";
 *
 * async function handle(coordination: Coordination, user: string): Promise<Response> {
 *   const limiter = rateLimiter(coordination, "api", {
 *     limit: 100,
 *     periodMs: 60_000,
 *     burst: 20,
 *     onUnavailable: "allow",
 *   });
 *   const { allowed, retryAfterMs } = await limiter.take(user);
 *   if (allowed) return new Response("welcome");
 *   const headers = { "retry-after": `${Math.ceil(retryAfterMs / 1_000)}` };
 *   return new Response("too many requests", { status: 429, headers });
 * }
 * console.log(handle);
 * ```
 */
export function rateLimiter(
  coordination: Coordination,
  name: string,
  options: RateLimiterOptions,
): RateLimiter {
  const space = spaceOf(coordination);
  const prefix = `${keyWithin(NAME, name)}.`;
  return new OpenRateLimiter(space, { name, prefix }, checkRules(options));
}

/** Options, checked and complete. */
interface Rules extends GcraRules {
  readonly onUnavailable: "allow" | "refuse";
  readonly timeoutMs: number;
  readonly leaseTokens: number;
  readonly maxAheadMs: number;
}

function checkRules(options: RateLimiterOptions): Rules {
  const what = "rateLimiter";
  checkObject(`${what} options`, options);
  checkOptions(what, options, [
    "limit",
    "periodMs",
    "burst",
    "onUnavailable",
    "timeoutMs",
    "leaseTokens",
    "maxClockSkewMs",
  ]);
  const { limit, periodMs, burst = limit, leaseTokens = 1 } = options;
  const { timeoutMs = DEFAULT_TIMEOUT_MS, maxClockSkewMs = DEFAULT_MAX_SKEW_MS } = options;
  checkInteger(`${what}: limit`, limit, { min: 1, max: MAX_RATE_TOKENS });
  checkInteger(`${what}: burst`, burst, { min: 1, max: MAX_RATE_TOKENS });
  checkDurationMs(`${what}: periodMs`, periodMs, { min: 1 });
  return {
    limit,
    burst,
    periodMs: checkInteger(`${what}: periodMs`, periodMs, { min: 1 }),
    onUnavailable: checkOneOf(`${what}: onUnavailable`, options.onUnavailable, [
      "allow",
      "refuse",
    ]),
    timeoutMs: checkDurationMs(`${what}: timeoutMs`, timeoutMs, { min: 1 }),
    leaseTokens: checkInteger(`${what}: leaseTokens`, leaseTokens, { min: 1, max: burst }),
    maxAheadMs: checkDurationMs(`${what}: maxClockSkewMs`, maxClockSkewMs),
  };
}

class OpenRateLimiter implements RateLimiter {
  readonly name: string;
  readonly #space: Space;
  readonly #rules: Rules;
  readonly #prefix: string;
  readonly #clock: SteadyClock;
  readonly #leases: TokenLeases;

  constructor(
    space: Space,
    { name, prefix }: { readonly name: string; readonly prefix: string },
    rules: Rules,
  ) {
    this.name = name;
    this.#space = space;
    this.#rules = rules;
    this.#prefix = prefix;
    this.#clock = steadyClockOf(space.clock);
    this.#leases = tokenLeasesOf(space.core, space.clock);
  }

  async take(key: string, options?: TakeOptions): Promise<RateVerdict> {
    const state = keyWithin({ what: "the key of a rate limiter", prefix: this.#prefix }, key);
    checkOptions<TakeOptions>("take", options, ["cost", "signal", "timeoutMs"]);
    const { cost = 1, signal: given, timeoutMs: givenMs } = options ?? {};
    checkInteger("take: cost", cost, { min: 1, max: this.#rules.burst });
    const wait = { signal: given, timeoutMs: givenMs };
    const { signal, timeoutMs } = checkWait("take", wait, this.#rules.timeoutMs);
    signal?.throwIfAborted();
    try {
      return await this.#takeWithin(state, cost, { signal, timeoutMs });
    } catch (error) {
      signal?.throwIfAborted();
      if (!isPassing(error)) throw error;
      const allowed = this.#rules.onUnavailable === "allow";
      const retryAfterMs = allowed ? 0 : UNAVAILABLE_RETRY_MS;
      return { allowed, retryAfterMs, remaining: 0, decidedBy: "unavailable" };
    }
  }

  async #takeWithin(state: string, cost: number, bounds: Bounds): Promise<RateVerdict> {
    const { leaseTokens } = this.#rules;
    if (leaseTokens === 1) return await this.#ask(state, { cost, wanted: cost }, bounds);
    const what = `take tokens of rate limiter ${JSON.stringify(this.name)}`;
    const leased = this.#takeLeased(state, cost);
    if (leased !== undefined) return leased;
    const left = timeLeft(bounds, this.#space.clock);
    const onTimeout = () => timeoutError(what, bounds.timeoutMs);
    // One after the other: else each of them would take tokens ahead.
    return await queuesOf(this.#space.core).run(
      `leased ${this.#leaseId(state)}`,
      { ...bounds, onTimeout },
      async () => {
        const wanted = Math.max(cost, leaseTokens);
        return this.#takeLeased(state, cost) ?? await this.#ask(state, { cost, wanted }, left());
      },
    );
  }

  /** Buckets of one client may have the same key. */
  #leaseId(state: string): string {
    return `${this.#space.bucket} ${state}`;
  }

  #takeLeased(state: string, cost: number): RateVerdict | undefined {
    const remaining = this.#leases.take(this.#leaseId(state), cost);
    if (remaining === undefined) return undefined;
    return { allowed: true, retryAfterMs: 0, remaining, decidedBy: "limit" };
  }

  /** Takes as many tokens as wanted, or only the cost when there are not so many. */
  async #ask(
    state: string,
    { cost, wanted }: { readonly cost: number; readonly wanted: number },
    bounds: Bounds,
  ): Promise<RateVerdict> {
    const { maxAheadMs } = this.#rules;
    let taken = wanted;
    let verdict: RateVerdict | undefined;
    const fn = (value: unknown, { keep, revision }: { keep: symbol; revision: number }) => {
      const stored = readArrival(state, { value, revision });
      const taking = { now: this.#clock.now(), maxAheadMs };
      const ask = (tokens: number) => judge(stored, this.#rules, { ...taking, cost: tokens });
      let judged = ask(taken = wanted);
      if (!judged.isAllowed && wanted > cost) judged = ask(taken = cost);
      const { isAllowed, retryAfterMs, remaining, next } = judged;
      verdict = { allowed: isAllowed, retryAfterMs, remaining, decidedBy: "limit" };
      return next ?? keep;
    };
    await this.#space.store.update(state, fn, { ...bounds, retry: AFTER_CONFLICT });
    const { remaining, ...rest } = verdict!;
    if (!rest.allowed || taken === cost) return { ...rest, remaining };
    const ahead = { count: taken - cost, lastingMs: this.#rules.periodMs };
    return { ...rest, remaining: remaining + this.#leases.add(this.#leaseId(state), ahead) };
  }
}

/** Names keep no dots, so that no name and key look like another name and key. */
function withoutDots(name: string): string {
  return name.replaceAll("%", "%25").replaceAll(".", "%2E");
}

function readArrival(key: string, seen: Seen): Arrival | undefined {
  if (seen.value === undefined) return undefined;
  const { ms, part, of } = (seen.value ?? {}) as Partial<Arrival>;
  const isArrival = Number.isSafeInteger(ms) && Number.isSafeInteger(part) &&
    Number.isSafeInteger(of) && part! >= 0 && of! > part!;
  if (isArrival) return { ms: ms!, part: part!, of: of! };
  throw foreignState(key, seen, "a rate limiter");
}
