import { readSettings } from "./_stream_fields.ts";
import type { StreamSettings } from "./stream_config.ts";
import type { NativeStreamInfo } from "./stream_native.ts";

/** What the server said about a stream, at one moment. */
export interface StreamInfo {
  /** Its name. */
  readonly name: string;
  /** Its configuration, complete. */
  readonly config: StreamSettings;
  /** When it was created. */
  readonly created: Date;
  /** Messages that it holds. */
  readonly messages: number;
  /** Bytes that its messages take. */
  readonly bytes: number;
  /** The sequence of the first message that it holds. */
  readonly firstSequence: number;
  /** The sequence of the last message that it stored; 0 when there was none. */
  readonly lastSequence: number;
  /** Consumers that it has. */
  readonly consumers: number;
  /** The server's whole answer. */
  readonly native: NativeStreamInfo;
}

/** Turns the server's answer into a {@link StreamInfo}. */
export function readStreamInfo(native: NativeStreamInfo): StreamInfo {
  const { config, created, state } = native;
  return Object.freeze({
    name: config.name,
    config: readSettings(config),
    created: new Date(created as unknown as string),
    messages: state.messages,
    bytes: state.bytes,
    firstSequence: state.first_seq,
    lastSequence: state.last_seq,
    consumers: state.consumer_count,
    native,
  });
}
