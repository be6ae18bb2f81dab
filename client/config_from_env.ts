import process from "node:process";
import { checkPath } from "./_secret_source.ts";
import type { ConnectOptions, ConnectTlsOptions, ReconnectOptions } from "./connect_options.ts";
import { checkObject, checkOptions, checkString, MAX_TIMER_MS } from "./validate.ts";

/** How {@link configFromEnv} finds its variables. */
export interface ConfigFromEnvOptions {
  /** What the names begin with: letters, digits and `_`. @default "NATS_" */
  readonly prefix?: string | undefined;
}

/** Variables by their names, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the options of `connect` from environment variables.
 *
 * | Variable | Option | Value |
 * | --- | --- | --- |
 * | `NATS_URL` | `servers` | addresses, with commas between them |
 * | `NATS_NAME` | `name` | text |
 * | `NATS_USER` | `user` | text |
 * | `NATS_PASSWORD` | `pass` | text; needs `NATS_USER` |
 * | `NATS_TOKEN` | `token` | text |
 * | `NATS_CREDS` | `credsFile` | path of a creds file |
 * | `NATS_NKEY_SEED` | `nkeySeed` | seed of a user (`SU…`) |
 * | `NATS_JWT` | `jwt` | user JWT, with `NATS_NKEY_SEED` unless it is a bearer token |
 * | `NATS_TLS` | `tls` | flag; off forbids TLS |
 * | `NATS_TLS_CA` | `tls.ca`, `tls.caFile` | PEM text or path |
 * | `NATS_TLS_CERT` | `tls.cert`, `tls.certFile` | PEM text or path |
 * | `NATS_TLS_KEY` | `tls.key`, `tls.keyFile` | PEM text or path |
 * | `NATS_TLS_FIRST` | `tls.handshakeFirst` | flag |
 * | `NATS_TLS_SERVER_NAME` | `tls.serverName` | host |
 * | `NATS_PLAINTEXT` | `plaintext` | `allow` or `loopback` |
 * | `NATS_CONNECT_TIMEOUT_MS` | `timeoutMs` | milliseconds from 1 |
 * | `NATS_REQUEST_TIMEOUT_MS` | `requestTimeoutMs` | milliseconds from 1 |
 * | `NATS_DRAIN_TIMEOUT_MS` | `drainTimeoutMs` | milliseconds from 1 |
 * | `NATS_PING_INTERVAL_MS` | `pingIntervalMs` | milliseconds from 1 |
 * | `NATS_MAX_PINGS_OUT` | `maxPingsOut` | integer from 1 to 1000 |
 * | `NATS_RECONNECT` | `reconnect` | flag; off closes the client when the connection is lost |
 * | `NATS_RECONNECT_ATTEMPTS` | `reconnect.attempts` | integer from 1, or `infinite` |
 * | `NATS_RECONNECT_INITIAL_MS` | `reconnect.initialMs` | milliseconds from 1 |
 * | `NATS_RECONNECT_MAX_MS` | `reconnect.maxMs` | milliseconds from 1 |
 * | `NATS_BREAKER` | `breaker` | flag; off goes without a breaker |
 * | `NATS_BREAKER_THRESHOLD` | `breaker.threshold` | integer from 1 |
 * | `NATS_BREAKER_MAX_MS` | `breaker.maxMs` | milliseconds from 1 |
 * | `NATS_HEALTH_INTERVAL_MS` | `health.intervalMs` | milliseconds from 10; 0 is off |
 *
 * Flags are `on`, `true`, `yes`, `1` or `off`, `false`, `no`, `0`, in any case. A variable that is
 * empty or blank counts as not set, and what is not set is not in the result, so that the defaults
 * of `connect` hold; other variables are ignored, also with the prefix. Values are trimmed, except
 * for the password. Variables that contradict each other are an error here or in `connect`.
 *
 * `process.env` is read only when no environment is given.
 *
 * @throws {TypeError} or {RangeError} that names the variable and never shows a secret.
 *
 * @example
 * ```ts
 * import { configFromEnv } from "@x/jsflow/client";
 *
 * const options = configFromEnv({ NATS_URL: "nats-1,nats-2", NATS_REQUEST_TIMEOUT_MS: "500" });
 * console.log(options.servers, options.requestTimeoutMs); // [ "nats-1", "nats-2" ] 500
 * ```
 */
