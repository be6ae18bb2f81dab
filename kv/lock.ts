import { checkFunction, checkOptions } from "../client/validate.ts";
import { acquire, tryAcquire } from "./_contend.ts";
import { createLockContender } from "./_lock_contender.ts";
import { checkLimits, spaceOf } from "./_space.ts";
import type { Coordination } from "./coordination.ts";
import type { Lease } from "./lease.ts";

/** How a lock is acquired. */
export interface LockOptions {
  /**
   * Milliseconds without a sign of life after which others may take the lock, at least 100. It is
   * renewed each third of that; what takes longer than that to reach the server loses the lock.
   * @default 15000
   */
  readonly leaseMs?: number | undefined;
  /**
   * Milliseconds to wait for the lock; for {@link tryLock}, which does not wait for it, those of the
   * whole call.
   * @default until the signal aborts; for tryLock the coordination's timeoutMs, 5000
   */
  readonly timeoutMs?: number | undefined;
  /** Gives up with the signal's reason when it aborts; has no say once the lock is held. */
  readonly signal?: AbortSignal | undefined;
}

/** How {@link withLock} acquires its lock. */
export interface WithLockOptions extends LockOptions {
  /**
   * The lock's name: any text of up to 200 characters, and of about a kilobyte, where letters,
   * digits and `_ - / .` take one byte each, others three for each byte of their UTF-8.
   */
  readonly name: string;
}

/** A lock that is held. */
export type Lock = Lease;

/**
 * Waits for a lock and takes it.
 *
 * Callers of one process get it in the order in which they came; between processes there is no
 * order. It is free once its holder releases it, or was not heard of for its lease and a tenth of
 * it: counted by the contender's own clock, so that clocks need not agree. The token is larger than
 * all before it under this name, for as long as the bucket's data is not lost.
 *
 * Cancelled, it leaves nothing behind; when the server can't be reached at that moment, the lock
 * may look taken until its lease is over.
 *
 * @throws {JsflowError} `timeout` when it was not free in time; `connection_closed` when the
 * coordination or the client is closed; `bucket_not_found`, `permission_denied`.
 * @throws {TypeError | RangeError} for a name or options that make no sense.
 * @throws the signal's reason when it aborts.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { lock, openCoordination } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   const coordination = await openCoordination(client);
 *   const held = await lock(coordination, "ledger", { leaseMs: 10_000, timeoutMs: 30_000 });
 *   try {
 *     await fetch("http://127.0.0.1:8080/book", {
 *       method: "POST",
 *       headers: { "fencing-token": `${held.token}` }, // to be compared by the other side
 *       signal: held.signal,
 *     });
 *   } finally {
 *     await held.release();
 *   }
 *   await client.close();
 * }
 * console.log(main);
 * ```
 */
export async function lock(
  coordination: Coordination,
  name: string,
  options?: LockOptions,
): Promise<Lock> {
  const space = spaceOf(coordination);
  const limits = checkLimits("lock", options, ["leaseMs"]);
  return await acquire(
    space,
    createLockContender(space, { kind: "lock", name, leaseMs: options?.leaseMs }),
    limits,
  );
}

/**
 * Takes a lock if that is possible at once.
 *
 * Calls one after the other replace a dead holder too: what counts is for how long this
 * coordination has known it without a sign of life. `timeoutMs` bounds the call itself, and is the
 * coordination's unless it is given.
 *
 * @returns undefined when somebody else holds it.
 * @throws as {@link lock} does, and `not_connected` or another code when the server can't be asked.
 */
export async function tryLock(
  coordination: Coordination,
  name: string,
  options?: LockOptions,
): Promise<Lock | undefined> {
  const space = spaceOf(coordination);
  const limits = checkLimits("tryLock", options, ["leaseMs"]);
  return await tryAcquire(
    space,
    createLockContender(space, { kind: "lock", name, leaseMs: options?.leaseMs }),
    limits,
  );
}

/**
 * Waits for a lock, runs a function under it, and releases it.
 *
 * @returns what the function returns.
 * @throws what the function throws; else {@link JsflowError} `lease_lost` when the lock was lost
 * while it ran, and as {@link lock} and `release` do.
 *
 * @example
 * ```ts
 * import { type Coordination, withLock } from "@x/jsflow/kv";
 *
 * async function report(coordination: Coordination): Promise<string> {
 *   return await withLock(coordination, { name: "report" }, async ({ token, signal }) => {
 *     signal.throwIfAborted();
 *     return await Promise.resolve(`report ${token}`);
 *   });
 * }
 * console.log(report);
 * ```
 */
export async function withLock<T>(
  coordination: Coordination,
  options: WithLockOptions,
  fn: (lock: Lock) => T | Promise<T>,
): Promise<T> {
  checkFunction("withLock: fn", fn);
  const keys = ["name", "leaseMs", "timeoutMs", "signal"] as const;
  const { name, ...rest } = checkOptions("withLock", options, keys) as WithLockOptions;
  const held = await lock(coordination, name, rest);
  let result: T;
  try {
    result = await fn(held);
  } catch (error) {
    await held.release().catch(() => {});
    throw error;
  }
  await held.release();
  return result;
}
