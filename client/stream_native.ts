// The stream types of the native client that stand in this library's signatures. `@ignore` keeps
// the documentation check from walking into its package.
import type * as js from "@nats-io/jetstream";

/**
 * The configuration of a stream as the server stores it.
 *
 * @ignore
 */
export type NativeStreamConfig = js.StreamConfig;

/**
 * What the server says about a stream.
 *
 * @ignore
 */
export type NativeStreamInfo = js.StreamInfo;
