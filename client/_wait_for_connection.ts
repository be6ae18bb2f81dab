import type { Core } from "./_client_core.ts";
import type { CallBounds } from "./call_options.ts";
import { ConnectionTimeoutError } from "./connection_errors.ts";
import { withDeadline } from "./deadline.ts";
import { JsflowError } from "./errors.ts";

/** Resolves when the core is connected, rejects when it never will be again. */
export async function awaitConnection(
  core: Core,
  options: CallBounds,
): Promise<void> {
  const { signal, timeoutMs } = options;
  const onTimeout = () =>
    new ConnectionTimeoutError(
      `cannot wait for the connection: the client is still ${core.status} after ${timeoutMs} ms; ` +
        "check that a server runs and that the client was started",
      timeoutMs,
    );
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => {
    const { status } = core;
    if (status === "connected") resolve();
    else if (status === "draining" || status === "closed") reject(closedError(status));
  };
  const unlisten = core.hub.listen(look);
  try {
    look();
    await withDeadline({ signal, timeoutMs, onTimeout }, () => promise);
  } finally {
    promise.catch(() => {}); // an aborted signal leaves it to nobody
    unlisten();
  }
}

function closedError(status: string): JsflowError {
  return new JsflowError(
    "connection_closed",
    `cannot wait for the connection: the client is ${status}; connect again`,
  );
}
