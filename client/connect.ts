import { parseConnectOptions } from "./_connect_settings.ts";
import { NatsClient } from "./_nats_client.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect_options.ts";

export type { ConnectOptions, NativeOptions } from "./connect_options.ts";

/**
 * Connects to NATS.
 *
 * Fails fast when no server can be reached at first. Once connected, a lost connection is
 * reconnected for ever, with delays that grow from 0.1 to 5 seconds and jitter, also while the
 * server rejects the credentials; the option `reconnect` changes that. JetStream is not touched
 * until something needs it. No message of any error holds a password or token.
 *
 * Needs network access to the servers and no other permission.
 *
 * @throws {TypeError} or {RangeError} for options that make no sense, before any I/O.
 * @throws {JsflowError} `connection_refused` when nothing listens or a name does not resolve,
 * `connection_timeout` (a `ConnectionTimeoutError` when the time is up) when nothing answers in time
 * or what answers is no NATS server, `authorization` when the credentials are wrong or missing,
 * `server_too_old` below nats-server 2.9.
 * @throws the signal's reason when it aborts; nothing stays open.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "nats://127.0.0.1:4222", timeoutMs: 2_000 });
 *   try {
 *     console.log(client.server.version, client.status);
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export async function connect(options?: ConnectOptions): Promise<Client> {
  const settings = parseConnectOptions(options);
  settings.signal?.throwIfAborted();
  const client = new NatsClient(settings, "owned");
  try {
    await client.start({ signal: settings.signal });
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}
