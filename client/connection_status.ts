/**
 * The state of a client's connection.
 *
 * - `disconnected`: not started yet, or the start has failed; `start` may be called.
 * - `connecting`: `start` is under way.
 * - `connected` and `reconnecting` alternate while the client lives.
 * - `draining` and then `closed` are final.
 *
 * What the breaker says is apart from this: see `Client.breaker`.
 */
export type ConnectionStatus =
  | "closed"
  | "connected"
  | "connecting"
  | "disconnected"
  | "draining"
  | "reconnecting";

/** What happens to a connection: the input of {@link nextStatus}. */
export type ConnectionStep = "close" | "drain" | "fail" | "lose" | "start" | "succeed";

/** For each state the steps that lead elsewhere; all others leave it as it is. */
const TRANSITIONS: Readonly<
  Record<ConnectionStatus, Readonly<Partial<Record<ConnectionStep, ConnectionStatus>>>>
> = {
  disconnected: { start: "connecting", succeed: "connected", drain: "draining", close: "closed" },
  connecting: { succeed: "connected", fail: "disconnected", drain: "draining", close: "closed" },
  connected: { lose: "reconnecting", drain: "draining", close: "closed" },
  reconnecting: { succeed: "connected", drain: "draining", close: "closed" },
  draining: { close: "closed" },
  closed: {},
};

/** Returns the state that a step leads to; a step that means nothing in a state changes nothing. */
export function nextStatus(status: ConnectionStatus, step: ConnectionStep): ConnectionStatus {
  return TRANSITIONS[status][step] ?? status;
}
