import type { ErrorClass } from "./remote_error.ts";
import { checkOneOf, checkOptions, checkString, describe } from "./validate.ts";

const CLASSES: readonly ErrorClass[] = ["fatal", "invalid", "transient"];
const CODE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** What a {@link ServiceError} can carry. */
export interface ServiceErrorOptions {
  /**
   * A short code for programs: up to 64 letters, digits, `_`, `-` and `.`.
   *
   * @default the class
   */
  readonly code?: string | undefined;
  /** The error that led to it; it stays on this side. */
  readonly cause?: unknown;
}

/**
 * Thrown by the handler of a service to say how its requester should take the failure.
 *
 * Class, code and message travel to the requester, who gets a `RemoteError`; stack and cause do not.
 * Of any other error that a handler throws, nothing travels but the fact.
 *
 * @throws {TypeError} when class, message or code is not of its kind.
 *
 * @example
 * ```ts
 * import { ServiceError } from "@x/jsflow/client";
 *
 * const stock = new Map([["pen", 3]]);
 * function take(item: string): number {
 *   const left = stock.get(item);
 *   if (left === undefined) {
 *     throw new ServiceError("invalid", `no such item: ${item}`, { code: "unknown_item" });
 *   }
 *   return left - 1;
 * }
 * console.log(take("pen"));
 * ```
 */
export class ServiceError extends Error {
  /** Whether a retry may help. */
  readonly errorClass: ErrorClass;
  /** The code for programs. */
  readonly code: string;

  /** Builds the error. */
  constructor(errorClass: ErrorClass, message: string, options?: ServiceErrorOptions) {
    const known = checkOptions("ServiceError", options, ["code", "cause"]);
    super(
      checkString("ServiceError: message", message, { minLength: 0 }),
      known.cause === undefined ? {} : { cause: known.cause },
    );
    this.name = "ServiceError";
    this.errorClass = checkOneOf("ServiceError: the class", errorClass, CLASSES);
    this.code = known.code === undefined ? errorClass : checkCode(known.code);
  }
}

function checkCode(value: unknown): string {
  if (typeof value === "string" && CODE.test(value)) return value;
  throw new TypeError(
    `ServiceError: code must have 1 to 64 letters, digits, "_", "-" or ".", got ${describe(value)}`,
  );
}
