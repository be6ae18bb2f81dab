import { NatsClient } from "./_nats_client.ts";
import type { Client } from "./client.ts";
import type { NatsConnection } from "./native.ts";
import { describe } from "./validate.ts";

/**
 * Makes a client of a connection that the caller opened, with any transport.
 *
 * The connection stays the caller's: closing the client never closes it. No request is made.
 *
 * @throws {TypeError} when `connection` is not a NATS connection.
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
// deno-lint-ignore require-await -- so that misuse rejects instead of throwing
export async function fromConnection(connection: NatsConnection): Promise<Client> {
  const candidate: Partial<NatsConnection> | null | undefined = connection;
  const usable = typeof candidate?.isClosed === "function" &&
    typeof candidate.status === "function" && typeof candidate.publish === "function";
  if (!usable) {
    throw new TypeError(`fromConnection needs a NATS connection, got ${describe(connection)}`);
  }
  return new NatsClient(connection, "borrowed");
}
