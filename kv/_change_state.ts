import { isJsflowError } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import type { Bounds } from "./_bucket.ts";
import { isPassing } from "./_passing_error.ts";
import type { Space } from "./_space.ts";
import type { Updated, Updater } from "./store.ts";

/** A change of a key's state. */
export interface StateChange {
  readonly key: string;
  /** As for `Store.update`. Must do no harm when its change is in the state already. */
  readonly fn: Updater<unknown>;
  /** Called when nobody can tell whether an attempt has changed the state, before the next one. */
  readonly onDoubt?: (() => void) | undefined;
}

/** Pauses after conflicts: time is the bound, since every conflict is somebody's success. */
export const AFTER_CONFLICT: RetryPolicy = { attempts: Infinity, initialMs: 5, maxMs: 250 };
/** Pauses after failures. */
const PAUSES = { attempts: Infinity, initialMs: 20, maxMs: 500 } as const;

/**
 * Changes a key's state, and goes on trying for as long as there is time. What `fn` throws ends it.
 *
 * @throws {JsflowError} `outcome_unknown` when the state may have been changed. Any other error but
 * an abort says that it was not, unless there was a doubt before.
 */
export async function changeState(
  { clock, random, store, timeoutMs: callMs }: Space,
  { key, fn, onDoubt }: StateChange,
  { signal, timeoutMs }: Bounds,
): Promise<Updated<unknown>> {
  const endsAt = clock.monotonic() + timeoutMs;
  const leftMs = () => Math.max(1, endsAt - clock.monotonic());
  let doubt: unknown;
  let thrown: unknown;
  const noting: Updater<unknown> = async (value, choices) => {
    try {
      return await fn(value, choices);
    } catch (error) {
      thrown = error;
      throw error;
    }
  };
  for (let failures = 1;; failures++) {
    try {
      // One call does not wait for ever for an answer that is lost.
      const bounds = { signal, timeoutMs: Math.min(leftMs(), callMs), retry: AFTER_CONFLICT };
      return await store.update(key, noting, bounds);
    } catch (error) {
      signal?.throwIfAborted();
      if (error === thrown) throw error;
      if (isJsflowError(error, "outcome_unknown")) {
        doubt = error;
        onDoubt?.();
      }
      const pauseMs = retryDelayMs(PAUSES, failures, random) ?? 0;
      if (!isPassing(error) || leftMs() <= pauseMs) throw doubt ?? error;
      await clock.sleep(pauseMs, signal);
    }
  }
}
