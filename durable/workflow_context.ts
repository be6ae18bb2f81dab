import type { Codec } from "../client/codec.ts";
import type { RetryPolicy } from "../client/retry_policy.ts";

/** What a workflow's code is given: its identity and its durable operations. */
export interface WorkflowContext {
  /** Id of the invocation. */
  readonly id: string;
  /** Name of the workflow. */
  readonly workflow: string;
  /** True while outcomes come from the journal; for logs, never for decisions. */
  readonly isReplaying: boolean;
  /**
   * Runs a step and journals its outcome.
   *
   * The outcome is committed once: after a crash the step's value is taken from the journal and the
   * function is not called again. The function itself runs at least once, since a worker may die
   * after the effect and before the commit; give `idempotencyKey` to whatever it calls. The value
   * that the workflow sees is the one decoded from the journal, in the first run as in a replay.
   *
   * A step that throws is tried again by its retry policy; each failed attempt is journaled, so a
   * takeover goes on counting.
   *
   * Steps may run side by side; their outcomes are delivered in journal order. Await nothing but
   * operations of `ctx` between them then: when the code asks for the next one after awaiting
   * anything else, the order can't be repeated. The invocation is blocked when that is noticed; it
   * can escape notice when several things are awaited at the same moment.
   *
   * @throws {StepFailedError} when the attempts are used up, or the step threw `TerminalError`, or
   * its value can't be encoded.
   * @throws {TypeError} {RangeError} when the name or an option is invalid.
   */
  run<T>(
    name: string,
    fn: (step: StepContext) => T | Promise<T>,
    options?: StepOptions<T>,
  ): Promise<T>;
}

/** What a step's function is given. */
export interface StepContext {
  /**
   * The same at every attempt of this step and different for every other step:
   * `<workflow>/<invocation id>/<index>`, the names encoded as subject tokens.
   */
  readonly idempotencyKey: string;
  /** Aborts when the attempt's time is over or the invocation is cancelled or taken over. */
  readonly signal: AbortSignal;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
}

/** Settings of one step. */
export interface StepOptions<T> {
  /** When to try again. @default {@link DEFAULT_STEP_RETRY} */
  readonly retry?: RetryPolicy | undefined;
  /** Milliseconds that one attempt may take. @default no limit */
  readonly timeoutMs?: number | undefined;
  /** How the value is journaled. @default `losslessJson()`, which refuses what JSON would change */
  readonly codec?: Codec<T> | undefined;
}

/** How a step is retried when it doesn't say: five attempts within about two seconds. */
export const DEFAULT_STEP_RETRY: RetryPolicy = {
  attempts: 5,
  initialMs: 100,
  factor: 2,
  maxMs: 10_000,
};
