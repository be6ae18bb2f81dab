import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { CallBounds } from "./call_options.ts";
import { systemClock } from "./clock.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import { type ServerCapabilities, serverCapabilities } from "./server_capabilities.ts";
import { translateError } from "./translate_error.ts";

/** Milliseconds between attempts while JetStream elects a leader or starts; then it gives up. */
const UNAVAILABLE_DELAYS_MS: readonly number[] = [50, 150, 400, 800];

/**
 * Does something with the stream API that can be repeated without harm; while JetStream is on but
 * does not answer, it is.
 */
export function withStreamApi<T>(
  core: ClientCore,
  what: string,
  bounds: CallBounds,
  work: (manager: JetStreamManager, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return core.guard(
    what,
    { ...bounds, jetstream: true, failOnDisconnect: true },
    async (signal) => {
      await core.manager({ ...bounds, signal });
      const manager = await jetstreamManager(core.connection, {
        apiPrefix: core.jetstream.apiPrefix,
        timeout: bounds.timeoutMs,
        checkAPI: false,
      });
      for (let attempt = 0;; attempt++) {
        try {
          return await work(manager, signal);
        } catch (error) {
          const translated = unavailable(translateError(error, what), what);
          const delayMs = UNAVAILABLE_DELAYS_MS[attempt];
          const isPassing = isJsflowError(translated, "jetstream_unavailable");
          if (!isPassing || delayMs === undefined || signal.aborted) throw translated;
          await systemClock.sleep(delayMs, signal);
        }
      }
    },
  );
}

/** That nobody answers on the API means the same as when its answer says so. */
function unavailable(error: Error, what: string): Error {
  if (!isJsflowError(error, "no_responders")) return error;
  return new JsflowError(
    "jetstream_unavailable",
    `cannot ${what}: JetStream does not answer now; try again, and check the server's health`,
    { cause: error.cause },
  );
}

/** What the server that is connected now can do. */
export function serverOf(core: ClientCore): ServerCapabilities {
  return serverCapabilities(core.connection.info?.version ?? "unknown");
}

/** The number that the JetStream API gave an error, as the error itself or its cause. */
export function apiCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === "number" ? code : apiCodeOf(error.cause);
}
