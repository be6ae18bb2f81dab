import { parseConnectOptions } from "./_connect_settings.ts";
import { isUp } from "./_link.ts";
import { NatsClient } from "./_nats_client.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { JsflowError } from "./errors.ts";
import type { NatsConnection } from "./native.ts";
import { checkOptions, describe } from "./validate.ts";

/** Options of {@link fromConnection}: those of `connect` that do not concern the connection. */
export type FromConnectionOptions = Pick<
  ConnectOptions,
  | "breaker"
  | "drainTimeoutMs"
  | "health"
  | "name"
  | "offline"
  | "requestTimeoutMs"
  | "telemetry"
  | "timeoutMs"
>;

const KEYS: readonly (keyof FromConnectionOptions)[] = [
  "breaker",
  "drainTimeoutMs",
  "health",
  "name",
  "offline",
  "requestTimeoutMs",
  "telemetry",
  "timeoutMs",
];

/**
 * Makes a client of a connection that the caller opened, with any transport.
 *
 * The connection stays the caller's: closing the client never closes it. No request is made.
 *
 * @throws {TypeError} when `connection` is not a NATS connection, or for an unknown option.
 * @throws {JsflowError} `connection_closed` when it is closed or draining, `not_connected` while it
 * reconnects, `server_too_old` below nats-server 2.9.
 *
 * @example
 * ```ts
 * import { fromConnection, type NatsConnection } from "@x/jsflow/client";
 *
 * async function versionOf(connection: NatsConnection): Promise<string> {
 *   const client = await fromConnection(connection);
 *   try {
 *     return client.server.version;
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(versionOf);
 * ```
 */
export async function fromConnection(
  connection: NatsConnection,
  options?: FromConnectionOptions,
): Promise<Client> {
  const candidate: Partial<NatsConnection> | null | undefined = connection;
  const usable = typeof candidate?.isClosed === "function" &&
    typeof candidate.status === "function" && typeof candidate.publish === "function";
  if (!usable) {
    throw new TypeError(`fromConnection needs a NATS connection, got ${describe(connection)}`);
  }
  const given = checkOptions<FromConnectionOptions>("fromConnection", options, KEYS);
  const settings = parseConnectOptions(given);
  requireOpen(connection);
  const client = new NatsClient(
    { ...settings, servers: { addresses: serverOf(connection) } },
    "borrowed",
  );
  try {
    await client.attach(connection);
    return client;
  } catch (error) {
    await client.close(); // the connection stays as it is
    throw error;
  }
}

function requireOpen(connection: NatsConnection): void {
  if (connection.isClosed() || connection.isDraining()) {
    throw new JsflowError(
      "connection_closed",
      "cannot use the connection: it is closed or draining; open another one",
    );
  }
  // The last server's information stays until the next one is dialled.
  if (connection.info === undefined || !isUp(connection)) {
    throw new JsflowError(
      "not_connected",
      "cannot use the connection: it is reconnecting; wait until it is back",
    );
  }
}

/** The server that it is connected to now: `host:port`, with any transport. */
function serverOf(connection: NatsConnection): { host: string; port: number; listen: string }[] {
  const listen = connection.getServer();
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon).replace(/^\[|\]$/g, "");
  const port = Number(listen.slice(colon + 1));
  return colon > 0 && Number.isInteger(port) ? [{ host, port, listen }] : [];
}
