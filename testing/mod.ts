/**
 * Real NATS servers for tests: one line that starts a server with what a test needs, single
 * servers, clusters whose links can be cut, a TCP proxy that injects faults, and helpers for
 * programs that are to be crashed.
 *
 * Everything listens on 127.0.0.1 only, on free ports, and ends with the process that started it.
 * The nats-server program is found, never downloaded: see {@link findServer}.
 *
 * Deno needs the permissions to read, to write temporary files, to read the environment, to connect
 * to 127.0.0.1, and to run nats-server and `/bin/sh` (which ends the server should the test be
 * killed). `pause` needs the permission to run anything.
 *
 * @module
 */
export type { CallOptions } from "../client/call_options.ts";
export type { Client, ConnectionStatus } from "../client/client.ts";
export type {
  Authenticator,
  JetStreamClient,
  JetStreamManager,
  NatsConnection,
  TlsOptions,
} from "../client/native.ts";
export type { ServerCapabilities, ServerFeature } from "../client/server_capabilities.ts";
export type { Direction } from "./_proxy_faults.ts";
export { FaultProxy } from "./fault_proxy.ts";
export type { FaultOptions, FaultProxyOptions, ProxyTarget } from "./fault_proxy.ts";
export {
  findServer,
  readServerVersion,
  serverCachePath,
  ServerNotFoundError,
} from "./find_server.ts";
export type { FindServerOptions } from "./find_server.ts";
export { assertLinearizable } from "./linearizability/assert_linearizable.ts";
export { checkLinearizability } from "./linearizability/check_linearizability.ts";
export type {
  Linearizability,
  LinearizabilityOptions,
} from "./linearizability/check_linearizability.ts";
export { counterModel } from "./linearizability/counter_model.ts";
export type { CounterInput, CounterOutput } from "./linearizability/counter_model.ts";
export { openHistory } from "./linearizability/history_recorder.ts";
export type {
  HistoryLine,
  HistoryRecorder,
  RecordedCall,
  RecordOptions,
  Settlement,
} from "./linearizability/history_recorder.ts";
export { lockModel } from "./linearizability/lock_model.ts";
export type {
  LockInput,
  LockModelOptions,
  LockOutput,
  LockState,
} from "./linearizability/lock_model.ts";
export type { Model } from "./linearizability/model.ts";
export { readHistory } from "./linearizability/read_history.ts";
export type { History } from "./linearizability/read_history.ts";
export type { OperationResult, RecordedOperation } from "./linearizability/recorded_operation.ts";
export { registerModel } from "./linearizability/register_model.ts";
export type {
  RegisterExpectation,
  RegisterInput,
  RegisterOutput,
  RegisterState,
  RegisterValue,
} from "./linearizability/register_model.ts";
export { semaphoreModel } from "./linearizability/semaphore_model.ts";
export type { SemaphoreInput, SemaphoreOutput } from "./linearizability/semaphore_model.ts";
export { setModel } from "./linearizability/set_model.ts";
export type { SetInput, SetOutput } from "./linearizability/set_model.ts";
export type { KV, StreamInfo } from "./native.ts";
export { NatsCluster } from "./nats_cluster.ts";
export type { NatsClusterOptions } from "./nats_cluster.ts";
export { NatsServer } from "./nats_server.ts";
export type { ServerConnectOptions } from "./nats_server.ts";
export type { ServerAuth, ServerCredentials } from "./server_auth.ts";
export type { ServerConfig, ServerConfigValue } from "./server_config.ts";
export type { NatsServerOptions, ServerTlsOptions } from "./server_options.ts";
export { floorServerVersion, newestServerVersion } from "./server_versions.ts";
export { spawnProgram } from "./spawn_program.ts";
export type {
  ProgramExit,
  ProgramSignal,
  SpawnedProgram,
  SpawnProgramOptions,
} from "./spawn_program.ts";
export { createTestCertificates } from "./test_certificates.ts";
export type { TestCertificates, TestCertificatesOptions } from "./test_certificates.ts";
export { sharedTestNats, startTestNats } from "./test_nats.ts";
export type { TestNats } from "./test_nats.ts";
export type {
  TestContents,
  TestNatsOptions,
  TestNatsPreset,
  TestStream,
} from "./test_nats_options.ts";
export { waitUntil } from "./wait_until.ts";
export type { Truthy, WaitUntilOptions } from "./wait_until.ts";
