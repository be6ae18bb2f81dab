import { connect as openConnection } from "@nats-io/transport-node";
import type { ConnectSettings } from "./_connect_settings.ts";
import { firstToGreet } from "./_probe.ts";
import type { ServerAddress } from "./_server_list.ts";
import { guardSockets } from "./_socket_guard.ts";
import type { CallBounds } from "./call_options.ts";
import { ConnectionTimeoutError } from "./connection_errors.ts";
import { untilAborted, withDeadline } from "./deadline.ts";
import { isJsflowError } from "./errors.ts";
import type { NatsConnection, NatsConnectionOptions } from "./native.ts";
import { serverCapabilities } from "./server_capabilities.ts";
import { translateError } from "./translate_error.ts";

/**
 * Opens a connection to the first server that greets and takes the credentials.
 *
 * @throws {JsflowError} that says why none could be opened; or the signal's reason.
 */
export async function dial(
  settings: ConnectSettings,
  options: CallBounds,
): Promise<NatsConnection> {
  const { signal, timeoutMs } = options;
  const onTimeout = () => connectTimeout(settings.servers.addresses, timeoutMs);
  return await withDeadline({ signal, timeoutMs, onTimeout }, (merged) => open(settings, merged));
}

/** Tries the servers in random order, so that clients spread over them, unless told otherwise. */
async function open(settings: ConnectSettings, signal: AbortSignal): Promise<NatsConnection> {
  const { native, servers: { addresses } } = settings;
  let candidates = native.noRandomize ? addresses : shuffle(addresses);
  while (true) {
    const tlsFirst = native.tls?.handshakeFirst === true;
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
): Promise<NatsConnection> {
  const connection = await openNative(address, settings.native, signal);
  try {
    serverCapabilities(connection.info?.version ?? "");
    const { addresses } = settings.servers;
    if (addresses.length > 1) connection.setServers(addresses.map(({ listen }) => listen));
    return connection;
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
  const dialing = openGuarded({ ...native, servers: [address.listen] });
  try {
    return await untilAborted(dialing, signal);
  } catch (error) {
    // The dial cannot be called back: what it opens after all is closed.
    dialing.then((late) => late.close()).catch(() => {});
    signal.throwIfAborted();
    throw translateError(error, `connect to ${address.listen}`);
  }
}

async function openGuarded(options: NatsConnectionOptions): Promise<NatsConnection> {
  const connection = await openConnection(options);
  guardSockets(connection);
  return connection;
}

function connectTimeout(
  addresses: readonly ServerAddress[],
  timeoutMs: number,
): ConnectionTimeoutError {
  const where = addresses.map(({ listen }) => listen).join(", ");
  return new ConnectionTimeoutError(
    `cannot connect to ${where}: no NATS server answered within ${timeoutMs} ms; check the address, ` +
      "the firewall, and that nothing but a NATS server listens there",
    timeoutMs,
  );
}

function shuffle<T>(items: readonly T[]): T[] {
  const keyed = items.map((item) => ({ item, order: Math.random() }));
  return keyed.sort((a, b) => a.order - b.order).map(({ item }) => item);
}
