import type { Operation } from "../trace/telemetry.ts";

/** Ends an operation that failed; a caller may abort without a reason, which is a failure too. */
export function endFailed(operation: Operation, error: unknown): void {
  operation.end(error ?? new Error("aborted without a reason"));
}
