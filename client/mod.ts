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
export { bytes } from "./bytes.ts";
export type { Client, ConnectionStatus, ManagerOptions } from "./client.ts";
export type { Codec } from "./codec.ts";
export { connect } from "./connect.ts";
export type { ConnectOptions, NativeOptions } from "./connect_options.ts";
export { isJsflowError, JsflowError, type JsflowErrorCode } from "./errors.ts";
export { fromConnection } from "./from_connection.ts";
export { json } from "./json.ts";
export { losslessJson } from "./lossless_json.ts";
export { decodeToken, encodeName, encodeToken, type EncodeTokenOptions } from "./names.ts";
export type {
  Authenticator,
  DescMessage,
  JetStreamClient,
  JetStreamManager,
  MessageShape,
  NatsConnection,
  NatsConnectionOptions,
  TlsOptions,
} from "./native.ts";
export { protobuf } from "./protobuf.ts";
export {
  type BackoffRetryPolicy,
  type DelaysRetryPolicy,
  retryDelayMs,
  type RetryPolicy,
  validateRetryPolicy,
} from "./retry_policy.ts";
export {
  type ServerCapabilities,
  serverCapabilities,
  type ServerFeature,
} from "./server_capabilities.ts";
export type {
  StandardSchema,
  StandardSchemaIssue,
  StandardSchemaProps,
  StandardSchemaResult,
  StandardSchemaTypes,
} from "./standard_schema.ts";
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
export { text } from "./text.ts";
export { translateError } from "./translate_error.ts";
