import { checkTelemetryOptions, type TelemetrySettings } from "../trace/telemetry_options.ts";
import { REDACTED, showNative, type ShownNative } from "./_shown_native.ts";
import { type AuthSummary, type Credentials, parseAuth } from "./_auth.ts";
import type { CircuitSettings } from "./_circuit.ts";
import { defaultName } from "./_default_name.ts";
import type { OfflineBounds } from "./_offline_buffer.ts";
import { reconnectDelays } from "./_reconnect_delays.ts";
import { parseServers, type ServerAddress } from "./_server_list.ts";
import { checkSecretObject } from "./_secret_source.ts";
import { checkTlsFiles, parseTls, type ShownTls } from "./_tls.ts";
import { type ConnectDefaults, connectDefaults } from "./connect_defaults.ts";
import type { ConnectOptions, NativeOptions } from "./connect_options.ts";
import type { NatsConnectionOptions } from "./native.ts";
import { validateRetryPolicy } from "./retry_policy.ts";
import {
  checkDurationMs,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkString,
  describe,
} from "./validate.ts";

const MAX_NAME_LENGTH = 256;
const MIN_HEALTH_INTERVAL_MS = 10;
/** Every option, so that a misspelled one is found; a type error when one is missing. */
const KEYS = Object.keys(
  {
    authenticator: 0,
    breaker: 0,
    creds: 0,
    credsFile: 0,
    drainTimeoutMs: 0,
    health: 0,
    jwt: 0,
    maxPingsOut: 0,
    name: 0,
    nats: 0,
    nkeySeed: 0,
    offline: 0,
    pass: 0,
    pingIntervalMs: 0,
    plaintext: 0,
    reconnect: 0,
    requestTimeoutMs: 0,
    servers: 0,
    signal: 0,
    telemetry: 0,
    timeoutMs: 0,
    tls: 0,
    token: 0,
    user: 0,
  } satisfies Record<keyof ConnectOptions, 0>,
) as (keyof ConnectOptions)[];
/** What to do instead, for exactly the native options that `NativeOptions` leaves out. */
const REFUSED: Readonly<Record<Exclude<keyof NatsConnectionOptions, keyof NativeOptions>, string>> =
  {
    authenticator: "use the option authenticator",
    ignoreAuthErrorAbort:
      "rejected credentials are tried again as often as reconnect.attempts says",
    maxPingOut: "use the option maxPingsOut",
    maxReconnectAttempts: "use the option reconnect.attempts",
    name: "use the option name",
    pass: "use the option pass",
    pingInterval: "use the option pingIntervalMs",
    port: "use the option servers",
    reconnect: "use the option reconnect",
    reconnectDelayHandler: "use the option reconnect",
    reconnectJitter: "use the option reconnect.jitter",
    reconnectJitterTLS: "use the option reconnect.jitter",
    reconnectTimeWait: "use the option reconnect.initialMs",
    servers: "use the option servers",
    timeout: "use the option timeoutMs",
    tls: "use the option tls",
    token: "use the option token",
    user: "use the option user",
    waitOnFirstConnect: "connecting fails fast, try it again",
  };

/** How a lost connection is reopened, completed. */
type ReconnectSettings = ConnectDefaults["reconnect"];

/** Options of `connect`, checked and completed. Holds no secret outside `credentials` and TLS. */
export interface ConnectSettings {
  readonly servers: { readonly addresses: readonly ServerAddress[] };
  readonly name: string;
  readonly timeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly maxPingsOut: number;
  /** Undefined: a lost connection closes the client. */
  readonly reconnect: ReconnectSettings | undefined;
  /** Undefined: there is no breaker. */
  readonly breaker: CircuitSettings | undefined;
  /** Undefined: no periodic check. */
  readonly health: { readonly intervalMs: number } | undefined;
  /** Undefined: what cannot be sent fails at once. */
  readonly offline: OfflineBounds | undefined;
  readonly telemetry: TelemetrySettings;
  readonly plaintext: "allow" | "loopback";
  readonly signal: AbortSignal | undefined;
  /** What may be shown of the way to authenticate. */
  readonly auth: AuthSummary;
  readonly credentials: Credentials;
  /** The TLS options as they may be shown. */
  readonly tls: ShownTls;
  /** The raw native options as they may be shown. */
  readonly nats: ShownNative;
  /** Everything for the native client but the servers. */
  readonly native: NatsConnectionOptions;
}

