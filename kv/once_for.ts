import { checkWait, type WaitBounds } from "../client/call_options.ts";
import { isJsflowError, JsflowError } from "../client/errors.ts";
import { checkBoolean, checkDurationMs, checkFunction, checkObject } from "../client/validate.ts";
import { changeState } from "./_change_state.ts";
import { acquire } from "./_contend.ts";
import { DEFAULT_LEASE_MS, MIN_LEASE_MS } from "./_lease.ts";
import { OnceContender, SettledBefore } from "./_once_contender.ts";
import { failureOf, type OnceOutcome, readOnce } from "./_once_state.ts";
import { isPassing } from "./_passing_error.ts";
import { checkLimits, type Space, spaceOf, type WaitLimits } from "./_space.ts";
import { timeLeft } from "./_time_left.ts";
import type { Coordination } from "./coordination.ts";
import type { Lease } from "./lease.ts";

/** What is run once, and how long others wait for it. */
export interface OnceOptions {
  /**
   * What names it, such as a request's idempotency key: any text of up to 200 characters, and of
   * about a kilobyte, where letters, digits and `_ - / .` take one byte each, others three for each
   * byte of their UTF-8.
   */
  readonly name: string;
  /**
   * Milliseconds without a sign of life after which another caller runs it instead, at least 100.
   * @default 15000
   */
  readonly leaseMs?: number | undefined;
  /**
   * Whether a failure of the function is stored as its outcome; otherwise the next one runs it again.
   * @default false
   */
  readonly storeFailures?: boolean | undefined;
  /** Milliseconds to wait for one's turn or the outcome, in all. @default until the signal aborts */
  readonly timeoutMs?: number | undefined;
  /** Gives up with the signal's reason when it aborts; has no say once the function runs. */
  readonly signal?: AbortSignal | undefined;
}

/** One run of a function that is to run once. */
export interface OnceRun {
  /** Larger than those of all runs before under this name; give it to what the function changes. */
  readonly token: number;
  /** Aborts with a JsflowError `lease_lost` when another caller may run it by now. */
  readonly signal: AbortSignal;
}

/**
 * Runs a function once for a name, across processes, and returns its outcome to all who ask.
 *
 * The first one runs it; who comes meanwhile waits, and who comes later gets what is stored. The
 * stored outcome is committed once and never changes. The function itself may run more than once:
 * when the process that ran it crashed or was cut off for longer than its lease, another caller runs
 * it again, with a larger token. So what it changes elsewhere should compare tokens.
 *
 * The outcome is stored as JSON, of up to a megabyte, until {@link forgetOnce}. Who ran it gets what
 * the function returned, others what JSON made of it; nothing checks that it is a `T`.
 *
 * @throws what the function throws, where it ran; {@link JsflowError} `remote_error` with the name
 * and text of a failure that was stored.
 * @throws {JsflowError} `lease_lost` when it ran here, was lost to another caller, and no outcome is
 * stored yet; `encode_failed` or `payload_too_large` when the outcome can't be stored, and `timeout`
 * or `outcome_unknown` when it could not be: another call runs it again then. `timeout` when the
 * wait took too long; `connection_closed`, `bucket_not_found`, `permission_denied`.
 * @throws {TypeError | RangeError} for options that make no sense.
 * @throws the signal's reason when it aborts before the function runs.
 *
 * @example
 * ```ts
 * import { type Coordination, onceFor } from "@x/jsflow/kv";
 *
 * async function charge(coordination: Coordination, orderId: string): Promise<string> {
 *   const options = { name: `charge-${orderId}`, timeoutMs: 30_000 };
 *   return await onceFor(coordination, options, async ({ token, signal }) => {
 *     const body = JSON.stringify({ orderId, token });
 *     const answer = await fetch("http://127.0.0.1:8080/charge", { method: "POST", body, signal });
 *     return await answer.text();
 *   });
 * }
 * console.log(charge);
 * ```
 */
export async function onceFor<T>(
  coordination: Coordination,
  options: OnceOptions,
  fn: (run: OnceRun) => T | Promise<T>,
): Promise<T> {
  const space = spaceOf(coordination);
  checkFunction("onceFor: fn", fn);
  const call = checkOnce(space, options);
  const left = limitsLeft(space, call.limits);
  const outcome = await stored(space, call);
  if (outcome !== undefined) return open<T>(call, outcome);
  const contender = new OnceContender(space, call.key, call);
  let lease: Lease;
  try {
    lease = await acquire(space, contender, left());
  } catch (error) {
    if (error instanceof SettledBefore) return open<T>(call, error.outcome);
    throw error;
  }
  return await new Run<T>(space, { call, contender, lease }).run(fn);
}

/**
 * Forgets what is stored under a name, so that the next call of {@link onceFor} runs its function;
 * tokens go on rising. Leaves a run that is under way alone.
 *
 * @returns whether there was something to forget.
 * @throws {JsflowError} `timeout` and others when the server can't be asked.
 * @throws the signal's reason when it aborts.
 */
