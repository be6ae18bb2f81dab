import { parseConnectOptions } from "./_connect_settings.ts";
import { NatsClient } from "./_nats_client.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect_options.ts";

/**
 * Makes a client that is not connected yet, for whoever wants to own it before it works: a
 * container, a module, a test. Does no I/O.
 *
 * `client.start()` connects, `client.stop()` closes; both may be called more than once. Until then
 * everything that needs the connection fails with `NotConnectedError`. A client that was closed
 * stays closed.
 *
 * @throws {TypeError} or {RangeError} for options that make no sense.
 *
 * @example
 * ```ts
 * import { createClient } from "@x/jsflow/client";
 *
 * const client = createClient({ servers: "127.0.0.1:4222", timeoutMs: 2_000 });
 * console.log(client.status); // "disconnected"
 *
 * async function main(): Promise<void> {
 *   await client.start();
 *   await client.stop();
 * }
 * console.log(main);
 * ```
 */
export function createClient(options?: ConnectOptions): Client {
  return new NatsClient(parseConnectOptions(options), "owned");
}