export function configFromEnv(env?: Environment, options?: ConfigFromEnvOptions): ConnectOptions {
  const given: ConfigFromEnvOptions = checkOptions("configFromEnv", options, ["prefix"]);
  const prefix = checkString("configFromEnv: prefix", given.prefix ?? "NATS_", { minLength: 0 });
  if (!/^\w*$/.test(prefix)) {
    throw new TypeError("configFromEnv: prefix must consist of letters, digits and _");
  }
  const source = env ?? process.env;
  checkObject("configFromEnv: env", source);
  const reader = new EnvReader(source, prefix);
  return withoutUndefined<ConnectOptions>({
    servers: reader.list("URL"),
    name: reader.text("NAME"),
    ...readAuth(reader),
    tls: readTls(reader),
    plaintext: reader.choice("PLAINTEXT", ["allow", "loopback"]),
    timeoutMs: reader.integer("CONNECT_TIMEOUT_MS"),
    requestTimeoutMs: reader.integer("REQUEST_TIMEOUT_MS"),
    drainTimeoutMs: reader.integer("DRAIN_TIMEOUT_MS"),
    pingIntervalMs: reader.integer("PING_INTERVAL_MS"),
    maxPingsOut: reader.integer("MAX_PINGS_OUT", { max: 1_000 }),
    reconnect: readReconnect(reader),
    breaker: readBreaker(reader),
    health: readHealth(reader),
  });
}

function readAuth(reader: EnvReader): ConnectOptions {
  const auth = {
    user: reader.text("USER"),
    pass: reader.raw("PASSWORD"),
    token: reader.text("TOKEN"),
    credsFile: reader.path("CREDS"),
    nkeySeed: reader.text("NKEY_SEED"),
    jwt: reader.text("JWT"),
  };
  if (auth.pass !== undefined && auth.user === undefined) {
    throw new TypeError(`${reader.name("PASSWORD")} needs ${reader.name("USER")} as well`);
  }
  const keys = auth.jwt === undefined ? "NKEY_SEED" : "JWT";
  const ways = [
    auth.user === undefined ? [] : ["USER"],
    auth.token === undefined ? [] : ["TOKEN"],
    auth.credsFile === undefined ? [] : ["CREDS"],
    (auth.jwt ?? auth.nkeySeed) === undefined ? [] : [keys],
  ].flat().map((name) => reader.name(name));
  if (ways.length > 1) throw new TypeError(`give only one of ${ways.join(", ")}`);
  return auth;
}

function readTls(reader: EnvReader): ConnectTlsOptions | null | undefined {
  const wanted = reader.flag("TLS");
  const tls = withoutUndefined<ConnectTlsOptions>({
    ...reader.pem("ca", "TLS_CA"),
    ...reader.pem("cert", "TLS_CERT"),
    ...reader.pem("key", "TLS_KEY"),
    handshakeFirst: reader.flag("TLS_FIRST"),
    serverName: reader.text("TLS_SERVER_NAME"),
  });
  const isSet = Object.keys(tls).length > 0;
  if (wanted === false && isSet) {
    throw new TypeError(`${reader.name("TLS")} is off, but other ${reader.name("TLS_")}… are set`);
  }
  if (wanted === false) return null;
  return wanted || isSet ? tls : undefined;
}

function readReconnect(reader: EnvReader): ReconnectOptions | false | undefined {
  const unbounded = reader.text("RECONNECT_ATTEMPTS")?.toLowerCase() === "infinite";
  return group(reader, "RECONNECT", {
    attempts: unbounded ? Infinity : reader.integer("RECONNECT_ATTEMPTS"),
    initialMs: reader.integer("RECONNECT_INITIAL_MS"),
    maxMs: reader.integer("RECONNECT_MAX_MS"),
  });
}

