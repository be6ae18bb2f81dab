import type { Verdict } from "./_circuit.ts";
import { JsflowError, type JsflowErrorCode } from "./errors.ts";

/** Faults of the connection itself; that there is none was counted when it was lost. */
const CONNECTION: readonly JsflowErrorCode[] = [
  "connection_closed",
  "connection_refused",
  "connection_timeout",
];
/** Errors that the server, or somebody behind it, has answered: everything works. */
const ANSWERED: readonly JsflowErrorCode[] = [
  "config_drift",
  "consumer_not_found",
  "jetstream_disabled",
  "message_not_found",
  "no_responders",
  "remote_error",
  "sequence_conflict",
  "stream_not_found",
];

/**
 * What an error says about the connection and JetStream; `suspect` when JetStream must be asked: a
 * stream without a leader, or one that is not there, looks the same as JetStream without an answer.
 *
 * All other errors say nothing: they are about arguments, data, permissions or time.
 */
export function verdictOf(error: unknown, jetstream: boolean): Verdict | "suspect" {
  if (!(error instanceof JsflowError)) return "unknown";
  const { code } = error;
  if (CONNECTION.includes(code)) return "connection";
  if (ANSWERED.includes(code)) return "answered";
  if (code === "jetstream_unavailable") return "suspect";
  return code === "timeout" && jetstream ? "suspect" : "unknown";
}
