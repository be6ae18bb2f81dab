import { JsflowError } from "./errors.ts";

/** Thrown when something needs the connection while there is none: code `not_connected`. */
export class NotConnectedError extends JsflowError {
  /** Builds the error; `what` completes "cannot …". */
  constructor(what: string, advice: string) {
    super("not_connected", `cannot ${what}: ${advice}`);
    this.name = "NotConnectedError";
  }
}

/** Thrown when connecting, or waiting for the connection, took too long: `connection_timeout`. */
export class ConnectionTimeoutError extends JsflowError {
  /** How long was waited, in milliseconds. */
  readonly timeoutMs: number;

  /** Builds the error from its whole message. */
  constructor(message: string, timeoutMs: number) {
    super("connection_timeout", message);
    this.name = "ConnectionTimeoutError";
    this.timeoutMs = timeoutMs;
  }
}

/** Thrown while the breaker is open: code `circuit_open`. */
export class CircuitOpenError extends JsflowError {
  /** Milliseconds until the breaker lets a probe through. */
  readonly retryAfterMs: number;

  /** Builds the error; `what` completes "cannot …". */
  constructor(what: string, retryAfterMs: number) {
    super(
      "circuit_open",
      `cannot ${what}: the breaker is open after repeated failures of the connection; ` +
        `it lets a probe through in ${Math.ceil(retryAfterMs)} ms`,
    );
    this.name = "CircuitOpenError";
    this.retryAfterMs = retryAfterMs;
  }
}
