import type { JetStreamHealth } from "./health.ts";
import type { NatsConnection } from "./native.ts";

const ACCOUNT_INFO = "$JS.API.INFO";
/** The API's own codes for "switched off": on the server, and for the account. */
const DISABLED_CODES: readonly unknown[] = [10039, 10076];
/** Errors after which nothing is known: the user may not ask, or the answer is not to be read. */
const UNTOLD: readonly string[] = ["PermissionViolationError", "RequestError", "SyntaxError"];

/** What {@link probeJetStream} finds; `unknown` when the user may not ask. */
export type JetStreamFinding = JetStreamHealth | "unknown";

/** Asks JetStream as a whole, by a request that concerns no stream; never rejects. */
export async function probeJetStream(
  connection: NatsConnection,
  timeoutMs: number,
): Promise<JetStreamFinding> {
  try {
    const reply = await connection.request(ACCOUNT_INFO, new Uint8Array(), { timeout: timeoutMs });
    const { error } = reply.json<{ error?: { code?: number; err_code?: number } }>();
    if (error === undefined) return "ok";
    if (DISABLED_CODES.includes(error.err_code)) return "disabled";
    return error.code === 503 ? "unreachable" : "ok";
  } catch (error) {
    return findingOf(error, connection);
  }
}

function findingOf(error: unknown, connection: NatsConnection): JetStreamFinding {
  const names = error instanceof Error
    ? [error.name, error.cause instanceof Error ? error.cause.name : ""]
    : [];
  // No responders at all: it is off, unless the server says that it is on.
  if (names.includes("NoResponders")) {
    return connection.info?.jetstream === true ? "unreachable" : "disabled";
  }
  if (names.includes("TimeoutError") || names.includes("ClosedConnectionError")) {
    return "unreachable";
  }
  return names.some((name) => UNTOLD.includes(name)) ? "unknown" : "unreachable";
}
