import { JsflowError } from "../client/errors.ts";

/** An error as the journal keeps it: name, message and code, never a stack. */
export interface FailureInfo {
  /** The error's class, such as "TypeError". */
  readonly name: string;
  /** What it said, at most 4,096 characters. */
  readonly message: string;
  /** The error's own `code`, or "" when it had none. */
  readonly code: string;
}

/**
 * Thrown by a step or a workflow to say that no retry can help.
 *
 * In a step it fails the step at once, whatever its retry policy; uncaught in a workflow it fails
 * the invocation.
 *
 * @example
 * ```ts
 * import { TerminalError } from "@x/jsflow";
 *
 * const reject = () => {
 *   throw new TerminalError("card declined");
 * };
 * ```
 */
export class TerminalError extends JsflowError {
  /** Takes what an `Error` takes. */
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super("terminal", message, options);
    this.name = "TerminalError";
  }
}

/** What a workflow sees when a step has used up its attempts or has failed for good. */
export class StepFailedError extends JsflowError {
  /** Name of the step. */
  readonly step: string;
  /** Attempts made, the last one included. */
  readonly attempts: number;
  /** The last error of the step. */
  readonly failure: FailureInfo;

  /** Made by the engine. */
  constructor(step: string, attempts: number, failure: FailureInfo) {
    const times = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
    super("step_failed", `step "${step}" failed after ${times}: ${failure.message}`);
    this.name = "StepFailedError";
    this.step = step;
    this.attempts = attempts;
    this.failure = failure;
  }
}

/** What `result()` rejects with when the invocation failed. */
export class InvocationFailedError extends JsflowError {
  /** Name of the workflow. */
  readonly workflow: string;
  /** Id of the invocation. */
  readonly id: string;
  /** The error that ended it. */
  readonly failure: FailureInfo;

  /** Made by the engine. */
  constructor(workflow: string, id: string, failure: FailureInfo) {
    super("invocation_failed", `${workflow}/${id} failed: ${failure.message}`);
    this.name = "InvocationFailedError";
    this.workflow = workflow;
    this.id = id;
    this.failure = failure;
  }
}
