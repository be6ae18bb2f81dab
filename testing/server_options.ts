import {
  checkBoolean,
  checkDurationMs,
  checkInteger,
  checkOptions,
  checkString,
} from "../client/validate.ts";
import { formatConfig, type ServerConfig } from "./server_config.ts";
import { type ServerAuth, type ServerCredentials, splitAuth } from "./server_auth.ts";
import { createTestCertificates, type TestCertificates } from "./test_certificates.ts";

/** How `NatsServer.start` starts a server. */
export interface NatsServerOptions {
  /** Path of the program. @default what `findServer` finds */
  readonly binary?: string | undefined;
  /** The exact version to run, such as `"2.9.10"`; see `findServer`. */
  readonly version?: string | undefined;
  /** The server's name. @default its id */
  readonly name?: string | undefined;
  /** The client port on 127.0.0.1; -1 takes a free one. @default -1 */
  readonly port?: number | undefined;
  /** The port of the monitoring pages on 127.0.0.1; -1 takes a free one. @default -1 */
  readonly monitorPort?: number | undefined;
  /**
   * Switches JetStream on or off; an object adds settings to its `jetstream` block, such as
   * `{ max_file_store: "1G" }`. @default true
   */
  readonly jetstream?: boolean | ServerConfig | undefined;
  /** Folder for JetStream's store, kept at the end. @default a temporary one, removed at the end */
  readonly storeDir?: string | undefined;
  /** Makes clients authenticate. @default everybody may connect */
  readonly auth?: ServerAuth | undefined;
  /** Makes clients use TLS; `true` makes certificates for the occasion. @default false */
  readonly tls?: boolean | ServerTlsOptions | undefined;
  /** More configuration, by nats-server's own key names: accounts, operator JWTs, limits … */
  readonly config?: ServerConfig | undefined;
  /** What lets a client in when `config` holds the users; used to check that the server is up. */
  readonly credentials?: ServerCredentials | undefined;
  /** Milliseconds to become ready, here and at each restart. @default 10_000 */
  readonly startTimeoutMs?: number | undefined;
}

/** TLS of a test server. */
export interface ServerTlsOptions {
  /** What the server shows. @default made for the occasion */
  readonly certificates?: TestCertificates | undefined;
  /** Clients must show a certificate too. @default false */
  readonly verifyClients?: boolean | undefined;
}

/** Options of a server, checked and completed. */
export interface ServerSettings {
  readonly binary: string | undefined;
  readonly version: string | undefined;
  readonly port: number;
  readonly monitorPort: number;
  readonly storeDir: string | undefined;
  readonly jetstream: ServerConfig | undefined;
  readonly certificates: TestCertificates | undefined;
  readonly verifyClients: boolean;
  readonly credentials: ServerCredentials;
  /** Users come from `config` and no credentials for them are known. */
  readonly ownUsers: boolean;
  readonly startTimeoutMs: number;
  /** The remaining configuration. */
  readonly config: ServerConfig;
}

const KEYS = [
  "auth",
  "binary",
  "config",
  "credentials",
  "jetstream",
  "monitorPort",
  "name",
  "port",
  "startTimeoutMs",
  "storeDir",
  "tls",
  "version",
] as const;

/** Configuration keys that an option sets, or that must stay as they are. */
const MANAGED: Readonly<Record<string, string>> = {
  addr: "servers listen on 127.0.0.1 only",
  host: "servers listen on 127.0.0.1 only",
  http: "use the option monitorPort",
  http_port: "use the option monitorPort",
  https: "monitoring is plain http",
  https_port: "monitoring is plain http",
  jetstream: "use the option jetstream",
  listen: "use the option port",
  log_file: "the log is read with log()",
  logfile: "the log is read with log()",
  monitor_port: "use the option monitorPort",
  net: "servers listen on 127.0.0.1 only",
  port: "use the option port",
  ports_file_dir: "it is needed to learn the ports",
  server_name: "use the option name",
  tls: "use the option tls",
};

