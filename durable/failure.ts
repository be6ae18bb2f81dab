import { create } from "@bufbuild/protobuf";
import { isJsflowError } from "../client/errors.ts";
import { type Failure, FailureSchema } from "./gen/jsflow/durable/v1/journal_pb.ts";
import type { FailureInfo } from "./errors.ts";

/** Longest error message that a journal keeps, in characters. */
const MAX_MESSAGE = 4_096;
const MAX_NAME = 200;

/** Errors of jsflow's own that no repetition can mend. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  "terminal",
  "encode_failed",
  "payload_too_large",
  "step_failed",
]);

/** Turns whatever was thrown into what the journal keeps. Never throws. */
export function toFailure(thrown: unknown): Failure {
  try {
    return readFailure(thrown);
  } catch {
    // A proxy, or an accessor that throws.
    const message = "something was thrown that can't be read";
    return create(FailureSchema, { name: "Error", message });
  }
}

function readFailure(thrown: unknown): Failure {
  const terminal = isJsflowError(thrown) && FINAL_CODES.has(thrown.code);
  if (!(thrown instanceof Error)) {
    return create(FailureSchema, { name: "Error", message: clip(textOfThrown(thrown)), terminal });
  }
  const code = (thrown as { code?: unknown }).code;
  return create(FailureSchema, {
    name: clip(text(thrown.name) || "Error", MAX_NAME),
    message: clip(text(thrown.message)),
    code: typeof code === "string" || typeof code === "number" ? clip(`${code}`, MAX_NAME) : "",
    terminal,
  });
}

/** The public face of a journaled failure. */
export function failureInfo(failure: Failure | undefined): FailureInfo {
  return {
    name: failure?.name || "Error",
    message: failure?.message ?? "",
    code: failure?.code ?? "",
  };
}

function textOfThrown(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return "an object that can't be shown was thrown";
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : textOfThrown(value);
}

/** Protobuf strings must be well-formed: a cut through a surrogate pair must not break a record. */
function clip(message: string, max: number = MAX_MESSAGE): string {
  const short = message.length > max ? `${message.slice(0, max - 1)}…` : message;
  return short.toWellFormed();
}
