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
export { AUTO_CREATE_MAX_AGE_MS, type StreamAutoCreate } from "./client/auto_create.ts";
export type { Breaker, BreakerState, Failure } from "./client/breaker.ts";
export { bytes } from "./client/bytes.ts";
export type {
  Client,
  ClientCloseOptions,
  ClientStartOptions,
  CloseReport,
  ConnectionStatus,
  ConnectionWaitOptions,
  EventsOptions,
  HealthCheckOptions,
  ManagerOptions,
} from "./client/client.ts";
export type {
  BreakerEvent,
  ClientErrorEvent,
  ClientEvent,
  ClientEvents,
  ClosedEvent,
  ConsumerEvent,
  HealthEvent,
  ServerEvent,
  StatusEvent,
  SubscriptionEvent,
} from "./client/client_event.ts";
export type { Codec } from "./client/codec.ts";
export {
  compressed,
  type CompressedOptions,
  type CompressionAlgorithm,
} from "./client/compressed.ts";
export {
  configFromEnv,
  type ConfigFromEnvOptions,
  type Environment,
} from "./client/config_from_env.ts";
export { connect } from "./client/connect.ts";
export { type ConnectDefaults, connectDefaults } from "./client/connect_defaults.ts";
export type {
  BreakerOptions,
  ConnectOptions,
  ConnectTlsOptions,
  HealthOptions,
  NativeOptions,
  OfflineOptions,
  ReconnectOptions,
  Secret,
} from "./client/connect_options.ts";
export {
  CircuitOpenError,
  ConnectionTimeoutError,
  NotConnectedError,
} from "./client/connection_errors.ts";
export type {
  ConsumeHandler,
  ConsumeOptions,
  ConsumerAckPolicy,
  DefaultSettlement,
  DeliverFrom,
  OnConsumerGone,
} from "./client/consume_options.ts";
export {
  consumeWithHeartbeat,
  type HeartbeatMessage,
  type HeartbeatOptions,
  type NativeStreamMessage,
} from "./client/consume_with_heartbeat.ts";
export type { Consumers } from "./client/consumer_registry.ts";
export type {
  Consumption,
  ConsumptionDrainOptions,
  ConsumptionStats,
  ConsumptionStatus,
} from "./client/consumption.ts";
export type { Abandoned } from "./client/core.ts";
export { createClient } from "./client/create_client.ts";
export type { EffectiveOptions, Redacted } from "./client/effective_options.ts";
export {
  type BoundEndpoint,
  type Endpoint,
  endpoint,
  type EndpointCodecs,
} from "./client/endpoint.ts";
export type { EnsureStreamOptions, OnDrift } from "./client/ensure_stream.ts";
export { isJsflowError, JsflowError, type JsflowErrorCode } from "./client/errors.ts";
export { fromConnection, type FromConnectionOptions } from "./client/from_connection.ts";
export type { Health, JetStreamHealth } from "./client/health.ts";
export { json } from "./client/json.ts";
export { losslessJson } from "./client/lossless_json.ts";
export type { MessageContext, ReplyOptions } from "./client/message_context.ts";
export type { MessageHeaders, ReadonlyHeaders } from "./client/message_headers.ts";
export type { Messaging } from "./client/messaging.ts";
export type {
  Authenticator,
  DescMessage,
  JetStreamClient,
  JetStreamManager,
  MessageShape,
  NatsConnection,
  NatsConnectionOptions,
  NatsHeaders,
  NatsMessage,
  TlsOptions,
} from "./client/native.ts";
export { PermanentError } from "./client/permanent_error.ts";
export { protobuf } from "./client/protobuf.ts";
export type { PubAck } from "./client/pub_ack.ts";
export type { PublishOptions } from "./client/publish.ts";
export type {
  PublishExpectations,
  PublishToStreamOptions,
  StreamMessageOptions,
} from "./client/publish_to_stream.ts";
export {
  type FlushOptions,
  type Publisher,
  PUBLISHER_MAX_BYTES,
  PUBLISHER_MAX_MESSAGES,
  PUBLISHER_MAX_WAITING_BYTES,
  type PublisherOptions,
  type PublisherStats,
} from "./client/publisher.ts";
export { type ErrorClass, RemoteError } from "./client/remote_error.ts";
export type { Reply } from "./client/reply.ts";
export type { RequestOptions } from "./client/request.ts";
export type { RequestManyOptions } from "./client/request_many.ts";
export type { BackoffRetryPolicy, DelaysRetryPolicy, RetryPolicy } from "./client/retry_policy.ts";
export {
  type Closeable,
  runUntilSignal,
  type RunUntilSignalOptions,
  ShutdownError,
  type ShutdownSignal,
} from "./client/run_until_signal.ts";
export type { ServeOptions, Service, ServiceHandler } from "./client/serve.ts";
export type { ServerCapabilities, ServerFeature } from "./client/server_capabilities.ts";
export type { ServiceContext } from "./client/service_context.ts";
export { ServiceError, type ServiceErrorOptions } from "./client/service_error.ts";
export type {
  StandardSchema,
  StandardSchemaIssue,
  StandardSchemaProps,
  StandardSchemaResult,
  StandardSchemaTypes,
} from "./client/standard_schema.ts";
export type {
  StreamConfig,
  StreamRetention,
  StreamSettings,
  StreamStorage,
} from "./client/stream_config.ts";
export type { StreamInfo } from "./client/stream_info.ts";
export type { AckConfirmedOptions, NakOptions, StreamMessage } from "./client/stream_message.ts";
export type { StreamMessaging } from "./client/stream_messaging.ts";
export type { NativeStreamConfig, NativeStreamInfo } from "./client/stream_native.ts";
export type {
  ListStreamsOptions,
  PurgeOptions,
  StreamCallOptions,
  Streams,
} from "./client/streams.ts";
export {
  type BoundSubject,
  type OpenTokens,
  type PatternTokens,
  type Subject,
  subject,
  type SubjectParams,
  type TokenName,
  type TokensNamed,
  type TokenValue,
  type TokenValues,
} from "./client/subject.ts";
export type { SubjectFilter } from "./client/subject_filter.ts";
export type { MessageHandler, SubscribeOptions } from "./client/subscribe.ts";
export type { DrainOptions, Subscription, SubscriptionStats } from "./client/subscription.ts";
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
export type { MeterProvider, TracerProvider } from "./trace/native.ts";
export type { TelemetryOptions } from "./trace/telemetry_options.ts";
