import { connect as openConnection } from "@nats-io/transport-node";
import { type ConnectSettings, parseConnectOptions } from "./_connect_options.ts";
import { NatsClient } from "./_nats_client.ts";
import { firstToGreet } from "./_probe.ts";
import type { ServerAddress } from "./_server_list.ts";
import type { Client } from "./client.ts";
import { untilAborted, withDeadline } from "./deadline.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { Authenticator, NatsConnection, NatsConnectionOptions, TlsOptions } from "./native.ts";
import { translateError } from "./translate_error.ts";

/** Where and how {@link connect} connects. */
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

/**
 * Connects to NATS.
 *
 * Fails fast when no server can be reached at first. Once connected, a lost connection is
 * reconnected for ever, with delays that grow from 0.1 to 5 seconds and jitter, also while the server
 * rejects the credentials; `nats: { maxReconnectAttempts }` bounds it. JetStream is not touched
 * until something needs it. No message of any error holds a password or token.
 *
 * Needs network access to the servers and no other permission.
 *
 * @throws {TypeError} or {RangeError} for options that make no sense, before any I/O.
 * @throws {JsflowError} `connection_refused` when nothing listens or a name does not resolve,
 * `connection_timeout` when nothing answers in time or what answers is no NATS server,
 * `authorization` when the credentials are wrong or missing, `server_too_old` below nats-server 2.9.
 * @throws the signal's reason when it aborts; nothing stays open.
 *
 * @example
 * ```ts
 * import { connect } from "@x/jsflow/client";
 *
 * async function main(): Promise<void> {
 *   const client = await connect({ servers: "nats://127.0.0.1:4222", timeoutMs: 2_000 });
 *   try {
 *     console.log(client.server.version, client.status);
 *   } finally {
 *     await client.close();
 *   }
 * }
 * console.log(main);
 * ```
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const settings = parseConnectOptions(options);
  const { addresses } = settings.servers;
  const { signal, timeoutMs } = settings;
  const onTimeout = () => connectTimeout(addresses, timeoutMs);
  return await withDeadline({ signal, timeoutMs, onTimeout }, (merged) => open(settings, merged));
}

/** Tries the servers in random order, so that clients spread over them. */
async function open(settings: ConnectSettings, signal: AbortSignal): Promise<Client> {
  let candidates = shuffle(settings.servers.addresses);
  while (true) {
    const tlsFirst = settings.native.tls?.handshakeFirst === true;
    const address = await firstToGreet(candidates, { tlsFirst, signal });
    candidates = candidates.filter((other) => other !== address);
    try {
      return await openAt(address, settings, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (candidates.length === 0 || isFinal(error)) throw error;
    }
  }
}

/** Another server of the same cluster would say the same. */
function isFinal(error: unknown): boolean {
  return isJsflowError(error, "authorization") || isJsflowError(error, "server_too_old") ||
    error instanceof TypeError;
}

async function openAt(
  address: ServerAddress,
  settings: ConnectSettings,
  signal: AbortSignal,
): Promise<Client> {
  const connection = await openNative(address, settings.native, signal);
  try {
    const { addresses } = settings.servers;
    if (addresses.length > 1) connection.setServers(addresses.map(({ listen }) => listen));
    return new NatsClient(connection, "owned");
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function openNative(
  address: ServerAddress,
  native: NatsConnectionOptions,
  signal: AbortSignal,
): Promise<NatsConnection> {
  const dialing = openConnection({ ...native, servers: [address.listen] });
  try {
    return await untilAborted(dialing, signal);
  } catch (error) {
    // The dial cannot be called back: what it opens after all is closed.
    dialing.then((late) => late.close()).catch(() => {});
    signal.throwIfAborted();
    throw translateError(error, `connect to ${address.listen}`);
  }
}

function connectTimeout(addresses: readonly ServerAddress[], timeoutMs: number): JsflowError {
  const where = addresses.map(({ listen }) => listen).join(", ");
  return new JsflowError(
    "connection_timeout",
    `cannot connect to ${where}: no NATS server answered within ${timeoutMs} ms; check the address, ` +
      "the firewall, and that nothing but a NATS server listens there",
  );
}

function shuffle<T>(items: readonly T[]): T[] {
  const keyed = items.map((item) => ({ item, order: Math.random() }));
  return keyed.sort((a, b) => a.order - b.order).map(({ item }) => item);
}
