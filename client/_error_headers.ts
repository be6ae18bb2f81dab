import { headers as nativeHeaders } from "@nats-io/nats-core";
import { isJsflowError, JsflowError, type JsflowErrorCode } from "./errors.ts";
import type { NatsHeaders } from "./native.ts";
import { type ErrorClass, RemoteError } from "./remote_error.ts";
import { ServiceError } from "./service_error.ts";

/** What of a failure travels to the requester. */
export interface ErrorReport {
  readonly errorClass: ErrorClass;
  readonly code: string;
  readonly message: string;
}

const CLASS = "Jsflow-Error-Class";
const CODE = "Jsflow-Error-Code";
const MESSAGE = "Jsflow-Error-Message";
/** What clients of NATS services elsewhere look for. */
const SERVICE_ERROR = "Nats-Service-Error";
const SERVICE_CODE = "Nats-Service-Error-Code";

const MAX_MESSAGE_LENGTH = 512;
const MAX_CODE_LENGTH = 64;
const STATUS: Readonly<Record<ErrorClass, string>> = {
  invalid: "400",
  fatal: "500",
  transient: "503",
};
const TRANSIENT_STATUS: readonly number[] = [408, 425, 429, 502, 503, 504];

/** Failures of the surroundings: the same request may succeed a moment later. */
const TRANSIENT_CODES: ReadonlySet<JsflowErrorCode> = new Set<JsflowErrorCode>([
  "buffer_full",
  "circuit_open",
  "connection_closed",
  "connection_refused",
  "connection_timeout",
  "jetstream_unavailable",
  "no_responders",
  "not_connected",
  "sequence_conflict",
  "timeout",
]);

/**
 * Says what the requester is told of an error that a handler threw.
 *
 * A `ServiceError` says so itself. Of everything else only the class and a code travel: its text was
 * written for this side, and may hold what is none of the requester's business.
 */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof ServiceError) {
    const { errorClass, code, message } = error;
    return { errorClass, code, message };
  }
  if (error instanceof RemoteError) {
    const errorClass = error.errorClass === "transient" ? "transient" : "fatal";
    return { errorClass, code: "upstream", message: "a service behind this one failed" };
  }
  if (!isJsflowError(error)) {
    return { errorClass: "fatal", code: "internal", message: "the service's handler failed" };
  }
  const { code } = error;
  return TRANSIENT_CODES.has(code)
    ? { errorClass: "transient", code, message: "the service cannot do its work now; try again" }
    : { errorClass: "fatal", code, message: "the service's handler failed" };
}

/** Writes a report into headers for the reply, which has no body. */
export function errorHeaders(report: ErrorReport): NatsHeaders {
  const { errorClass, code, message } = report;
  const headers = nativeHeaders();
  const text = encodeText(message);
  headers.set(CLASS, errorClass);
  headers.set(CODE, code);
  headers.set(MESSAGE, text);
  headers.set(SERVICE_ERROR, text === "" ? errorClass : text);
  headers.set(SERVICE_CODE, STATUS[errorClass]);
  return headers;
}

/**
 * Returns the failure that a reply stands for, or `undefined` when it is a success.
 *
 * Nothing in it is trusted: classes that are unknown count as fatal, texts are cut.
 */
export function remoteErrorOf(
  what: string,
  headers: NatsHeaders | undefined,
): RemoteError | undefined {
  if (headers === undefined) return undefined;
  if (headers.has(CLASS)) {
    return new RemoteError(what, {
      errorClass: classOf(headers.get(CLASS)),
      code: codeOf(headers.get(CODE)),
      message: decodeText(headers.get(MESSAGE)),
    });
  }
  if (!headers.has(SERVICE_ERROR) && !headers.has(SERVICE_CODE)) return undefined;
  return new RemoteError(what, {
    errorClass: classOfStatus(headers.get(SERVICE_CODE)),
    code: codeOf(headers.get(SERVICE_CODE)),
    message: clean(headers.get(SERVICE_ERROR)),
  });
}

/** Whether a request is worth another attempt. */
export function isWorthRetry(error: unknown): boolean {
  if (error instanceof RemoteError) return error.errorClass === "transient";
  return error instanceof JsflowError &&
    (error.code === "no_responders" || error.code === "timeout");
}

function classOf(text: string): ErrorClass {
  return text === "transient" || text === "invalid" ? text : "fatal";
}

function classOfStatus(text: string): ErrorClass {
  const status = Number(text);
  if (TRANSIENT_STATUS.includes(status)) return "transient";
  return status >= 400 && status < 500 ? "invalid" : "fatal";
}

function codeOf(text: string): string {
  const known = clean(text).slice(0, MAX_CODE_LENGTH);
  return known === "" ? "unknown" : known;
}

/** Headers hold one line of ASCII safely: everything else is percent-encoded, like `%` itself. */
function encodeText(text: string): string {
  const cut = cutTo(MAX_MESSAGE_LENGTH, text).toWellFormed();
  return cut.replace(/[^\x20-\x24\x26-\x7e]|^ | $/gu, percent);
}

function percent(character: string): string {
  return character === " " ? "%20" : encodeURIComponent(character);
}

function decodeText(text: string): string {
  let decoded = text;
  try {
    decoded = decodeURIComponent(text);
  } catch {
    // not encoded by us: shown as it is
  }
  return clean(decoded);
}

/** It ends up in messages and logs, where line breaks would forge entries. */
function clean(text: string): string {
  return cutTo(MAX_MESSAGE_LENGTH, text).replace(/[\p{Cc}\u2028\u2029]+/gu, " ");
}

function cutTo(length: number, text: string): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
