import { JsflowError } from "./errors.ts";

/** A message waited for room until its time was over. */
export function noRoomError(name: string, timeoutMs: number): JsflowError {
  return new JsflowError(
    "timeout",
    `cannot publish to ${name}: no room in flight within ${timeoutMs} ms, so nothing was sent; ` +
      "check the server's load, raise maxMessages and maxBytes, or wait longer",
  );
}

/** Too much waits for room. */
export function tooManyError(name: string, waiting: number): JsflowError {
  return new JsflowError(
    "buffer_full",
    `cannot publish to ${name}: ${waiting} messages wait for room already; wait for earlier ones, ` +
      "or raise maxWaitingBytes",
  );
}

/** The server says that nobody took the message. */
export function noAnswerError(name: string): JsflowError {
  return new JsflowError("no_responders", `cannot publish to ${name}: nobody answers; try again`);
}

/** The connection has ended underneath. */
export function closedError(name: string): JsflowError {
  return new JsflowError(
    "connection_closed",
    `cannot publish to ${name}: the connection is closed; open another one`,
  );
}

/** The publisher takes nothing new. */
export function stoppedError(name: string): JsflowError {
  return new JsflowError(
    "connection_closed",
    `cannot publish to ${name}: the publisher is closed; create another one`,
  );
}
