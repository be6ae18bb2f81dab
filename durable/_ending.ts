import { isJsflowError, JsflowError } from "../client/errors.ts";
import { cancelled, completed, failed } from "./_entries.ts";
import type { Settled } from "./_replay.ts";
import { toFailure } from "./failure.ts";
import type { Entry } from "./gen/jsflow/durable/v1/journal_pb.ts";
import { toPayload } from "./payload.ts";
import type { AnyWorkflow } from "./workflow.ts";

/** What a result must fit into. */
export interface EndingLimits {
  readonly workflow: AnyWorkflow;
  /** Bytes of entries that fit into one record. */
  readonly maxRecordBytes: number;
}

/**
 * The entry that says how the code ended. `cancelReason` is set once the code was told that it is
 * cancelled: if it ends by that very error, the invocation counts as cancelled.
 */
export function endingOf(
  settled: Settled,
  cancelReason: string | undefined,
  limits: EndingLimits,
): Entry {
  if (settled.ok) return resultOf(settled.value, limits);
  if (cancelReason !== undefined && isJsflowError(settled.error, "invocation_cancelled")) {
    return cancelled(cancelReason);
  }
  return failed(toFailure(settled.error));
}

function resultOf(value: unknown, { workflow, maxRecordBytes }: EndingLimits): Entry {
  try {
    const output = toPayload(workflow.output, value);
    if (output.data.byteLength > maxRecordBytes) {
      throw resultTooLarge(output.data.byteLength, maxRecordBytes);
    }
    return completed(output);
  } catch (error) {
    return failed(toFailure(error));
  }
}

function resultTooLarge(bytes: number, maxBytes: number): JsflowError {
  return new JsflowError(
    "payload_too_large",
    `cannot journal the result of the workflow: ${bytes} bytes, at most ${maxBytes} fit; return a ` +
      `reference to it, or raise the server's max_payload`,
  );
}
