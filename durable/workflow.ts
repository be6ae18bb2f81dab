import type { Codec } from "../client/codec.ts";
import { losslessJson } from "../client/lossless_json.ts";
import { checkCodec, checkFunction, checkOptions } from "../client/validate.ts";
import { checkName } from "./_check_name.ts";
import type { WorkflowContext } from "./workflow_context.ts";

/**
 * What a client must know of a workflow to start it and to read its result.
 *
 * Both a {@link Workflow} and the reference made by {@link workflowRef} are one.
 */
export interface WorkflowRef<I, O> {
  /** Name of the workflow: part of every invocation's identity. */
  readonly name: string;
  /** Queue that its workers share. */
  readonly queue: string;
  /** How the input is encoded. */
  readonly input: Codec<I>;
  /** How the result is encoded. */
  readonly output: Codec<O>;
}

/** A workflow with its code, as made by {@link workflow}. */
export interface Workflow<I, O> extends WorkflowRef<I, O> {
  /** The code; a method, so that workflows of any input fit into one list. */
  run(ctx: WorkflowContext, input: I): Promise<O> | O;
}

/** Any workflow, whatever its types. */
export type AnyWorkflow = Workflow<unknown, unknown>;

/**
 * The code of a workflow.
 *
 * It may be run again from the beginning at any time, with the outcomes of its steps taken from the
 * journal, so all that it does outside and all that may differ between two runs belongs in
 * `ctx.run`.
 */
export type WorkflowFunction<I, O> = (ctx: WorkflowContext, input: I) => Promise<O> | O;

/** Settings that a workflow and a reference to it must agree on. */
export interface WorkflowOptions<I, O> {
  /**
   * How the input is encoded and checked.
   * @default `losslessJson()`, which takes `undefined` and refuses what JSON would change
   */
  readonly input?: Codec<I> | undefined;
  /** How the result is encoded. @default `losslessJson()`, which refuses what JSON would change */
  readonly output?: Codec<O> | undefined;
  /** Queue shared with the workflows that are grouped under the same name. @default the name */
  readonly queue?: string | undefined;
}

/**
 * Defines a workflow.
 *
 * @throws {TypeError} when the name is empty, or an option is unknown or of the wrong type.
 * @throws {RangeError} when the name or the queue is longer than 255 bytes as a subject token.
 *
 * @example
 * ```ts
 * import { json, workflow } from "@x/jsflow";
 *
 * interface Order {
 *   readonly id: string;
 *   readonly amount: number;
 * }
 *
 * export const checkout = workflow("checkout", { input: json<Order>() }, async (ctx, order) => {
 *   const receipt = await ctx.run("charge", ({ idempotencyKey }) => `${idempotencyKey} paid`);
 *   return { order: order.id, receipt };
 * });
 * ```
 */
export function workflow<I, O>(name: string, run: WorkflowFunction<I, O>): Workflow<I, O>;
/** Defines a workflow with options. */
export function workflow<I, O>(
  name: string,
  options: WorkflowOptions<I, O>,
  run: WorkflowFunction<I, O>,
): Workflow<I, O>;
export function workflow<I, O>(
  name: string,
  optionsOrRun: WorkflowOptions<I, O> | WorkflowFunction<I, O>,
  maybeRun?: WorkflowFunction<I, O>,
): Workflow<I, O> {
  const short = typeof optionsOrRun === "function" && maybeRun === undefined;
  const options = short ? {} : optionsOrRun as WorkflowOptions<I, O>;
  const run = short ? optionsOrRun : maybeRun;
  const ref = workflowRef<I, O>(name, options);
  checkFunction(`workflow "${name}"`, run);
  return Object.freeze({ ...ref, run: run as WorkflowFunction<I, O> });
}

/**
 * Names a workflow whose code lives in another process.
 *
 * Its codecs and its queue must be those of the workflow itself.
 *
 * @throws {TypeError} when the name is empty, or an option is unknown or of the wrong type.
 * @throws {RangeError} when the name or the queue is longer than 255 bytes as a subject token.
 *
 * @example
 * ```ts
 * import { workflowRef } from "@x/jsflow";
 *
 * export const ship = workflowRef<{ order: string }, { tracking: string }>("ship");
 * ```
 */
export function workflowRef<I, O>(
  name: string,
  options: WorkflowOptions<I, O> = {},
): WorkflowRef<I, O> {
  checkName(name, { what: "workflow name" });
  checkOptions(`workflow "${name}"`, options, ["input", "output", "queue"]);
  const queue = options.queue ?? name;
  checkName(queue, { what: "queue", maxBytes: MAX_QUEUE_BYTES });
  return Object.freeze({
    name,
    queue,
    input: checkCodec<I>(`input of workflow "${name}"`, options.input ?? losslessJson<I>()),
    output: checkCodec<O>(`output of workflow "${name}"`, options.output ?? losslessJson<O>()),
  });
}

/** The queue is also the name of a consumer, which must stay below 255 bytes. */
const MAX_QUEUE_BYTES = 200;
