/** What {@link connectDefaults} holds. */
export interface ConnectDefaults {
  /** The server: `127.0.0.1:4222`. */
  readonly servers: string;
  /** Milliseconds for connecting, and for each attempt to reconnect: 5 s. */
  readonly timeoutMs: number;
  /** Milliseconds for a request: 5 s. */
  readonly requestTimeoutMs: number;
  /** Milliseconds for work under way to finish on close: 5 s. */
  readonly drainTimeoutMs: number;
  /** Milliseconds between two pings: 10 s. */
  readonly pingIntervalMs: number;
  /** Pings without an answer that are borne: 2, so a dead peer is noticed within 30 s. */
  readonly maxPingsOut: number;
  /** Reconnecting: for ever, with delays that grow from 0.1 s to 5 s and are drawn at random. */
  readonly reconnect: {
    /** How often each server is tried. */
    readonly attempts: number;
    /** The first delay in milliseconds. */
    readonly initialMs: number;
    /** The longest delay in milliseconds. */
    readonly maxMs: number;
    /** What each delay is multiplied by for the next. */
    readonly factor: number;
    /** Whether delays are drawn at random. */
    readonly jitter: boolean;
  };
  /** The breaker: opens after 5 failures, for 1 s at first and 1 min at most. */
  readonly breaker: {
    /** Failures in a row that open it. */
    readonly threshold: number;
    /** How long it is open at first, in milliseconds. */
    readonly initialMs: number;
    /** How long it is open at most, in milliseconds. */
    readonly maxMs: number;
  };
  /** The periodic health check, where it is switched on: every 10 s. */
  readonly health: {
    /** Milliseconds between two checks. */
    readonly intervalMs: number;
  };
  /** The buffer of what waits for the connection, where it is switched on. */
  readonly offline: {
    /** Messages that may wait: 1000. */
    readonly maxMessages: number;
    /** Bytes that may wait: 8 MiB. */
    readonly maxBytes: number;
  };
  /** What is reported: traces and metrics, where somebody collects them. */
  readonly telemetry: {
    /** Whether trace contexts travel in headers and spans are made. */
    readonly tracing: boolean;
    /** Whether metrics are recorded. */
    readonly metrics: boolean;
    /** Whether outgoing messages also get the `X-` headers. */
    readonly xHeaders: boolean;
  };
  /** Where connections without TLS may go: anywhere. */
  readonly plaintext: "allow" | "loopback";
}

/**
 * What `connect` takes for options that are left out. Deeply frozen.
 *
 * The name has no fixed default: it is `jsflow-<host name>`.
 *
 * @example
 * ```ts
 * import { connectDefaults } from "@x/jsflow/client";
 *
 * console.log(connectDefaults.requestTimeoutMs); // 5000
 * console.log(2 * connectDefaults.reconnect.maxMs); // 10000
 * ```
 */
export const connectDefaults: ConnectDefaults = Object.freeze({
  servers: "127.0.0.1:4222",
  timeoutMs: 5_000,
  requestTimeoutMs: 5_000,
  drainTimeoutMs: 5_000,
  pingIntervalMs: 10_000,
  maxPingsOut: 2,
  reconnect: Object.freeze({
    attempts: Infinity,
    initialMs: 100,
    maxMs: 5_000,
    factor: 2,
    jitter: true,
  }),
  breaker: Object.freeze({ threshold: 5, initialMs: 1_000, maxMs: 60_000 }),
  health: Object.freeze({ intervalMs: 10_000 }),
  offline: Object.freeze({ maxMessages: 1_000, maxBytes: 8 * 1024 * 1024 }),
  telemetry: Object.freeze({ tracing: true, metrics: true, xHeaders: false }),
  plaintext: "allow",
});
