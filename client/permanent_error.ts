import { isJsflowError, JsflowError } from "./errors.ts";

/**
 * Thrown by a handler to say that no further delivery of the message can help: it is terminated
 * instead of delivered again.
 *
 * Any error with code `terminal`, or with a property `permanent` that is `true`, means the same.
 *
 * @example
 * ```ts
 * import { PermanentError } from "@x/jsflow/client";
 *
 * function check(order: { total: number }): void {
 *   if (order.total < 0) throw new PermanentError("a total can't be negative");
 * }
 * console.log(check);
 * ```
 */
export class PermanentError extends JsflowError {
  /** Takes what an `Error` takes. */
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super("terminal", message, options);
    this.name = "PermanentError";
  }
}

/** Whether an error says that trying again is in vain; never throws, whatever was thrown. */
export function isPermanent(error: unknown): boolean {
  try {
    if (isJsflowError(error, "terminal")) return true;
    return (error as { permanent?: unknown } | null | undefined)?.permanent === true;
  } catch {
    return false; // a getter or a proxy of the caller's
  }
}