/** Checks each option before any I/O. */
export function parseConnectOptions(options: ConnectOptions | undefined): ConnectSettings {
  if (options !== undefined) checkSecretObject("connect options", options);
  const given: ConnectOptions = checkOptions("connect", options, KEYS);
  const { servers = connectDefaults.servers } = given;
  const { addresses, tls: demandsTls, credentials: fromUrl } = parseServers(
    servers,
  );
  const { credentials, summary } = parseAuth(given, fromUrl);
  const basic = { ...parseNumbers(given), ...parseGroups(given), name: parseName(given.name) };
  const plaintext = parsePlaintext(given.plaintext);
  const raw = parseNative(given.nats);
  const { reconnectToServer } = raw;
  const tls = parseTls(given.tls, { addresses, demandsTls, plaintext, reconnectToServer });
  return {
    ...basic,
    servers: { addresses },
    plaintext,
    telemetry: checkTelemetryOptions(given.telemetry),
    signal: checkSignal("connect: signal", given.signal),
    auth: summary,
    credentials,
    tls: tls.shown,
    nats: showNative(raw),
    native: {
      ...nativeDefaults(basic),
      ...raw,
      ...tls.native,
      ...credentials.native,
    },
  };
}

/**
 * Asks for the credentials and reads the files once, so that what is missing is said in full.
 *
 * To be called before each first dial: the native client cannot tell these failures.
 *
 * @throws {JsflowError} `authorization`.
 */
export function checkSecrets(settings: ConnectSettings): void {
  settings.credentials.check();
  checkTlsFiles(settings.native.tls);
}

/** Drops every secret, for good: a connection made from the settings can't be reopened. */
export function forgetSecrets(settings: ConnectSettings): void {
  settings.credentials.forget();
  const native = settings.native as Record<string, unknown>;
  delete native["authenticator"];
  for (const [key, shown] of Object.entries(settings.nats)) {
    if (shown === REDACTED) delete native[key];
  }
  // The native connection has the same object.
  const tls: { key?: string } | null | undefined = settings.native.tls;
  if (tls) delete tls.key;
}

type Numbers = Pick<
  ConnectSettings,
  "drainTimeoutMs" | "maxPingsOut" | "pingIntervalMs" | "requestTimeoutMs" | "timeoutMs"
>;
type Groups = Pick<ConnectSettings, "breaker" | "health" | "offline" | "reconnect">;

function parseNumbers(given: ConnectOptions): Numbers {
  const duration = (key: Exclude<keyof Numbers, "maxPingsOut">) =>
    checkDurationMs(`connect: ${key}`, withDefault(given[key], connectDefaults[key]), { min: 1 });
  const { maxPingsOut = connectDefaults.maxPingsOut } = given;
  return {
    timeoutMs: duration("timeoutMs"),
    requestTimeoutMs: duration("requestTimeoutMs"),
    drainTimeoutMs: duration("drainTimeoutMs"),
    pingIntervalMs: duration("pingIntervalMs"),
    maxPingsOut: checkInteger("connect: maxPingsOut", maxPingsOut, { min: 1, max: 1_000 }),
  };
}

function parseGroups(given: ConnectOptions): Groups {
  return {
    reconnect: given.reconnect === false ? undefined : parseReconnect(given.reconnect),
    breaker: given.breaker === false ? undefined : parseBreaker(given.breaker),
    health: given.health === undefined || given.health === false
      ? undefined
      : parseHealth(given.health),
    offline: parseOffline(given.offline),
  };
}

function parseReconnect(options: Exclude<ConnectOptions["reconnect"], false>): ReconnectSettings {
  const keys = ["attempts", "factor", "initialMs", "jitter", "maxMs"] as const;
  const given = checkOptions("connect: reconnect", options, keys);
  const settings = withDefaults(connectDefaults.reconnect, given);
  validateRetryPolicy("connect: reconnect", settings);
  // Without a pause, an address where nothing listens would be dialled in a busy loop.
  checkDurationMs("connect: reconnect.initialMs", settings.initialMs, { min: 1 });
  checkDurationMs("connect: reconnect.maxMs", settings.maxMs, { min: 1 });
  return settings;
}

