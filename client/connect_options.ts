import type { TelemetryOptions } from "../trace/telemetry_options.ts";
import type { Authenticator, NatsConnectionOptions } from "./native.ts";

/**
 * Where and how `connect` connects.
 *
 * Of the ways to authenticate exactly one may be given: `user` with `pass`, `token`, `credsFile`,
 * `creds`, `nkeySeed`, `jwt` with or without `nkeySeed`, `authenticator`, or credentials in the
 * addresses. A secret given as a function, and a creds file, is read anew at each attempt to
 * connect, so that credentials can be rotated: as soon as the server takes only the new ones, the
 * next attempt offers them. When reading fails or yields nothing usable, a warning is logged and
 * the last good ones stay in use. Functions must answer at once: they cannot be asynchronous.
 *
 * Servers that authenticate by callout need nothing else: user, password and token reach the
 * callout as they are.
 */
export interface ConnectOptions {
  /**
   * The servers: `host`, `host:port` or `nats://host:port`, one, several with commas between them,
   * or an array. `tls://` demands encryption, `nats://user:pass@host` and `nats://token@host` carry
   * credentials (in one string, write a comma of a password as `%2C`). One of them is enough: the
   * others of its cluster are learned from it.
   *
   * @default "127.0.0.1:4222"
   */
  readonly servers?: string | readonly string[] | undefined;
  /** How the connection is called in the server's monitoring. @default "jsflow-<host name>" */
  readonly name?: string | undefined;
  /**
   * How long connecting may take in all, in milliseconds; also bounds each later attempt to
   * reconnect. @default 5000
   */
  readonly timeoutMs?: number | undefined;
  /** How long requests may take that say nothing else, in milliseconds. @default 5000 */
  readonly requestTimeoutMs?: number | undefined;
  /** How long `close` lets handlers and acks under way finish, in milliseconds. @default 5000 */
  readonly drainTimeoutMs?: number | undefined;
  /**
   * How often the server is pinged, in milliseconds. A peer that answers nothing is given up after
   * `maxPingsOut` to `maxPingsOut` + 1 intervals: 20 to 30 seconds by default. @default 10000
   */
  readonly pingIntervalMs?: number | undefined;
  /** How many pings may lack an answer, at least 1. @default 2 */
  readonly maxPingsOut?: number | undefined;
  /** How a lost connection is reopened; `false` closes the client instead. @default for ever */
  readonly reconnect?: ReconnectOptions | false | undefined;
  /** When the breaker opens; `false` goes without one. @default after 5 failures in a row */
  readonly breaker?: BreakerOptions | false | undefined;
  /**
   * Checks the health again and again. Off by default, since every check is a request to the server;
   * `{}` switches it on. @default false
   */
  readonly health?: HealthOptions | false | undefined;
  /**
   * What becomes of messages and requests while there is no connection: `"fail"` rejects them at
   * once, an object lets them wait in a buffer within its bounds. @default "fail"
   */
  readonly offline?: "fail" | OfflineOptions | undefined;
  /** Traces and metrics, and where they go. @default both, without the `X-` headers */
  readonly telemetry?: TelemetryOptions | undefined;
  /** Gives up with the signal's reason when it aborts; without effect once connected. */
  readonly signal?: AbortSignal | undefined;
  /** The user to authenticate as. */
  readonly user?: string | undefined;
  /** The user's password. */
  readonly pass?: Secret | undefined;
  /** A token to authenticate with. */
  readonly token?: Secret | undefined;
  /** Path of a creds file, which holds a JWT and its seed; read anew at each attempt. */
  readonly credsFile?: string | undefined;
  /** What a creds file holds. */
  readonly creds?: string | Uint8Array | (() => string | Uint8Array) | undefined;
  /** The seed of a user nkey (`SU…`), alone or for `jwt`. */
  readonly nkeySeed?: Secret | undefined;
  /** A user JWT; without `nkeySeed` it must be a bearer token. */
  readonly jwt?: Secret | undefined;
  /** Native authenticators, asked anew at each attempt. */
  readonly authenticator?: Authenticator | readonly Authenticator[] | undefined;
  /** TLS settings; an object demands encryption, `null` forbids it. @default as the server wants */
  readonly tls?: ConnectTlsOptions | null | undefined;
  /**
   * Where connections without TLS may go. With `"loopback"`, TLS is demanded as soon as one address
   * is neither `localhost` nor a loopback IP; and when all of them are, no further servers are
   * learned from them, unless `tls` is given. Allowed everywhere by default, as in every NATS client,
   * since servers say themselves whether they want TLS. @default "allow"
   */
  readonly plaintext?: "allow" | "loopback" | undefined;
  /**
   * Any other option of the native client. Among them is `noRandomize`, which is honoured: servers
   * are tried in the order in which they are given.
   */
  readonly nats?: NativeOptions | undefined;
}