export async function forgetOnce(
  coordination: Coordination,
  name: string,
  options?: WaitBounds,
): Promise<boolean> {
  const space = spaceOf(coordination);
  const key = space.keyOf("once", name);
  const { signal, timeoutMs } = checkWait("forgetOnce", options, space.timeoutMs);
  let isStored = false;
  await changeState(space, {
    key,
    fn: (value, { keep, remove, revision }) => {
      const isThere = readOnce(key, { value, revision }).outcome !== undefined;
      isStored ||= isThere; // a second look may come after a removal whose answer was lost
      return isThere ? remove : keep;
    },
  }, { signal, timeoutMs });
  return isStored;
}

/** A call, checked. */
interface OnceCall {
  readonly name: string;
  readonly key: string;
  readonly what: string;
  readonly leaseMs: number;
  readonly isOwned: boolean;
  readonly storeFailures: boolean;
  readonly limits: WaitLimits;
}

function checkOnce(space: Space, options: OnceOptions): OnceCall {
  checkObject("onceFor options", options);
  const limits = checkLimits("onceFor", options, ["name", "leaseMs", "storeFailures"]);
  const { name, leaseMs = DEFAULT_LEASE_MS, storeFailures = false } = options;
  return {
    name,
    key: space.keyOf("once", name),
    what: `the run of ${JSON.stringify(name)}`,
    leaseMs: checkDurationMs("leaseMs", leaseMs, { min: MIN_LEASE_MS }),
    isOwned: false,
    storeFailures: checkBoolean("onceFor: storeFailures", storeFailures),
    limits,
  };
}

/** Returns what is left of the limits, each time that it is called: reading and waiting share them. */
function limitsLeft({ clock }: Space, { signal, timeoutMs }: WaitLimits): () => WaitLimits {
  if (timeoutMs === undefined) return () => ({ signal });
  const left = timeLeft({ signal, timeoutMs }, clock);
  return () => ({ ...left(), promisedMs: timeoutMs });
}

/** The outcome, if it can be read at once; waiting is up to those who contend. */
async function stored(space: Space, { key, limits }: OnceCall): Promise<OnceOutcome | undefined> {
  const { signal, timeoutMs = space.timeoutMs } = limits;
  const bounds = { signal, timeoutMs: Math.min(timeoutMs, space.timeoutMs) };
  try {
    const entry = await space.store.entry(key, bounds);
    return readOnce(key, { value: entry?.value, revision: entry?.revision ?? 0 }).outcome;
  } catch (error) {
    signal?.throwIfAborted();
    if (isPassing(error)) return undefined;
    throw error;
  }
}

function open<T>({ name }: OnceCall, outcome: OnceOutcome): T {
  if (outcome.kind === "value") return outcome.value as T;
  throw new JsflowError(
    "remote_error",
    `cannot get what came of ${JSON.stringify(name)}: its run failed with ${outcome.name}: ` +
      `${outcome.message}; that is stored, forget it to run it again`,
  );
}

/** A run, from the moment when its lease is held. */
class Run<T> {
  readonly #space: Space;
  readonly #call: OnceCall;
  readonly #contender: OnceContender;
  readonly #lease: Lease;

  constructor(
    space: Space,
    { call, contender, lease }: {
      readonly call: OnceCall;
      readonly contender: OnceContender;
      readonly lease: Lease;
    },
  ) {
    this.#space = space;
    this.#call = call;
    this.#contender = contender;
    this.#lease = lease;
  }

  async run(fn: (run: OnceRun) => T | Promise<T>): Promise<T> {
    const lease = this.#lease;
    let value: T;
    try {
      value = await fn({
        token: lease.token,
        get signal() {
          return lease.signal;
        },
      });
    } catch (error) {
      const outcome = this.#call.storeFailures ? failureOf(error) : undefined;
      await this.#commit(outcome).catch(() => {});
      throw error;
    }
    try {
      await this.#commit({ kind: "value", value });
      return value;
    } catch (error) {
      return await this.#instead(value, error);
    }
  }

  /** Gives the lease back, and stores the outcome with that. */
  async #commit(outcome: OnceOutcome | undefined): Promise<void> {
    this.#contender.outcome = outcome;
    const timeoutMs = Math.max(this.#space.timeoutMs, this.#call.leaseMs);
    await this.#lease.release({ timeoutMs });
  }

  /** What counts when the outcome could not be committed as usual. */
  async #instead(value: T, error: unknown): Promise<T> {
    if (isJsflowError(error, "lease_lost")) {
      // Lost by the clock alone, while nobody else has taken it.
      if (await this.#contender.isStored) return value;
      const reading = stored(this.#space, { ...this.#call, limits: {} });
      const outcome = await reading.catch(() => undefined);
      if (outcome !== undefined) return open<T>(this.#call, outcome);
    } else if (!isPassing(error)) {
      // It can't be stored: others need not wait for the lease.
      await this.#commit(undefined).catch(() => {});
    }
    throw error;
  }
}
