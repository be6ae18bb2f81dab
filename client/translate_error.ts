import { JsflowError, type JsflowErrorCode } from "./errors.ts";

/** What a NATS error means here: its code, what went wrong, and what to do about it. */
type Meaning = readonly [code: JsflowErrorCode, why: string];

const UNAVAILABLE =
  "JetStream does not answer now: it is starting, has no leader, or no stream takes the subject; " +
  "try again, and check the stream and the server's health";
const DISABLED =
  "JetStream is not enabled; start the server with -js, or enable JetStream for the account";
const LOST = "the connection was lost; it comes back by itself, so try again";
const CLOSED = "the connection is closed or draining; open another one";
const CONFLICT = "somebody else wrote first; read again and retry";
const REFUSED = "the user's permissions forbid it; grant them on the server";
const UNAUTHORIZED = "the server rejects the credentials; check user, password, token or key";

/** By JetStream API error code: these numbers are stable, the texts are not. */
const BY_API_CODE: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [10008, ["jetstream_unavailable", UNAVAILABLE]],
  [10014, ["consumer_not_found", "the consumer does not exist; create it, or check its name"]],
  [10037, [
    "message_not_found",
    "the message does not exist; it was deleted, expired or never was",
  ]],
  [10039, ["jetstream_disabled", DISABLED]],
  [10054, [
    "payload_too_large",
    "the message exceeds the stream's max_msg_size; send less or raise the limit",
  ]],
  [10059, ["stream_not_found", "the stream does not exist; create it, or check its name"]],
  [10071, ["sequence_conflict", CONFLICT]],
  [10076, ["jetstream_disabled", DISABLED]],
  [10118, ["jetstream_unavailable", UNAVAILABLE]],
  [10163, ["jetstream_unavailable", UNAVAILABLE]],
  [10164, ["sequence_conflict", CONFLICT]],
]);

/** By class name: a connection may come from another copy of the library, so `instanceof` fails. */
const BY_NAME: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ["AuthorizationError", ["authorization", UNAUTHORIZED]],
  ["ClosedConnectionError", ["connection_closed", CLOSED]],
  ["DrainingConnectionError", ["connection_closed", CLOSED]],
  ["JetStreamNotEnabled", ["jetstream_unavailable", UNAVAILABLE]],
  ["NoResponders", [
    "no_responders",
    "nobody listens on the subject; start the service, or check the subject",
  ]],
  ["NotCapable", ["permission_denied", "the runtime forbids it; grant network access"]],
  ["PermissionViolationError", ["permission_denied", REFUSED]],
  ["TimeoutError", [
    "timeout",
    "no answer in time; check the server's load and the network, or wait longer",
  ]],
  ["UserAuthenticationExpiredError", [
    "authorization",
    "the credentials have expired; connect with fresh ones",
  ]],
]);

/** By the code of a system error. */
const BY_SYSTEM_CODE: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ["EAI_AGAIN", ["connection_refused", "the host name cannot be resolved now; check the DNS"]],
  ["ECONNREFUSED", [
    "connection_refused",
    "nothing listens there; start a server, or check host and port",
  ]],
  ["ECONNRESET", ["connection_closed", "the connection was reset; try again"]],
  ["EHOSTUNREACH", ["connection_refused", "the host is unreachable; check address and network"]],
  ["ENETUNREACH", ["connection_refused", "the network is unreachable; check address and network"]],
  ["ENOTFOUND", ["connection_refused", "the host name does not resolve; check its spelling"]],
  ["EPIPE", ["connection_closed", "the connection was closed by the other side; try again"]],
  ["ETIMEDOUT", ["connection_timeout", "the host does not answer; check address and firewall"]],
]);

