// Types of other libraries in this folder's signatures; `@ignore` keeps the documentation check
// from walking into their packages.
import type * as kv from "@nats-io/kv";

/**
 * A bucket of the native client.
 *
 * @ignore
 */
export type KV = kv.KV;
