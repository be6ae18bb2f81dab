import type { Client } from "../client/client.ts";
import { coreOf } from "../client/core.ts";
import { checkStoreOptions } from "./_check_store.ts";
import { ensureBucket, refuseUnsafeCas } from "./_ensure_bucket.ts";
import { timeLeft } from "./_time_left.ts";
import { escapedKeyNames } from "./_key_names.ts";
import { makeStore } from "./_make_store.ts";
import type { Store } from "./store.ts";
import type { StoreOptions } from "./store_options.ts";

/**
 * Opens a store: creates the bucket, or checks the one that exists. Idempotent: callers that race
 * all succeed.
 *
 * Only what the options name is compared with a bucket that exists, so that those of the `nats`
 * tool and of other clients can be opened. Any string is a key; keys that other clients can write
 * are stored as they are, except that `=` is escaped.
 *
 * @throws {TypeError | RangeError} for options that make no sense, before any I/O
 * @throws {JsflowError} `config_drift` with the differences when the bucket exists and is stored in
 * another way; `unsafe_cas` when it is replicated on a server older than 2.11; `unsupported` when
 * the server lacks a feature; `permission_denied`, `timeout`, `not_connected`,
 * `jetstream_disabled`, `jetstream_unavailable`
 * @throws the signal's reason when it aborts
 *
 * @example
 * ```ts
 * import { connect, json } from "@x/jsflow/client";
 * import { openStore } from "@x/jsflow/kv";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   const carts = await openStore(client, { bucket: "carts", codec: json<{ n: number }>() });
 *   const { value } = await carts.update("c1", (cart) => ({ n: (cart?.n ?? 0) + 1 }));
 *   console.log(value, await carts.get("c1"));
 *   await carts.close();
 *   await client.close();
 * }
 * console.log(main);
 * ```
 */
export async function openStore<T>(client: Client, options: StoreOptions<T>): Promise<Store<T>> {
  const core = coreOf(client);
  const { settings, wanted } = checkStoreOptions<T>("openStore", options);
  const { bucket: name, replicas = 1 } = wanted;
  const left = timeLeft({ signal: options.signal, timeoutMs: settings.timeoutMs });
  await core.ready(`open bucket ${name}`, left());
  refuseUnsafeCas(core, { name, replicas }, settings.allowUnsafeCas);
  const info = await ensureBucket(core, wanted, left);
  return makeStore(core, { name, info, keys: escapedKeyNames }, settings);
}
