import type { BreakerState } from "./breaker.ts";
import type { ConnectionStatus } from "./connection_status.ts";
import type { Health } from "./health.ts";

/** The state of the connection changed. */
export interface StatusEvent {
  /** Tells the kinds of event apart. */
  readonly type: "status";
  /** The state now. */
  readonly status: ConnectionStatus;
  /** The state before. */
  readonly previous: ConnectionStatus;
}

/** A health check found something else than the one before; the round trip alone is no change. */
export interface HealthEvent {
  /** Tells the kinds of event apart. */
  readonly type: "health";
  /** What the check found. */
  readonly health: Health;
}

/** The breaker changed its state. */
export interface BreakerEvent {
  /** Tells the kinds of event apart. */
  readonly type: "breaker";
  /** The state now. */
  readonly state: BreakerState;
  /** Milliseconds until a probe is let through. */
  readonly retryAfterMs: number;
}

/** The client is closed; the last event. */
export interface ClosedEvent {
  /** Tells the kinds of event apart. */
  readonly type: "closed";
  /** Why, when it was not `close`: reconnecting was given up, or the connection closed underneath. */
  readonly cause?: Error | undefined;
}

/** Something failed that no call waits for: a permission is missing, a subscription is too slow. */
export interface ClientErrorEvent {
  /** Tells the kinds of event apart. */
  readonly type: "error";
  /** What failed. */
  readonly error: Error;
}

/** The server says that it is about to stop, or does not answer pings any more. */
export interface ServerEvent {
  /** Tells the kinds of event apart. */
  readonly type: "server";
  /** What happened. */
  readonly what: "lame_duck" | "stale";
  /** The server's address. */
  readonly server: string;
}

/** Something happened to a consumer. */
export interface ConsumerEvent {
  /** Tells the kinds of event apart. */
  readonly type: "consumer";
  /** The stream's name. */
  readonly stream: string;
  /** The consumer's name. */
  readonly consumer: string;
  /** What happened. */
  readonly what:
    | "leader_changed"
    | "lost"
    | "missed_heartbeats"
    | "recovered"
    | "recreated"
    | "stopped";
  /** For people. */
  readonly detail: string;
}

/** Something happened to a subscription. */
export interface SubscriptionEvent {
  /** Tells the kinds of event apart. */
  readonly type: "subscription";
  /** The subject or filter. */
  readonly subject: string;
  /** What happened. */
  readonly what: "ended" | "failed" | "slow";
  /** For people. */
  readonly detail: string;
}

/** What `Client.onEvent` and `Client.events` report, told apart by `type`. */
export type ClientEvent =
  | BreakerEvent
  | ClientErrorEvent
  | ClosedEvent
  | ConsumerEvent
  | HealthEvent
  | ServerEvent
  | StatusEvent
  | SubscriptionEvent;

/** Events one after another; see `Client.events`. */
export interface ClientEvents extends AsyncIterable<ClientEvent> {
  /** How many events were dropped since the reader was too slow: the oldest go first. */
  readonly dropped: number;
}