function parseBreaker(options: Exclude<ConnectOptions["breaker"], false>): CircuitSettings {
  const keys = ["initialMs", "maxMs", "threshold"] as const;
  const given = checkOptions("connect: breaker", options, keys);
  const { threshold, initialMs, maxMs } = withDefaults(connectDefaults.breaker, given);
  checkInteger("connect: breaker.threshold", threshold, { min: 1 });
  checkDurationMs("connect: breaker.initialMs", initialMs, { min: 1 });
  // With only initialMs given, the default bound must not be below it.
  const bound = given.maxMs === undefined ? Math.max(maxMs, initialMs) : maxMs;
  checkDurationMs("connect: breaker.maxMs", bound, { min: initialMs });
  return { threshold, initialMs, maxMs: bound };
}

function parseHealth(options: ConnectOptions["health"] & object): { intervalMs: number } {
  const given = checkOptions("connect: health", options, ["intervalMs"]);
  const { intervalMs = connectDefaults.health.intervalMs } = given;
  checkDurationMs("connect: health.intervalMs", intervalMs, { min: MIN_HEALTH_INTERVAL_MS });
  return { intervalMs };
}

function parseOffline(options: ConnectOptions["offline"]): OfflineBounds | undefined {
  if (options === undefined || options === "fail") return undefined;
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`connect: offline must be "fail" or an object, got ${describe(options)}`);
  }
  const given = checkOptions("connect: offline", options, ["maxBytes", "maxMessages"]);
  const { maxMessages, maxBytes } = withDefaults(connectDefaults.offline, given);
  return {
    maxMessages: checkInteger("connect: offline.maxMessages", maxMessages, { min: 1 }),
    maxBytes: checkInteger("connect: offline.maxBytes", maxBytes, { min: 1 }),
  };
}

function parsePlaintext(value: ConnectOptions["plaintext"]): "allow" | "loopback" {
  if (value === undefined) return connectDefaults.plaintext;
  return checkOneOf("connect: plaintext", value, ["allow", "loopback"]);
}

function parseName(name: unknown): string {
  if (name === undefined) return defaultName();
  return checkString("connect: name", name, { maxLength: MAX_NAME_LENGTH });
}

function nativeDefaults(settings: Numbers & Groups & { name: string }): NatsConnectionOptions {
  return {
    name: settings.name,
    timeout: settings.timeoutMs,
    pingInterval: settings.pingIntervalMs,
    maxPingOut: settings.maxPingsOut,
    // Credentials that the server rejects for a while do not end it.
    ignoreAuthErrorAbort: true,
    // A stack for every request, kept in case it fails, costs a tenth of the throughput.
    noAsyncTraces: true,
    ...nativeReconnect(settings.reconnect),
  };
}

function nativeReconnect(reconnect: ReconnectSettings | undefined): NatsConnectionOptions {
  if (reconnect === undefined) return { reconnect: false };
  const sources = { now: () => performance.now(), random: () => Math.random() };
  return {
    reconnect: true,
    maxReconnectAttempts: reconnect.attempts === Infinity ? -1 : reconnect.attempts,
    reconnectDelayHandler: reconnectDelays(reconnect, sources),
  };
}

function parseNative(native: ConnectOptions["nats"]): NatsConnectionOptions {
  if (native === undefined) return {};
  checkSecretObject("connect: nats", native);
  for (const [key, advice] of Object.entries(REFUSED)) {
    if (!Object.hasOwn(native, key)) continue;
    throw new TypeError(`connect: nats.${key} has no effect here; ${advice}`);
  }
  // An explicit undefined must not erase a default.
  return Object.fromEntries(Object.entries(native).filter(([, value]) => value !== undefined));
}

/** Unlike `??`, it leaves null in place: that is no way to ask for a default. */
function withDefault(value: unknown, fallback: unknown): unknown {
  return value === undefined ? fallback : value;
}

/** The defaults, replaced by what is given and not undefined. */
function withDefaults<D extends object>(
  defaults: D,
  given: { readonly [K in keyof D]?: D[K] | undefined },
): D {
  const present = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(present) };
}
