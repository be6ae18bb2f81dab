/**
 * A toolkit on NATS JetStream: typed client and durable execution.
 *
 * This module holds what most programs need; the rest is under `@x/jsflow/client`,
 * `@x/jsflow/durable` and `@x/jsflow/testing`.
 *
 * @example
 * ```ts
 * import { connect, createDurableClient, createWorker, workflow } from "@x/jsflow";
 *
 * const hello = workflow("hello", async (ctx, name: string) => {
 *   return await ctx.run("greet", () => `Hello, ${name}`);
 * });
 *
 * export async function main(): Promise<void> {
 *   await using client = await connect({ servers: "127.0.0.1:4222" });
 *   await using _worker = await createWorker(client, { workflows: [hello] });
 *   const handle = await createDurableClient(client).start(hello, "world");
 *   console.log(await handle.result());
 * }
 * ```
 *
 * @module
 */
export { bytes } from "./client/bytes.ts";
export type { Client, ConnectionStatus, ManagerOptions } from "./client/client.ts";
export type { Codec } from "./client/codec.ts";
export { connect } from "./client/connect.ts";
export type { ConnectOptions, NativeOptions } from "./client/connect_options.ts";
export { isJsflowError, JsflowError, type JsflowErrorCode } from "./client/errors.ts";
export { fromConnection } from "./client/from_connection.ts";
export { json } from "./client/json.ts";
export { losslessJson } from "./client/lossless_json.ts";
export type {
  Authenticator,
  DescMessage,
  JetStreamClient,
  JetStreamManager,
  MessageShape,
  NatsConnection,
  NatsConnectionOptions,
  TlsOptions,
} from "./client/native.ts";
export { protobuf } from "./client/protobuf.ts";
export type { BackoffRetryPolicy, DelaysRetryPolicy, RetryPolicy } from "./client/retry_policy.ts";
export type { ServerCapabilities, ServerFeature } from "./client/server_capabilities.ts";
export type {
  StandardSchema,
  StandardSchemaIssue,
  StandardSchemaProps,
  StandardSchemaResult,
  StandardSchemaTypes,
} from "./client/standard_schema.ts";
export {
  type BoundSubject,
  type OpenTokens,
  type PatternTokens,
  type Subject,
  subject,
  subjectName,
  type SubjectParams,
  type TokenName,
  type TokensNamed,
  type TokenValue,
  type TokenValues,
} from "./client/subject.ts";
export { text } from "./client/text.ts";
export {
  createDurableClient,
  type DurableClient,
  type DurableClientOptions,
  type StartOptions,
} from "./durable/durable_client.ts";
export type { StorageOptions } from "./durable/ensure_namespace.ts";
export {
  type FailureInfo,
  InvocationFailedError,
  StepFailedError,
  TerminalError,
} from "./durable/errors.ts";
export type { CancelOptions, InvocationHandle, WaitOptions } from "./durable/invocation_handle.ts";
export type { JournalEvent } from "./durable/journal_event.ts";
export type { InvocationStatus, InvocationSummary } from "./durable/summary.ts";
export {
  type CloseOptions,
  createWorker,
  type Worker,
  type WorkerOptions,
} from "./durable/worker.ts";
export {
  type AnyWorkflow,
  type Workflow,
  workflow,
  type WorkflowFunction,
  type WorkflowOptions,
  type WorkflowRef,
  workflowRef,
} from "./durable/workflow.ts";
export type { StepContext, StepOptions, WorkflowContext } from "./durable/workflow_context.ts";