/** A secret, or a function that returns it and is asked anew at each attempt to connect. */
export type Secret = string | (() => string);

/** How a lost connection is reopened. */
export interface ReconnectOptions {
  /** How often each server is tried before it is given up, at least 1. @default Infinity */
  readonly attempts?: number | undefined;
  /** The delay after the first failure, in milliseconds. @default 100 */
  readonly initialMs?: number | undefined;
  /** The longest delay, in milliseconds. @default 5000 */
  readonly maxMs?: number | undefined;
  /** What each delay is multiplied by for the next, from 1 to 1000. @default 2 */
  readonly factor?: number | undefined;
  /** Whether each delay is drawn from its upper half, so that clients spread. @default true */
  readonly jitter?: boolean | undefined;
}

/** When the breaker opens, and for how long. */
export interface BreakerOptions {
  /** How many failures of the connection in a row open it, at least 1. @default 5 */
  readonly threshold?: number | undefined;
  /** How long it is open at first, in milliseconds; doubles with each failed probe. @default 1000 */
  readonly initialMs?: number | undefined;
  /** How long it is open at most, in milliseconds; at least `initialMs`. @default 60000 */
  readonly maxMs?: number | undefined;
}

/** How often the health is checked. */
export interface HealthOptions {
  /** Milliseconds from one check to the next, at least 10. @default 10000 */
  readonly intervalMs?: number | undefined;
}

/** The bounds of what waits for the connection. What exceeds one fails at once. */
export interface OfflineOptions {
  /** How many messages and requests may wait, at least 1. @default 1000 */
  readonly maxMessages?: number | undefined;
  /** How many bytes may wait, at least 1. @default 8388608, which is 8 MiB */
  readonly maxBytes?: number | undefined;
}

/**
 * How connections are encrypted. Certificates and keys are PEM texts, or files, which are read anew
 * at each attempt to connect.
 */
export interface ConnectTlsOptions {
  /** The authorities that may have signed the server's certificate. @default the runtime's */
  readonly ca?: string | undefined;
  /** Path of a file with the authorities. */
  readonly caFile?: string | undefined;
  /** The client's certificate, for servers that ask for one; needs a key. */
  readonly cert?: string | undefined;
  /** Path of a file with the client's certificate. */
  readonly certFile?: string | undefined;
  /** The private key of the client's certificate, not encrypted. */
  readonly key?: string | undefined;
  /** Path of a file with the private key. */
  readonly keyFile?: string | undefined;
  /** Whether TLS comes before anything else, as the server must be set to. @default false */
  readonly handshakeFirst?: boolean | undefined;
  /** The host that the server's certificate must name. @default the one in the address */
  readonly serverName?: string | undefined;
  /** Whether a server certificate that does not verify ends the attempt. @default true */
  readonly rejectUnauthorized?: boolean | undefined;
}

/**
 * Options of the native client that {@link ConnectOptions} does not name itself.
 *
 * `waitOnFirstConnect` is not among them: connecting fails fast.
 */
export type NativeOptions = Omit<
  NatsConnectionOptions,
  | "authenticator"
  | "ignoreAuthErrorAbort"
  | "maxPingOut"
  | "maxReconnectAttempts"
  | "name"
  | "pass"
  | "pingInterval"
  | "port"
  | "reconnect"
  | "reconnectDelayHandler"
  | "reconnectJitter"
  | "reconnectJitterTLS"
  | "reconnectTimeWait"
  | "servers"
  | "timeout"
  | "tls"
  | "token"
  | "user"
  | "waitOnFirstConnect"
>;
