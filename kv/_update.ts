import type { Clock } from "../client/clock.ts";
import type { Codec } from "../client/codec.ts";
import { timeoutError, withDeadline } from "../client/deadline.ts";
import { isJsflowError, type JsflowError } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import { describe } from "../client/validate.ts";
import type { Bounds, Bucket } from "./_bucket.ts";
import { decodeValue, encodeValue } from "./_value_codec.ts";
import { queuesOf, type Turn } from "./_key_queue.ts";
import { RetriesExhaustedError } from "./errors.ts";
import type { UpdateChoices, Updated, Updater } from "./store.ts";

const EMPTY = new Uint8Array(0);
/** What an update returns to leave the key as it is. */
const KEEP: symbol = Symbol("keep");
/** What an update returns to delete the key. */
const REMOVE: symbol = Symbol("remove");

/** One update, checked. */
export interface UpdateCall<T> extends Bounds {
  readonly key: string;
  /** How the key stands in the bucket. */
  readonly name: string;
  readonly fn: Updater<T>;
  readonly retry: RetryPolicy;
  readonly ttlMs: number | undefined;
}

/** What updates of a store share. */
export interface UpdateGround<T> {
  readonly bucket: Bucket;
  readonly codec: Codec<T>;
  readonly maxValueBytes: number;
  readonly clock: Clock;
  readonly random: () => number;
}

/** A key's last revision, as far as an update needs it. */
interface Current {
  readonly revision: number;
  /** Undefined when there is no value. */
  readonly bytes: Uint8Array | undefined;
}

/** As `Store.update` says. */
export async function runUpdate<T>(
  ground: UpdateGround<T>,
  call: UpdateCall<T>,
): Promise<Updated<T>> {
  const { bucket, clock } = ground;
  const what = `update ${JSON.stringify(call.key).slice(0, 80)} of bucket ${bucket.name}`;
  const onTimeout = () => timeoutError(what, call.timeoutMs);
  const endsAt = clock.monotonic() + call.timeoutMs;
  const left = () => {
    const timeoutMs = endsAt - clock.monotonic();
    if (timeoutMs <= 0) throw onTimeout();
    return { signal: call.signal, timeoutMs };
  };
  const id = `${bucket.stream} ${call.name}`;
  const line = queuesOf<Current>(bucket.core);
  return await line.run(
    id,
    { ...left(), onTimeout },
    (turn) => attemptUntilDone(ground, call, { turn, left, onTimeout }),
  );
}

/** One's turn, and the time that is left. */
interface Pace {
  readonly turn: Turn<Current>;
  /** @throws {JsflowError} `timeout` when none is left */
  left(): Bounds;
  onTimeout(): Error;
}

async function attemptUntilDone<T>(
  ground: UpdateGround<T>,
  call: UpdateCall<T>,
  pace: Pace,
): Promise<Updated<T>> {
  const { bucket, clock, random } = ground;
  let current = pace.turn.inherited;
  for (let attempt = 1;; attempt++) {
    if (current === undefined) {
      pace.turn.begin();
      // After a conflict, a server that lags behind would show the same again.
      const entry = await (attempt === 1
        ? bucket.last(call.name, pace.left())
        : bucket.lastAtLeader(call.name, pace.left()));
      current = {
        revision: entry?.revision ?? 0,
        bytes: entry?.operation === "put" ? entry.bytes : undefined,
      };
    }
    const done = await attemptOnce(ground, call, { ...pace, current, attempt });
    if (!("conflict" in done)) return done;
    const pauseMs = retryDelayMs(call.retry, attempt, random);
    if (pauseMs === undefined) {
      const details = { key: call.key, attempts: attempt };
      throw new RetriesExhaustedError(bucket.name, details, { cause: done.conflict });
    }
    await clock.sleep(Math.min(pauseMs, pace.left().timeoutMs), call.signal);
    current = undefined;
  }
}

/** Somebody else came first. Apart from errors, since the function may throw such a one itself. */
interface Conflict {
  readonly conflict: JsflowError;
}

async function attemptOnce<T>(
  ground: UpdateGround<T>,
  call: UpdateCall<T>,
  state: Pace & { readonly current: Current; readonly attempt: number },
): Promise<Updated<T> | Conflict> {
  const { bucket, codec, maxValueBytes } = ground;
  const { current, attempt, turn } = state;
  const { key, name, ttlMs } = call;
  const { revision } = current;
  const place = { bucket: bucket.name, key, maxValueBytes };
  const value = current.bytes && decodeValue(codec, current.bytes, place);
  const choices: UpdateChoices = { keep: KEEP, remove: REMOVE, revision, attempt };
  const deadline = { ...state.left(), onTimeout: state.onTimeout };
  const next = await withDeadline(deadline, async () => await call.fn(value, choices));
  if (next === KEEP || (next === REMOVE && current.bytes === undefined)) {
    turn.leave(current);
    return { operation: "keep", value, revision };
  }
  const isRemoval = next === REMOVE;
  const bytes = isRemoval ? EMPTY : encodeValue(codec, checkNext<T>(next), place);
  const operation = isRemoval ? "delete" : "put";
  turn.begin();
  const write = { name, bytes, operation, expected: revision, ttlMs } as const;
  let written: number;
  try {
    written = await bucket.write(write, state.left());
  } catch (error) {
    if (isJsflowError(error, "revision_conflict")) return { conflict: error };
    throw error;
  }
  if (ttlMs === undefined) {
    turn.leave({ revision: written, bytes: isRemoval ? undefined : bytes });
  }
  return { operation, value: isRemoval ? undefined : next as T, revision: written };
}

function checkNext<T>(next: T | symbol): T {
  if (next !== undefined && typeof next !== "symbol") return next;
  throw new TypeError(
    `update: the function must return a value, keep or remove, got ${describe(next)}`,
  );
}
