import type { JetStreamManager, MsgRequest } from "@nats-io/jetstream";
import type { Publication } from "./_publication.ts";
import { withStreamApi } from "./_stream_api.ts";
import type { ClientCore } from "./core.ts";
import { isJsflowError, JsflowError, type JsflowErrorCode } from "./errors.ts";
import type { PubAck } from "./pub_ack.ts";
import { findStream } from "./streams.ts";

/** Failures after which another attempt may do better. */
const TRANSIENT: readonly JsflowErrorCode[] = [
  "circuit_open",
  "jetstream_unavailable",
  "no_responders",
  "not_connected",
  "timeout",
];

/** Failures of a message that was sent, after which nobody knows what became of it. */
const AMBIGUOUS: readonly JsflowErrorCode[] = ["connection_closed", "not_connected", "timeout"];

/** Tells whether another attempt may do better. */
export function isTransient(error: unknown): boolean {
  return isJsflowError(error) && TRANSIENT.includes(error.code);
}

/** Tells whether a message that was sent may have been stored in spite of the error. */
export function isAmbiguous(error: unknown): boolean {
  return isJsflowError(error) && AMBIGUOUS.includes(error.code);
}

/**
 * Finds out what it means that nobody answered: there is no stream, or it has no leader now.
 *
 * The server says the same in both cases, and that JetStream is off in a third one.
 */
export async function explainSilence(
  core: ClientCore,
  publication: Publication,
  error: Error,
): Promise<Error> {
  const { name, bounds } = publication;
  try {
    const found = await findStream(core, name, bounds);
    return found === undefined
      ? new JsflowError(
        "stream_not_found",
        `cannot publish to ${name}: no stream captures the subject; create one that does, or pass ` +
          "autoCreate",
        { cause: error },
      )
      : new JsflowError(
        "jetstream_unavailable",
        `cannot publish to ${name}: stream ${found.name} does not answer now; try again, and check ` +
          "the server's health",
        { cause: error },
      );
  } catch (failure) {
    bounds.signal?.throwIfAborted();
    return failure as Error;
  }
}

/**
 * Looks whether the message that stands in the way of a retry is that of the first attempt.
 *
 * A stream that has forgotten an id answers a retry with a conflict instead of a duplicate.
 */
export async function findOwnMessage(
  core: ClientCore,
  publication: Publication,
): Promise<PubAck | undefined> {
  const { name, id, bounds } = publication;
  const stream = publication.stream ?? (await findStream(core, name, bounds))?.name;
  if (stream === undefined || id === undefined) return undefined;
  const stored = await withStreamApi(
    core,
    `read the last message of ${name}`,
    bounds,
    (manager) => lastMessage(manager, stream, { last_by_subj: name }),
  );
  if (stored === null || stored.header.get("Nats-Msg-Id") !== id) return undefined;
  return { stream, sequence: stored.seq, duplicate: true };
}

async function lastMessage(manager: JetStreamManager, stream: string, request: MsgRequest) {
  return await manager.streams.getMessage(stream, request);
}

/** Says in the error that the message may have been stored, and what to do about that. */
export function uncertain(publication: Publication, error: Error): Error {
  const { name, id } = publication;
  const code = isJsflowError(error) ? error.code : "nats";
  const why = isJsflowError(error, "timeout")
    ? `no ack within ${publication.bounds.timeoutMs} ms`
    : isAmbiguous(error)
    ? "the connection was lost before the ack came"
    : error.message;
  const advice = id === undefined
    ? "look before it is published again, and give messages an id, which makes that harmless"
    : "publish it again with the same id, which stores it once";
  return new JsflowError(
    code,
    `cannot publish to ${name}: ${why}; the message may have been stored all the same: ${advice}`,
    { cause: error },
  );
}
