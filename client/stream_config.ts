import type { NativeStreamConfig } from "./stream_native.ts";
import type { SubjectFilter } from "./subject_filter.ts";

/** Where a stream keeps its messages. */
export type StreamStorage = "file" | "memory";

/**
 * When a stream drops messages: by its limits alone, once every consumer has acknowledged them
 * (`interest`), or once one has (`workqueue`).
 */
export type StreamRetention = "limits" | "interest" | "workqueue";

/**
 * How a stream is to be stored.
 *
 * Durations are milliseconds and sizes bytes; `Infinity` stands for no bound. What is left out is
 * up to the server when the stream is created, with the defaults named here, and is not compared
 * when it exists.
 */
export interface StreamConfig {
  /** Its name: up to 255 characters without whitespace, `.`, `*`, `>`, `/` and `\`. */
  readonly name: string;
  /**
   * The subjects whose messages it captures, as texts or described subjects; they must not overlap.
   * Needed unless `native` names a mirror or sources.
   */
  readonly subjects?: readonly SubjectFilter[] | undefined;
  /** A text for people. @default "" */
  readonly description?: string | undefined;
  /** Where messages are kept; can't be changed later. @default "file" */
  readonly storage?: StreamStorage | undefined;
  /** When messages are dropped. @default "limits" */
  readonly retention?: StreamRetention | undefined;
  /** Milliseconds after which a message is dropped, at least 100. @default Infinity */
  readonly maxAgeMs?: number | undefined;
  /** Bytes that the stream holds at most. @default Infinity */
  readonly maxBytes?: number | undefined;
  /** Messages that the stream holds at most. @default Infinity */
  readonly maxMessages?: number | undefined;
  /** Messages of one subject that the stream holds at most. @default Infinity */
  readonly maxMessagesPerSubject?: number | undefined;
  /** Bytes of the largest message, headers included, that it takes. @default Infinity */
  readonly maxMessageBytes?: number | undefined;
  /** Consumers that it can have at most; can't be changed later. @default Infinity */
  readonly maxConsumers?: number | undefined;
  /** Copies in a cluster, 1 to 5. @default 1 */
  readonly replicas?: number | undefined;
  /**
   * Milliseconds in which a second message with the same id is dropped: at least 100, and no more
   * than `maxAgeMs`.
   * @default 120000, or `maxAgeMs` when that is less
   */
  readonly duplicateWindowMs?: number | undefined;
  /** What gives way when the stream is full: old messages, or the new one. @default "old" */
  readonly discard?: "old" | "new" | undefined;
  /** Whether every replica, not the leader alone, answers reads of single messages. @default false */
  readonly allowDirect?: boolean | undefined;
  /** Whether a message may replace those before it, by a header. @default false */
  readonly allowRollup?: boolean | undefined;
  /** Whether messages can have a lifetime of their own; needs nats-server 2.11. @default false */
  readonly allowMessageTtl?: boolean | undefined;
  /** Whether deleting single messages is refused; can't be taken back. @default false */
  readonly denyDelete?: boolean | undefined;
  /** Whether purging is refused; can't be taken back. @default false */
  readonly denyPurge?: boolean | undefined;
  /** How stored messages are compressed; `s2` needs nats-server 2.10. @default "none" */
  readonly compression?: "none" | "s2" | undefined;
  /** Texts for programs, by name; needs nats-server 2.10. @default {} */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Native settings that have no field above, such as `mirror` or `placement`. @default {} */
  readonly native?: Readonly<Partial<NativeStreamConfig>> | undefined;
}

/** A stream's configuration as the server has it, complete. */
export type StreamSettings =
  & {
    readonly [K in keyof Omit<StreamConfig, "native" | "subjects">]-?: NonNullable<StreamConfig[K]>;
  }
  & {
    /** The subjects that it captures. */
    readonly subjects: readonly string[];
  };
