import type { OnDrift } from "../client/ensure_stream.ts";
import type { StreamStorage } from "../client/stream_config.ts";

/** The bucket that a coordination uses unless it is told another. */
export const DEFAULT_COORDINATION_BUCKET = "jsflow_coordination" as const;

/** Where locks, elections, semaphores and the like keep their states. */
export interface CoordinationOptions {
  /** Name of the bucket: letters, digits, `_` and `-`. @default "jsflow_coordination" */
  readonly bucket?: string | undefined;
  /** Copies in a cluster, 1 to 5. @default 1 */
  readonly replicas?: number | undefined;
  /**
   * Where the bucket is kept. In memory, a restart of the server loses who holds what, and tokens
   * begin again.
   * @default "file"
   */
  readonly storage?: StreamStorage | undefined;
  /** Milliseconds that one call to the server takes at most. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /**
   * Whether the bucket may be replicated on a server older than 2.11, on which two contenders can
   * win one lock. @default false
   */
  readonly allowUnsafeCas?: boolean | undefined;
  /** What happens when the bucket exists with another configuration. @default "fail" */
  readonly onDrift?: OnDrift | undefined;
  /** Gives up opening with the signal's reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A bucket in which processes coordinate: what locks, elections, semaphores, groups, barriers,
 * counters and limits are opened in.
 *
 * All who coordinate must use the same bucket. Closing ends every wait, resigns leaderships, and
 * gives back what is still held once its signal has aborted; the client stays. When the client
 * closes first, holders have its grace to give back what they hold.
 */
export interface Coordination extends AsyncDisposable {
  /** Name of the bucket. */
  readonly bucket: string;
  /** Ends waits, gives back what is held. Idempotent. */
  close(): Promise<void>;
}
