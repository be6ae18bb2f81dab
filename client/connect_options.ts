import type { Authenticator, NatsConnectionOptions, TlsOptions } from "./native.ts";

/** Where and how `connect` connects. */
export interface ConnectOptions {
  /**
   * The servers: `host`, `host:port` or `nats://host:port`, one, several with commas between them,
   * or an array. `tls://` demands encryption, `nats://user:pass@host` and `nats://token@host` carry
   * credentials. One of them is enough: the others of its cluster are learned from it.
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
  /** Gives up with the signal's reason when it aborts; without effect once connected. */
  readonly signal?: AbortSignal | undefined;
  /** The user to authenticate as. */
  readonly user?: string | undefined;
  /** The user's password. */
  readonly pass?: string | undefined;
  /** A token to authenticate with. */
  readonly token?: string | undefined;
  /** Native authenticators: creds files, nkeys, JWTs; asked again at each reconnect. */
  readonly authenticator?: Authenticator | readonly Authenticator[] | undefined;
  /** TLS settings; an object demands encryption, `null` forbids it. @default as the server wants */
  readonly tls?: TlsOptions | null | undefined;
  /** Any other option of the native client. */
  readonly nats?: NativeOptions | undefined;
}

/**
 * Options of the native client that {@link ConnectOptions} does not name itself.
 *
 * `waitOnFirstConnect` is not among them: connecting fails fast.
 */
export type NativeOptions = Omit<
  NatsConnectionOptions,
  | "authenticator"
  | "name"
  | "pass"
  | "port"
  | "servers"
  | "timeout"
  | "tls"
  | "token"
  | "user"
  | "waitOnFirstConnect"
>;
