import { defaultName } from "./_default_name.ts";
import { reconnectDelays } from "./_reconnect_delays.ts";
import { parseServers, type ServerList, type UrlCredentials } from "./_server_list.ts";
import type { ConnectOptions, NativeOptions } from "./connect_options.ts";
import type { Authenticator, NatsConnectionOptions } from "./native.ts";
import {
  checkDurationMs,
  checkFunction,
  checkObject,
  checkOptions,
  checkSignal,
  checkString,
  describe,
} from "./validate.ts";

const DEFAULT_SERVER = "127.0.0.1:4222";
const DEFAULT_TIMEOUT_MS = 5_000;
const MAX_NAME_LENGTH = 256;
const KEYS = [
  "authenticator",
  "name",
  "nats",
  "pass",
  "servers",
  "signal",
  "timeoutMs",
  "tls",
  "token",
  "user",
] as const;
/** What to do instead, for exactly the native options that `NativeOptions` leaves out. */
const REFUSED: Readonly<Record<Exclude<keyof NatsConnectionOptions, keyof NativeOptions>, string>> =
  {
    authenticator: "use the option authenticator",
    name: "use the option name",
    pass: "use the option pass",
    port: "use the option servers",
    servers: "use the option servers",
    timeout: "use the option timeoutMs",
    tls: "use the option tls",
    token: "use the option token",
    user: "use the option user",
    waitOnFirstConnect: "connecting fails fast, try it again",
  };

/** Options of `connect`, checked and completed. */
export interface ConnectSettings {
  readonly servers: ServerList;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Everything for the native client but the servers. */
  readonly native: NatsConnectionOptions;
}

/** Checks each option before any I/O. */
export function parseConnectOptions(options: ConnectOptions): ConnectSettings {
  const given: ConnectOptions = checkOptions("connect", options, KEYS);
  const servers = parseServers(given.servers ?? DEFAULT_SERVER);
  const timeoutMs = checkDurationMs(
    "connect: timeoutMs",
    given.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    { min: 1 },
  );
  const signal = checkSignal("connect: signal", given.signal);
  return { servers, timeoutMs, signal, native: nativeOptions(given, servers, timeoutMs) };
}

function nativeOptions(
  given: ConnectOptions,
  servers: ServerList,
  timeoutMs: number,
): NatsConnectionOptions {
  const name = given.name ?? defaultName();
  const tls = parseTls(given.tls, servers.tls);
  return {
    ...reconnectDefaults(),
    // A stack for every request, kept in case it fails, costs a tenth of the throughput.
    noAsyncTraces: true,
    ...parseNative(given.nats),
    ...parseAuth(given, servers.credentials),
    ...(tls === undefined ? {} : { tls }),
    name: checkString("connect: name", name, { maxLength: MAX_NAME_LENGTH }),
    timeout: timeoutMs,
  };
}

/** For ever, with jitter; credentials that the server rejects for a while do not end it. */
function reconnectDefaults(): NatsConnectionOptions {
  return {
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: reconnectDelays({
      now: () => performance.now(),
      random: () => Math.random(),
    }),
  };
}

function parseNative(native: ConnectOptions["nats"]): NatsConnectionOptions {
  if (native === undefined) return {};
  checkObject("connect: nats", native);
  for (const [key, advice] of Object.entries(REFUSED)) {
    if (!Object.hasOwn(native, key)) continue;
    throw new TypeError(`connect: nats.${key} has no effect here; ${advice}`);
  }
  // An explicit undefined must not erase a default.
  return Object.fromEntries(Object.entries(native).filter(([, value]) => value !== undefined));
}

function parseTls(
  tls: ConnectOptions["tls"],
  demanded: boolean,
): NatsConnectionOptions["tls"] {
  if (tls === undefined) return demanded ? {} : undefined;
  if (typeof tls !== "object") {
    throw new TypeError(`connect: tls must be an object or null, got ${describe(tls)}`);
  }
  if (tls === null && demanded) {
    throw new TypeError("connect: tls is null, but a tls:// server demands encryption");
  }
  return tls;
}

function parseAuth(
  given: ConnectOptions,
  fromUrl: UrlCredentials | undefined,
): NatsConnectionOptions {
  const { user, pass, token, authenticator } = given;
  const ways = [user, token, authenticator, fromUrl].filter((way) => way !== undefined);
  if (ways.length > 1) {
    throw new TypeError(
      "connect: give one of user and pass, token, authenticator, or credentials in the servers",
    );
  }
  if (pass !== undefined && user === undefined) {
    throw new TypeError("connect: pass needs user as well");
  }
  if (authenticator !== undefined) return { authenticator: checkAuthenticator(authenticator) };
  if (token !== undefined) return { token: checkSecret("connect: token", token) };
  if (user === undefined) return fromUrl ?? {};
  return {
    user: checkString("connect: user", user),
    ...(pass === undefined ? {} : { pass: checkSecret("connect: pass", pass, 0) }),
  };
}

/** Like `checkString`, but never shows the value. */
function checkSecret(name: string, value: unknown, minLength = 1): string {
  if (typeof value === "string" && value.length >= minLength) return value;
  throw new TypeError(`${name} must be a ${minLength > 0 ? "non-empty " : ""}string`);
}

function checkAuthenticator(value: Authenticator | readonly Authenticator[]): Authenticator[] {
  const all: readonly Authenticator[] = Array.isArray(value) ? value : [value as Authenticator];
  return all.map((one) => checkFunction<Authenticator>("connect: authenticator", one));
}
