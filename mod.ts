/**
 * A toolkit on NATS JetStream: typed client, key-value store and durable execution.
 *
 * This module holds what most programs need. All of it and the rest, such as further codecs, the
 * defaults of options and their smaller types, is under `@x/jsflow/client`, `@x/jsflow/kv`,
 * `@x/jsflow/durable`, `@x/jsflow/trace` and `@x/jsflow/testing`.
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
export type { StreamAutoCreate } from "./client/auto_create.ts";
export { bytes } from "./client/bytes.ts";
export type { CallOptions, WaitBounds } from "./client/call_options.ts";
export type { Client, ConnectionStatus } from "./client/client.ts";
export type { ClientEvent } from "./client/client_event.ts";
export type { Codec } from "./client/codec.ts";
export { configFromEnv } from "./client/config_from_env.ts";
export { connect } from "./client/connect.ts";
export type { ConnectOptions } from "./client/connect_options.ts";
export {
  CircuitOpenError,
  ConnectionTimeoutError,
  NotConnectedError,
} from "./client/connection_errors.ts";
export type { ConsumeHandler, ConsumeOptions } from "./client/consume_options.ts";
export type { Consumption } from "./client/consumption.ts";
export { createClient } from "./client/create_client.ts";
export type { DrainOptions } from "./client/drain_options.ts";
export { type BoundEndpoint, type Endpoint, endpoint } from "./client/endpoint.ts";
export { isJsflowError, JsflowError, type JsflowErrorCode } from "./client/errors.ts";
export { fromConnection } from "./client/from_connection.ts";
export type { Health } from "./client/health.ts";
export { json } from "./client/json.ts";
export type { MessageContext } from "./client/message_context.ts";
export { PermanentError } from "./client/permanent_error.ts";
export { protobuf } from "./client/protobuf.ts";
export type { PubAck } from "./client/pub_ack.ts";
export type { PublishOptions } from "./client/publish.ts";
export type { PublishToStreamOptions } from "./client/publish_to_stream.ts";
export type { Publisher, PublisherOptions } from "./client/publisher.ts";
export { type ErrorClass, RemoteError } from "./client/remote_error.ts";
export type { Reply } from "./client/reply.ts";
export type { RequestOptions } from "./client/request.ts";
export type { RetryPolicy } from "./client/retry_policy.ts";
export { runUntilSignal } from "./client/run_until_signal.ts";
export type { ServeOptions, Service, ServiceHandler } from "./client/serve.ts";
export type { ServiceContext } from "./client/service_context.ts";
export { ServiceError } from "./client/service_error.ts";
export type { StreamConfig } from "./client/stream_config.ts";
export type { StreamInfo } from "./client/stream_info.ts";
export type { StreamMessage } from "./client/stream_message.ts";
export { type BoundSubject, type Subject, subject } from "./client/subject.ts";
export type { MessageHandler, SubscribeOptions } from "./client/subscribe.ts";
export type { Subscription } from "./client/subscription.ts";
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
export { type Coordination, type CoordinationOptions } from "./kv/coordination.ts";
export type { Change, Entry } from "./kv/entry.ts";
export { isConflict, isNotFound } from "./kv/errors.ts";
export type { Mirror } from "./kv/mirror.ts";
export { openCoordination } from "./kv/open_coordination.ts";
export { openStore } from "./kv/open_store.ts";
export type { Store, UpdateOptions } from "./kv/store.ts";
export type { StoreOptions } from "./kv/store_options.ts";
export type { Watch, WatchOptions } from "./kv/watch.ts";
