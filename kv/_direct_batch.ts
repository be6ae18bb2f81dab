import { createInbox, type Msg } from "@nats-io/nats-core";
import type { NatsConnection } from "../client/native.ts";
import { JsflowError } from "../client/errors.ts";
import { readDirect, type StoredMessage } from "./_stored_message.ts";

/** Messages in one answer, at most. */
const MAX_BATCH = 1_024;
/** Bytes in one answer, more or less: far from what makes a server drop a slow reader. */
const MAX_BATCH_BYTES = 4 * 1_024 * 1_024;
const END_OF_BATCH = 204;
const NOT_FOUND = 404;
const NO_RESPONDERS = 503;

/** Which messages are asked for: the last ones of many subjects, or all of one. */
export type BatchQuery =
  | { readonly multi_last: readonly string[] }
  | { readonly next_by_subj: string };

/** What a batch consists of. */
export interface DirectBatch {
  readonly messages: readonly StoredMessage[];
  /** The last sequence that the server knew then; 0 when it found nothing. */
  readonly upTo: number;
}

/** One answer. */
interface Page extends DirectBatch {
  /** Messages that there are besides. */
  readonly pending: number;
}

/**
 * Reads many messages by few requests, from any server that has the stream; needs nats-server 2.11.
 *
 * @throws {JsflowError} `no_responders`, or `nats` when the answer is broken off or refused.
 * @throws the signal's reason when it aborts.
 */
export async function readDirectBatch(
  connection: NatsConnection,
  request: { readonly subject: string; readonly query: BatchQuery; readonly from: number },
  signal: AbortSignal,
): Promise<DirectBatch> {
  const messages: StoredMessage[] = [];
  let upTo = 0;
  for (let seq = request.from;;) {
    const bound = upTo === 0 ? {} : { up_to_seq: upTo };
    const limits = { batch: MAX_BATCH, max_bytes: MAX_BATCH_BYTES };
    const body = JSON.stringify({ ...request.query, seq, ...bound, ...limits });
    const page = await readPage(connection, { subject: request.subject, body }, signal);
    messages.push(...page.messages);
    upTo ||= page.upTo;
    const last = page.messages.at(-1);
    if (last === undefined || page.pending === 0) return { messages, upTo };
    seq = last.seq + 1;
  }
}

function readPage(
  connection: NatsConnection,
  { subject, body }: { readonly subject: string; readonly body: string },
  signal: AbortSignal,
): Promise<Page> {
  const { promise, resolve, reject } = Promise.withResolvers<Page>();
  const messages: StoredMessage[] = [];
  const receive = (message: Msg) => {
    const end = endOf(message);
    if (end instanceof Error) return reject(end);
    if (end !== undefined) return resolve({ ...end, messages });
    const found = readDirect(message);
    const before = Number(message.headers?.get("Nats-Last-Sequence"));
    if (found === undefined || before !== (messages.at(-1)?.seq ?? before)) {
      return reject(new JsflowError("nats", "cannot read many messages: the answer has gaps"));
    }
    messages.push(found);
  };
  const subscription = connection.subscribe(createInbox(), {
    callback: (error, message) => error ? reject(error) : receive(message),
  });
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  try {
    connection.publish(subject, body, { reply: subscription.getSubject() });
  } catch (error) {
    reject(error);
  }
  return promise.finally(() => {
    signal.removeEventListener("abort", abort);
    subscription.unsubscribe();
  });
}

/** What ends an answer; undefined for a message within it. */
function endOf({ headers, data }: Msg): Omit<Page, "messages"> | Error | undefined {
  const code = headers?.code ?? 0;
  if (code === 0) return undefined;
  if (code === NOT_FOUND) return { pending: 0, upTo: 0 };
  if (code === END_OF_BATCH) {
    const pending = Number(headers?.get("Nats-Num-Pending") || 0);
    return { pending, upTo: Number(headers?.get("Nats-UpTo-Sequence")) || 0 };
  }
  const isNobody = code === NO_RESPONDERS && data.length === 0;
  const text = `cannot read many messages: ${code} ${headers?.description ?? ""}`;
  return new JsflowError(isNobody ? "no_responders" : "nats", text);
}
