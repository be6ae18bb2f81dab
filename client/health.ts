import type { Breaker, Failure } from "./breaker.ts";
import type { ConnectionStatus } from "./connection_status.ts";

/**
 * Whether JetStream answers: `disabled` when it is switched off on the server or for the account,
 * `unreachable` when it does not answer, or there is no connection.
 */
export type JetStreamHealth = "disabled" | "ok" | "unreachable";

/** What a health check found. */
export interface Health {
  /**
   * Whether the client is connected, the server answers, and JetStream answers unless it is
   * switched off.
   */
  readonly ok: boolean;
  /** The state of the connection. */
  readonly status: ConnectionStatus;
  /** The round trip to the server in milliseconds; undefined when it did not answer. */
  readonly rttMs: number | undefined;
  /** Whether JetStream answers. */
  readonly jetstream: JetStreamHealth;
  /** The version of the server, such as "2.15.2"; undefined without a connection. */
  readonly serverVersion: string | undefined;
  /** Failures in a row up to now. */
  readonly failures: number;
  /** How often the connection came back since the client was started. */
  readonly reconnects: number;
  /** The last failure of the connection or of JetStream as a whole. */
  readonly lastFailure?: Failure | undefined;
  /** The breaker. */
  readonly breaker: Breaker;
}