/**
 * Turns any error of NATS or of the network into a {@link JsflowError}, once.
 *
 * `action` completes the sentence "cannot …". Errors are recognised by their numeric API code, their
 * class name or their system code, never by their text; one that is not recognised becomes the
 * `cause` of an error with code `nats`. A `JsflowError`, `TypeError`, `RangeError` or `DOMException`
 * (the usual abort reason) is returned as it is. Callers that hold a signal check it first, since
 * a custom abort reason cannot be told from a failure.
 *
 * @example
 * ```ts
 * import { translateError } from "@x/jsflow/client";
 *
 * async function flushed(work: () => Promise<void>): Promise<void> {
 *   try {
 *     await work();
 *   } catch (error) {
 *     throw translateError(error, "flush");
 *   }
 * }
 * console.log(flushed);
 * ```
 */
export function translateError(error: unknown, action: string): Error {
  if (error instanceof JsflowError || error instanceof DOMException) return error;
  if (error instanceof TypeError || error instanceof RangeError) return error;
  if (!(error instanceof Error)) {
    return new JsflowError("nats", `cannot ${action}: ${String(error)}`, { cause: error });
  }
  const misuse = misuseOf(error);
  if (misuse !== undefined) {
    return new TypeError(`cannot ${action}: ${misuse}`, { cause: error });
  }
  const [code, why] = meaningOf(error);
  return new JsflowError(code, `cannot ${action}: ${why}`, { cause: error });
}

function misuseOf(error: Error): string | undefined {
  const misuse = ["InvalidArgumentError", "InvalidNameError", "InvalidSubjectError"];
  return misuse.includes(error.name) && !isOversize(error) ? error.message : undefined;
}

function meaningOf(error: Error): Meaning {
  const known = knownMeaning(error);
  if (known !== undefined) return known;
  // Wrappers (RequestError, ConnectionError, JetStreamNotEnabled) say why in their cause.
  const inner = error.cause instanceof Error ? knownMeaning(error.cause) : undefined;
  if (inner !== undefined) return inner;
  if (isOversize(error)) {
    return ["payload_too_large", "the message exceeds the server's max_payload; send less"];
  }
  if (error.name === "ConnectionError") return ["connection_refused", error.message];
  if (error.name === "RequestError") return ["not_connected", LOST];
  return byStatus(error) ?? ["nats", error.message];
}

/** By the status of a JetStream reply, which follows HTTP. */
function byStatus(error: Error): Meaning | undefined {
  const status = error.name === "JetStreamStatusError"
    ? codeOf(error)
    : (error as { status?: unknown }).status;
  if (status === 503) return ["jetstream_unavailable", `${error.message}; ${UNAVAILABLE}`];
  if (error.name !== "JetStreamStatusError") return undefined;
  if (status === 404) return ["message_not_found", error.message];
  return status === 408 ? ["timeout", error.message] : undefined;
}

function knownMeaning(error: Error): Meaning | undefined {
  const code = codeOf(error);
  if (typeof code === "string") return BY_SYSTEM_CODE.get(code) ?? tlsMeaning(error, code);
  if (typeof code === "number" && !error.name.includes("Status")) return BY_API_CODE.get(code);
  if (error.name === "JetStreamNotEnabled" && error.cause instanceof Error) {
    const byCode = BY_API_CODE.get(codeOf(error.cause) as number);
    if (byCode !== undefined) return byCode;
  }
  return BY_NAME.get(error.name);
}

/** TLS libraries have some fifty codes, which share a few prefixes. */
function tlsMeaning(error: Error, code: string): Meaning | undefined {
  if (/^(CERT_|DEPTH_ZERO_|ERR_TLS_CERT_|SELF_SIGNED_|UNABLE_TO_)/.test(code)) {
    return ["authorization", `${error.message}; pass the authority of the certificate as tls.ca`];
  }
  if (!/^ERR_(SSL|TLS)_/.test(code)) return undefined;
  return [
    "connection_refused",
    `the TLS handshake failed: ${error.message}; check the tls options`,
  ];
}

function codeOf(error: Error): unknown {
  return (error as { code?: unknown }).code;
}

/** The client has no class or number for this one, only a text. */
function isOversize(error: Error): boolean {
  return error.name === "InvalidArgumentError" && error.message.includes("max_payload");
}
