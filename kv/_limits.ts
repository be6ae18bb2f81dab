import { untilAborted } from "../client/deadline.ts";
import { JsflowError } from "../client/errors.ts";
import type { Space, StateWaitOptions } from "./_space.ts";

/**
 * Runs `work` under one signal that aborts with the caller's signal, after the caller's time, or
 * when the space closes. Rejects as soon as it aborts; `work` may take longer to notice.
 *
 * @throws the caller's reason, a `timeout`, `connection_closed`, or what `work` rejects with.
 */
export async function withLimits<T>(
  space: Pick<Space, "closing" | "inBackground">,
  { signal: outer, timeoutMs, promisedMs = timeoutMs, what }: StateWaitOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer?.throwIfAborted();
  space.closing.throwIfAborted();
  const controller = new AbortController();
  const end = () => controller.abort(outer?.aborted ? outer.reason : space.closing.reason);
  const timer = timeoutMs === undefined
    ? undefined
    : setTimeout(() => controller.abort(tooLate(what, promisedMs)), timeoutMs);
  outer?.addEventListener("abort", end, { once: true });
  space.closing.addEventListener("abort", end, { once: true });
  try {
    const working = work(controller.signal);
    space.inBackground(working);
    return await untilAborted(working, controller.signal);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", end);
    space.closing.removeEventListener("abort", end);
  }
}

function tooLate(what: string, timeoutMs: number | undefined): JsflowError {
  return new JsflowError(
    "timeout",
    `cannot ${what}: that takes longer than ${timeoutMs} ms; raise timeoutMs if it may`,
  );
}
