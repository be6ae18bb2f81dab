/**
 * The connection to NATS, and the types that describe what travels over it: subjects, codecs,
 * names, errors and retry policies.
 *
 * @example
 * ```ts
 * import { connect, json, subject, subjectName } from "@x/jsflow/client";
 *
 * const Orders = subject("orders.{region}", json<{ id: string }>());
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "127.0.0.1:4222" });
 *   try {
 *     const eu = Orders.with({ region: "eu" });
 *     client.connection.publish(subjectName(eu), eu.codec.encode({ id: "o-1" }));
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 *
 * @module
 */
export type { MeterProvider, TracerProvider } from "../trace/native.ts";
export type { TelemetryOptions } from "../trace/telemetry_options.ts";
export { AUTO_CREATE_MAX_AGE_MS, type StreamAutoCreate } from "./auto_create.ts";
export type { Batch, FetchedMessage } from "./batch.ts";
export type { Breaker, BreakerState, Failure } from "./breaker.ts";
export { bytes } from "./bytes.ts";
export type { CallOptions, WaitBounds } from "./call_options.ts";
export type {
  Client,
  ClientCloseOptions,
  CloseReport,
  ConnectionStatus,
  EventsOptions,
} from "./client.ts";
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
} from "./client_event.ts";
export type { Codec } from "./codec.ts";
export { compressed, type CompressedOptions, type CompressionAlgorithm } from "./compressed.ts";
export { configFromEnv, type ConfigFromEnvOptions, type Environment } from "./config_from_env.ts";
export { connect } from "./connect.ts";
export { type ConnectDefaults, connectDefaults } from "./connect_defaults.ts";
export type {
  BreakerOptions,
  ConnectOptions,
  ConnectTlsOptions,
  HealthOptions,
  NativeOptions,
  OfflineOptions,
  ReconnectOptions,
  Secret,
} from "./connect_options.ts";
export {
  CircuitOpenError,
  ConnectionTimeoutError,
  NotConnectedError,
} from "./connection_errors.ts";
export {
  type ConsumeHandler,
  type ConsumeOptions,
  type ConsumerAckPolicy,
  DEFAULT_ACK_WAIT_MS,
  DEFAULT_CANCEL_DELAY_MS,
  DEFAULT_CONSUME_MAX_MESSAGES,
  DEFAULT_ERROR_DELAY_MS,
  DEFAULT_INACTIVE_THRESHOLD_MS,
  DEFAULT_PULL_HEARTBEAT_MS,
  type DefaultSettlement,
  type DeliverFrom,
  type OnConsumerGone,
} from "./consume_options.ts";
export {
  consumeWithHeartbeat,
  DEFAULT_HEARTBEAT_MS,
  type HeartbeatMessage,
  type HeartbeatOptions,
  type NativeStreamMessage,
} from "./consume_with_heartbeat.ts";
export type { Consumers, StopAndDeleteOptions } from "./consumer_registry.ts";
export type { Consumption, ConsumptionStats, ConsumptionStatus } from "./consumption.ts";
export type { Abandoned } from "./core.ts";
export { createClient } from "./create_client.ts";
export { DEFAULT_GRACE_MS, type DrainOptions } from "./drain_options.ts";
export type { EffectiveOptions, Redacted } from "./effective_options.ts";
export { type BoundEndpoint, type Endpoint, endpoint, type EndpointCodecs } from "./endpoint.ts";
export type { EnsureStreamOptions, OnDrift } from "./ensure_stream.ts";
export { isJsflowError, JsflowError, type JsflowErrorCode } from "./errors.ts";
export {
  DEFAULT_FETCH_EXPIRES_MS,
  DEFAULT_FETCH_MAX_MESSAGES,
  type FetchOptions,
} from "./fetch_options.ts";
export { fromConnection, type FromConnectionOptions } from "./from_connection.ts";
export type { HandlerContext } from "./handler_context.ts";
export {
  DEFAULT_CONCURRENCY,
  DEFAULT_HANDLER_TIMEOUT_MS,
  DEFAULT_MAX_WAITING,
  DEFAULT_MAX_WAITING_BYTES,
  DEFAULT_SERVE_CONCURRENCY,
  DEFAULT_SERVE_MAX_WAITING,
  type HandlerOptions,
} from "./handler_options.ts";
export type { Health, JetStreamHealth } from "./health.ts";
export { json } from "./json.ts";
export { losslessJson } from "./lossless_json.ts";
export type { MessageContext, ReplyOptions } from "./message_context.ts";
export type { MessageHeaders, ReadonlyHeaders } from "./message_headers.ts";
export type { Messaging } from "./messaging.ts";
export { decodeToken, encodeName, encodeToken, type EncodeTokenOptions } from "./names.ts";
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
} from "./native.ts";
export { PermanentError } from "./permanent_error.ts";
export { protobuf } from "./protobuf.ts";
export type { PubAck } from "./pub_ack.ts";
export type { PublishOptions } from "./publish.ts";
export type {
  PublishExpectations,
  PublishToStreamOptions,
  StreamMessageOptions,
} from "./publish_to_stream.ts";
export {
  type Publisher,
  PUBLISHER_MAX_BYTES,
  PUBLISHER_MAX_MESSAGES,
  PUBLISHER_MAX_WAITING_BYTES,
  type PublisherOptions,
  type PublisherStats,
} from "./publisher.ts";
export { type ErrorClass, RemoteError } from "./remote_error.ts";
export type { Reply } from "./reply.ts";
export type { RequestOptions } from "./request.ts";
export { DEFAULT_MAX_WAITING_REPLIES, type RequestManyOptions } from "./request_many.ts";
export {
  type BackoffRetryPolicy,
  type DelaysRetryPolicy,
  retryDelayMs,
  type RetryPolicy,
  validateRetryPolicy,
} from "./retry_policy.ts";
export {
  type Closeable,
  DEFAULT_SHUTDOWN_GRACE_MS,
  runUntilSignal,
  type RunUntilSignalOptions,
  ShutdownError,
  type ShutdownSignal,
} from "./run_until_signal.ts";
export {
  DEFAULT_SERVE_QUEUE,
  type ServeOptions,
  type Service,
  type ServiceHandler,
} from "./serve.ts";
export {
  type ServerCapabilities,
  serverCapabilities,
  type ServerFeature,
} from "./server_capabilities.ts";
export type { ServiceContext } from "./service_context.ts";
export { ServiceError, type ServiceErrorOptions } from "./service_error.ts";
export type {
  StandardSchema,
  StandardSchemaIssue,
  StandardSchemaProps,
  StandardSchemaResult,
  StandardSchemaTypes,
} from "./standard_schema.ts";
export type {
  StreamConfig,
  StreamRetention,
  StreamSettings,
  StreamStorage,
} from "./stream_config.ts";
export type { StreamInfo } from "./stream_info.ts";
export type { NakOptions, StreamMessage } from "./stream_message.ts";
export type { StreamMessaging } from "./stream_messaging.ts";
export type { NativeStreamConfig, NativeStreamInfo } from "./stream_native.ts";
export type { ListStreamsOptions, PurgeOptions, Streams } from "./streams.ts";
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
} from "./subject.ts";
export type { SubjectFilter } from "./subject_filter.ts";
export type { MessageHandler, SubscribeOptions } from "./subscribe.ts";
export type { Subscription, SubscriptionStats } from "./subscription.ts";
export { text } from "./text.ts";
export { translateError } from "./translate_error.ts";
