/**
 * Durable execution on NATS JetStream: workflows whose steps are committed to a journal once, and
 * which go on after the last committed step when the process that ran them dies.
 *
 * What is promised: each step's outcome is committed once; effects outside are at-least-once with a
 * stable idempotency key. Under the server's default fsync setting a power failure can lose
 * acknowledged writes.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 * import { createDurableClient, createWorker, workflow } from "@x/jsflow/durable";
 *
 * const order = workflow("order", async (ctx, amount: number) => {
 *   const charge = await ctx.run("charge", ({ idempotencyKey }) => ({ amount, idempotencyKey }));
 *   return await ctx.run("ship", () => `shipped for ${charge.amount}`);
 * });
 *
 * export async function main(): Promise<void> {
 *   await using client = await connect({ servers: "127.0.0.1:4222" });
 *   await using _worker = await createWorker(client, { workflows: [order] });
 *   const handle = await createDurableClient(client).start(order, 42, { id: "o-1" });
 *   console.log(await handle.result());
 * }
 * ```
 *
 * @module
 */
export {
  createDurableClient,
  type DurableClient,
  type DurableClientOptions,
  type StartOptions,
} from "./durable_client.ts";
export type { StorageOptions } from "./ensure_namespace.ts";
export {
  type FailureInfo,
  InvocationFailedError,
  StepFailedError,
  TerminalError,
} from "./errors.ts";
export {
  type CancelOptions,
  DEFAULT_CALL_TIMEOUT_MS,
  type InvocationHandle,
  type WaitOptions,
} from "./invocation_handle.ts";
export type { JournalEvent } from "./journal_event.ts";
export type { InvocationStatus, InvocationSummary } from "./summary.ts";
export {
  type CloseOptions,
  createWorker,
  DEFAULT_ACK_WAIT_MS,
  DEFAULT_GRACE_MS,
  DEFAULT_MAX_CONCURRENT,
  DEFAULT_REPLAY_STALL_MS,
  type Worker,
  type WorkerOptions,
} from "./worker.ts";
export {
  type AnyWorkflow,
  type Workflow,
  workflow,
  type WorkflowFunction,
  type WorkflowOptions,
  type WorkflowRef,
  workflowRef,
} from "./workflow.ts";
export {
  DEFAULT_STEP_RETRY,
  type StepContext,
  type StepOptions,
  type WorkflowContext,
} from "./workflow_context.ts";
