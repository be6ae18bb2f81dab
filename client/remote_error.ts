import { JsflowError } from "./errors.ts";

/**
 * What kind of failure a service reports.
 *
 * - `transient`: the same request may succeed later; worth a retry.
 * - `invalid`: the request itself is wrong; it will never succeed.
 * - `fatal`: the service failed, and nothing says that it would not fail again.
 */
export type ErrorClass = "transient" | "invalid" | "fatal";

/**
 * Thrown at the requester when the service's handler failed: code `remote_error`.
 *
 * What it says comes from the other side, cut to size and without control characters.
 *
 * @example
 * ```ts
 * import { RemoteError } from "@x/jsflow/client";
 *
 * async function quantity(request: () => Promise<number>): Promise<number> {
 *   try {
 *     return await request();
 *   } catch (error) {
 *     if (error instanceof RemoteError && error.remoteCode === "sold_out") return 0;
 *     throw error;
 *   }
 * }
 * console.log(quantity);
 * ```
 */
export class RemoteError extends JsflowError {
  /** Whether a retry may help. */
  readonly errorClass: ErrorClass;
  /** The code that the service gave, `internal` when its handler failed unexpectedly. */
  readonly remoteCode: string;
  /** What the service said. */
  readonly remoteMessage: string;

  /** Builds the error; `what` completes "cannot …". */
  constructor(
    what: string,
    report: {
      readonly errorClass: ErrorClass;
      readonly code: string;
      readonly message: string;
    },
  ) {
    const { errorClass, code, message } = report;
    super(
      "remote_error",
      `cannot ${what}: the service answered ${errorClass} (${code}): ${message}`,
    );
    this.name = "RemoteError";
    this.errorClass = errorClass;
    this.remoteCode = code;
    this.remoteMessage = message;
  }
}
