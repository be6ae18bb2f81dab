import type { Client } from "../client/client.ts";
import { openSpace } from "./_open_space.ts";
import type { Coordination, CoordinationOptions } from "./coordination.ts";

/**
 * Opens the bucket in which processes coordinate, and creates it when it is missing.
 *
 * Idempotent, and safe to call from many processes at once.
 *
 * @throws {JsflowError} `unsafe_cas` when the bucket is replicated on a server older than 2.11;
 * `config_drift` when it exists with another configuration; `jetstream_disabled`, `timeout` or
 * another code when the server can't be asked.
 * @throws {TypeError | RangeError} for options that make no sense.
 * @throws the signal's reason when it aborts.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { lock, openCoordination } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   const coordination = await openCoordination(client);
 *   const held = await lock(coordination, "nightly-report", { timeoutMs: 10_000 });
 *   console.log(held.token);
 *   await held.release();
 *   await client.close();
 * }
 * console.log(main);
 * ```
 */
export async function openCoordination(
  client: Client,
  options?: CoordinationOptions,
): Promise<Coordination> {
  return await openSpace(client, options);
}
