// Types of other libraries in this folder's signatures; `@ignore` keeps the documentation check
// from walking into their packages.
import type * as js from "@nats-io/jetstream";
import type * as kv from "@nats-io/kv";

/**
 * A native key-value bucket.
 *
 * @ignore
 */
export type KV = kv.KV;

/**
 * A native stream description.
 *
 * @ignore
 */
export type StreamInfo = js.StreamInfo;
