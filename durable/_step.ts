import { create } from "@bufbuild/protobuf";
import type { Codec } from "../client/codec.ts";
import { JsflowError } from "../client/errors.ts";
import { retryDelayMs, type RetryPolicy } from "../client/retry_policy.ts";
import { toFailure } from "./failure.ts";
import {
  type Entry,
  EntrySchema,
  type Failure,
  type OperationAttempted,
  OperationAttemptedSchema,
  OperationCompletedSchema,
  OperationSchema,
  type Payload,
} from "./gen/jsflow/durable/v1/journal_pb.ts";
import { toPayload } from "./payload.ts";
import type { StepContext } from "./workflow_context.ts";

/** One step, ready to be attempted. */
export interface Step {
  readonly index: number;
  readonly name: string;
  readonly fn: (step: StepContext) => unknown;
  readonly codec: Codec<unknown>;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number | undefined;
  readonly idempotencyKey: string;
}

/** What the attempts of a step need from the execution. */
export interface StepHost {
  /** Wall clock. */
  readonly now: () => number;
  /**
   * Pauses between two attempts; may take longer while nothing is to begin. Rejects as soon as the
   * invocation is cancelled or the execution stops.
   */
  readonly sleep: (ms: number) => Promise<void>;
  readonly random: () => number;
  /** Given to the function: aborts when the invocation is cancelled or the execution stops. */
  readonly signal: AbortSignal;
  /** Aborts when the execution stops: nothing more can be journaled. */
  readonly stopped: AbortSignal;
  /** Largest value that a record can carry. */
  readonly maxValueBytes: number;
  /** Resolves when the entry is in the journal. */
  readonly record: (entry: Entry) => Promise<void>;
}

/**
 * Attempts a step until it has an outcome, and returns the entry that says so.
 *
 * Failed attempts are journaled before the pause that follows them; a cancelled step is not tried
 * again. Rejects only with the reason of `host.stopped`.
 */
export async function runStep(
  step: Step,
  failed: OperationAttempted | undefined,
  host: StepHost,
): Promise<Entry> {
  let attempt = failed?.attempt ?? 0;
  if (failed) {
    await pauseUntil(Number(failed.retryAtMs), host);
    if (host.signal.aborted) return outcome(step, attempt, failureOf(failed));
  }
  for (;;) {
    attempt++;
    const result = await attemptOnce(step, attempt, host);
    host.stopped.throwIfAborted();
    const retryAtMs = retryTime(step, attempt, result, host);
    if (retryAtMs === undefined || result.case === "value") return outcome(step, attempt, result);
    await host.record(attempted(step, attempt, result.value, retryAtMs));
    await pauseUntil(retryAtMs, host);
    if (host.signal.aborted) return outcome(step, attempt, result);
  }
}

/** When to try again; undefined when the result stands. */
function retryTime(
  step: Step,
  attempt: number,
  result: Result,
  host: StepHost,
): number | undefined {
  if (result.case === "value" || result.value.terminal || host.signal.aborted) return undefined;
  const delayMs = retryDelayMs(step.retry, attempt, host.random);
  return delayMs === undefined ? undefined : Math.ceil(host.now() + delayMs);
}

function failureOf({ error }: OperationAttempted): Result {
  return { case: "error", value: error ?? toFailure(undefined) };
}

type Result =
  | { readonly case: "value"; readonly value: Payload }
  | { readonly case: "error"; readonly value: Failure };

async function attemptOnce(step: Step, attempt: number, host: StepHost): Promise<Result> {
  try {
    const value = await withTimeout(
      step,
      host,
      (signal) => step.fn({ idempotencyKey: step.idempotencyKey, signal, attempt }),
    );
    return { case: "value", value: encodeValue(step, value, host.maxValueBytes) };
  } catch (error) {
    return { case: "error", value: toFailure(error) };
  }
}

function encodeValue(step: Step, value: unknown, maxBytes: number): Payload {
  const payload = toPayload(step.codec, value);
  if (payload.data.byteLength <= maxBytes) return payload;
  throw new JsflowError(
    "payload_too_large",
    `cannot journal the value of step "${step.name}": ${payload.data.byteLength} bytes, at most ` +
      `${maxBytes} fit; return a reference to it, or raise the server's max_payload`,
  );
}

/** An attempt whose time is over counts as failed even if its function ignores the signal. */
async function withTimeout(
  step: Step,
  host: StepHost,
  call: (signal: AbortSignal) => unknown,
): Promise<unknown> {
  const { timeoutMs, name } = step;
  if (timeoutMs === undefined) return await call(host.signal);
  const over = new AbortController();
  const timedOut = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new JsflowError("timeout", `step "${name}" took longer than ${timeoutMs} ms`);
    over.abort(error);
    timedOut.reject(error);
  }, timeoutMs);
  try {
    const signal = AbortSignal.any([host.signal, over.signal]);
    return await Promise.race([call(signal), timedOut.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** By the wall clock, since another worker may have begun the pause; a cancellation ends it. */
async function pauseUntil(wallMs: number, { now, sleep, stopped }: StepHost): Promise<void> {
  const restMs = wallMs - now();
  if (restMs <= 0) return;
  try {
    await sleep(Math.min(restMs, MAX_PAUSE_MS));
  } catch {
    stopped.throwIfAborted();
  }
}

const MAX_PAUSE_MS = 2 ** 31 - 1;

function operation(step: Step) {
  return create(OperationSchema, { index: step.index, kind: "run", name: step.name });
}

function outcome(step: Step, attempts: number, result: Result): Entry {
  const value = create(OperationCompletedSchema, { op: operation(step), result, attempts });
  return create(EntrySchema, { kind: { case: "outcome", value } });
}

function attempted(step: Step, attempt: number, error: Failure, retryAtMs: number): Entry {
  const value = create(OperationAttemptedSchema, {
    op: operation(step),
    attempt,
    error,
    retryAtMs: BigInt(retryAtMs),
  });
  return create(EntrySchema, { kind: { case: "attempted", value } });
}
