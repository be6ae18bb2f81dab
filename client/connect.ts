import { connect as openConnection } from "@nats-io/transport-node";
import { type ConnectSettings, parseConnectOptions } from "./_connect_settings.ts";
import { NatsClient } from "./_nats_client.ts";
import { firstToGreet } from "./_probe.ts";
import type { ServerAddress } from "./_server_list.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect_options.ts";
import { untilAborted, withDeadline } from "./deadline.ts";
import { isJsflowError, JsflowError } from "./errors.ts";
import type { NatsConnection, NatsConnectionOptions } from "./native.ts";
import { translateError } from "./translate_error.ts";

export type { ConnectOptions, NativeOptions } from "./connect_options.ts";

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
