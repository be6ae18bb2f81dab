import { JetStreamApiError } from "@nats-io/jetstream";
import { JsflowError, type JsflowErrorCode } from "./errors.ts";
import { translateError } from "./translate_error.ts";

/** A stream's word that it has stored a message. */
export interface PubAck {
  /** The stream. */
  readonly stream: string;
  /** The message's sequence in it; of the first one, when this one is a duplicate. */
  readonly sequence: number;
  /** Whether the stream had a message of this id already, and dropped this one. */
  readonly duplicate: boolean;
  /** The JetStream domain, where there is one. */
  readonly domain?: string | undefined;
}

interface NativeAck {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly duplicate?: unknown;
  readonly domain?: unknown;
  readonly error?: ConstructorParameters<typeof JetStreamApiError>[0] | undefined;
}

/** What refusals mean that only publishing meets, by their API code. */
const REFUSALS: ReadonlyMap<number, readonly [JsflowErrorCode, string]> = new Map<
  number,
  readonly [JsflowErrorCode, string]
>([
  [10060, ["stream_not_found", "another stream than expected captures the subject"]],
  [10070, ["sequence_conflict", "the stream's last message has another id; read again and retry"]],
  [10165, ["unsupported", "the stream takes no such lifetime"]],
  [10166, [
    "unsupported",
    "the stream's messages can't have a lifetime of their own; set allowMessageTtl on it",
  ]],
]);

/**
 * Reads what a stream answered to a message.
 *
 * @throws {JsflowError} when it refused the message, or when somebody else answered.
 */
export function readPubAck(
  answer: { readonly data: Uint8Array; string(): string },
  what: string,
): PubAck {
  const ack = parse(answer.string());
  if (ack?.error !== undefined) throw refusal(ack.error, what);
  if (typeof ack?.stream !== "string" || typeof ack.seq !== "number" || ack.stream === "") {
    throw new JsflowError(
      "nats",
      `cannot ${what}: the answer is no stream's ack, so a service listens on the subject as well; ` +
        "use another subject",
    );
  }
  const { stream, seq: sequence, domain } = ack;
  const duplicate = ack.duplicate === true;
  return typeof domain === "string" && domain !== ""
    ? { stream, sequence, duplicate, domain }
    : { stream, sequence, duplicate };
}

function parse(text: string): NativeAck | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

/** The stream is full and drops new messages: its status says "unavailable", which it is not. */
const NOT_STORED = 10077;

function refusal(error: NonNullable<NativeAck["error"]>, what: string): Error {
  const cause = new JetStreamApiError(error);
  if (error.err_code === NOT_STORED) {
    const text = `cannot ${what}: the stream refuses it: ${error.description}; ` +
      "make room, or raise the stream's limits";
    return new JsflowError("nats", text, { cause });
  }
  const meaning = REFUSALS.get(error.err_code);
  if (meaning === undefined) return translateError(cause, what);
  return new JsflowError(meaning[0], `cannot ${what}: ${meaning[1]}`, { cause });
}