function readBreaker(reader: EnvReader): ConnectOptions["breaker"] {
  return group(reader, "BREAKER", {
    threshold: reader.integer("BREAKER_THRESHOLD"),
    maxMs: reader.integer("BREAKER_MAX_MS"),
  });
}

function readHealth(reader: EnvReader): ConnectOptions["health"] {
  const intervalMs = reader.integer("HEALTH_INTERVAL_MS", { min: 0 });
  if (intervalMs === undefined) return undefined;
  if (intervalMs > 0 && intervalMs < 10) reader.outOfRange("HEALTH_INTERVAL_MS", "0 or from 10");
  return intervalMs === 0 ? false : { intervalMs };
}

/** Options that a flag can switch off as a whole. */
function group<O extends object>(
  reader: EnvReader,
  name: string,
  options: O,
): O | false | undefined {
  const wanted = reader.flag(name);
  const present = withoutUndefined(options);
  const isSet = Object.keys(present).length > 0;
  if (wanted === false && isSet) {
    throw new TypeError(`${reader.name(name)} is off, but other ${reader.name(name)}_… are set`);
  }
  if (wanted === false) return false;
  return isSet ? present : undefined;
}

/** Reads variables, and names them in errors. */
class EnvReader {
  readonly #env: Environment;
  readonly #prefix: string;

  constructor(env: Environment, prefix: string) {
    this.#env = env;
    this.#prefix = prefix;
  }

  /** The whole name of a variable. */
  name(short: string): string {
    return `${this.#prefix}${short}`;
  }

  /** The value as it is, or undefined when it is not set or blank. */
  raw(short: string): string | undefined {
    const name = this.name(short);
    // Own properties only: a prefix must not reach the prototype.
    const value: unknown = Object.hasOwn(this.#env, name) ? this.#env[name] : undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "string") throw new TypeError(`${name} must be a string`);
    return value.trim() === "" ? undefined : value;
  }

  text(short: string): string | undefined {
    return this.raw(short)?.trim();
  }

  list(short: string): string[] | undefined {
    return this.text(short)?.split(",").map((part) => part.trim());
  }

  path(short: string): string | undefined {
    const value = this.text(short);
    return value === undefined ? undefined : checkPath(this.name(short), value);
  }

  flag(short: string): boolean | undefined {
    const value = this.text(short)?.toLowerCase();
    if (value === undefined) return undefined;
    if (["1", "on", "true", "yes"].includes(value)) return true;
    if (["0", "false", "no", "off"].includes(value)) return false;
    throw new TypeError(`${this.name(short)} must be on or off, true or false, yes or no, 1 or 0`);
  }

  integer(
    short: string,
    { min = 1, max = MAX_TIMER_MS }: { min?: number; max?: number } = {},
  ): number | undefined {
    const value = this.text(short);
    if (value === undefined) return undefined;
    const number = /^[+-]?\d+$/.test(value) ? Number(value) : NaN;
    if (number >= min && number <= max) return number;
    if (Number.isNaN(number)) throw new TypeError(`${this.name(short)} must be an integer`);
    return this.outOfRange(short, `from ${min} to ${max}`);
  }

  choice<T extends string>(short: string, choices: readonly T[]): T | undefined {
    const value = this.text(short)?.toLowerCase();
    if (value === undefined) return undefined;
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw new TypeError(`${this.name(short)} must be one of ${choices.join(", ")}`);
  }

  /** A PEM text, or the path of a file with one. */
  pem(key: "ca" | "cert" | "key", short: string): ConnectTlsOptions {
    const value = this.text(short);
    if (value === undefined) return {};
    if (!value.includes("-----BEGIN ")) return { [`${key}File`]: this.path(short) };
    // In files of variables, a text of several lines is often written with \n.
    return { [key]: `${value.replaceAll("\\n", "\n")}\n` };
  }

  outOfRange(short: string, range: string): never {
    throw new RangeError(`${this.name(short)} must be ${range}`);
  }
}

function withoutUndefined<O extends object>(options: O): O {
  const present = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as O;
}