/** Checks each option before anything is started. */
export function parseServerOptions(options: NatsServerOptions | undefined): ServerSettings {
  const given: NatsServerOptions = checkOptions("NatsServer.start", options, KEYS);
  const auth = given.auth === undefined ? undefined : splitAuth(given.auth);
  const config = checkConfig(given.config ?? {});
  if (auth !== undefined && config["authorization"] !== undefined) {
    throw new TypeError("give either the option auth or config.authorization, not both");
  }
  const tls = parseTls(given.tls);
  const name = given.name === undefined ? {} : { server_name: checkString("name", given.name) };
  const credentials = { ...auth?.credentials, ...tls.credentials, ...given.credentials };
  return {
    ...parseProgram(given),
    port: checkPort("port", given.port),
    monitorPort: checkPort("monitorPort", given.monitorPort),
    storeDir: given.storeDir === undefined ? undefined : checkString("storeDir", given.storeDir),
    jetstream: parseJetStream(given.jetstream ?? true),
    certificates: tls.certificates,
    verifyClients: tls.verifyClients,
    credentials,
    ownUsers: given.credentials === undefined && hasOwnUsers(config),
    startTimeoutMs: checkDurationMs("startTimeoutMs", given.startTimeoutMs ?? 10_000, { min: 1 }),
    config: { ...name, ...(auth && { authorization: auth.config }), ...config },
  };
}

function parseProgram(given: NatsServerOptions): Pick<ServerSettings, "binary" | "version"> {
  const { binary, version } = given;
  if (binary !== undefined && version !== undefined) {
    throw new TypeError("give either the option binary or version, not both");
  }
  if (binary !== undefined) checkString("binary", binary);
  if (version !== undefined) checkString("version", version);
  return { binary, version };
}

function checkPort(name: string, port: number | undefined): number {
  const value = checkInteger(name, port ?? -1, { min: -1, max: 65_535 });
  if (value === 0) throw new RangeError(`${name} must be -1 for a free port, or 1 to 65535, got 0`);
  return value;
}

function checkConfig(config: ServerConfig): ServerConfig {
  checkOptions("config", config, Object.keys(config));
  for (const key of Object.keys(config)) {
    const hint = MANAGED[key.toLowerCase()];
    if (hint !== undefined) throw new TypeError(`config.${key} can't be set: ${hint}`);
  }
  formatConfig(config);
  return config;
}

function parseJetStream(jetstream: boolean | ServerConfig): ServerConfig | undefined {
  if (typeof jetstream === "boolean") return jetstream ? {} : undefined;
  checkOptions("jetstream", jetstream, Object.keys(jetstream));
  if (jetstream["store_dir"] !== undefined) {
    throw new TypeError("jetstream.store_dir can't be set: use the option storeDir");
  }
  formatConfig(jetstream);
  return jetstream;
}

/** Whether a configuration says itself who may connect. */
export function hasOwnUsers(config: ServerConfig): boolean {
  const keys = ["authorization", "accounts", "operator", "resolver", "trusted_keys"];
  return keys.some((key) => config[key] !== undefined);
}

type ParsedTls = Pick<ServerSettings, "certificates" | "verifyClients" | "credentials">;

function parseTls(tls: NatsServerOptions["tls"]): ParsedTls {
  if (tls === undefined || tls === false) {
    return { certificates: undefined, verifyClients: false, credentials: {} };
  }
  const given = tls === true ? {} : checkOptions("tls", tls, ["certificates", "verifyClients"]);
  const certificates = given.certificates ?? createTestCertificates();
  const verifyClients = checkBoolean("tls.verifyClients", given.verifyClients ?? false);
  const { ca, clientCert: cert, clientKey: key } = certificates;
  const credentials = { tls: verifyClients ? { ca, cert, key } : { ca } };
  return { certificates, verifyClients, credentials };
}
