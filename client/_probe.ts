import { connect as openSocket, type Socket } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import type { ServerAddress } from "./_server_list.ts";
import { untilAborted } from "./deadline.ts";
import { JsflowError } from "./errors.ts";
import { translateError } from "./translate_error.ts";

/** How long one address may stay silent before the next is tried as well. */
const STAGGER_MS = 250;
const GREETING = "INFO ";

/** How to ask an address whether a NATS server is there. */
export interface ProbeOptions {
  /** Whether the server speaks only after a TLS handshake: then an open port must do. */
  readonly tlsFirst: boolean;
  readonly signal: AbortSignal;
}

/**
 * Returns the first address where a NATS server greets, tried in order and staggered.
 *
 * The NATS client cannot be told to give up a dial, and it leaves the socket of a peer that stays
 * silent open for good. Asking first, on a socket that is ours to close, makes connecting
 * abortable, and tells a dead port from a peer that is no NATS server.
 *
 * @throws {JsflowError} that names each address and why it failed; or the signal's reason.
 */
export async function firstToGreet(
  addresses: readonly ServerAddress[],
  options: ProbeOptions,
): Promise<ServerAddress> {
  const losers = new AbortController();
  const abort = () => losers.abort(options.signal.reason);
  options.signal.addEventListener("abort", abort, { once: true });
  const attempts = startProbes(addresses, { ...options, signal: losers.signal });
  try {
    return await Promise.any(attempts);
  } catch (error) {
    options.signal.throwIfAborted();
    throw combine((error as AggregateError).errors);
  } finally {
    options.signal.removeEventListener("abort", abort);
    losers.abort();
    await Promise.allSettled(attempts);
  }
}

function startProbes(
  addresses: readonly ServerAddress[],
  options: ProbeOptions,
): Promise<ServerAddress>[] {
  let mayStart: Promise<unknown> = Promise.resolve();
  return addresses.map((address) => {
    const attempt = probeAfter(mayStart, address, options);
    const failed = attempt.then(() => new Promise<never>(() => {}), () => {});
    mayStart = Promise.race([failed, mayStart.then(() => pause(options.signal))]);
    return attempt;
  });
}

async function probeAfter(
  mayStart: Promise<unknown>,
  address: ServerAddress,
  options: ProbeOptions,
): Promise<ServerAddress> {
  await mayStart;
  options.signal.throwIfAborted();
  await probe(address, options);
  return address;
}

async function pause(signal: AbortSignal): Promise<void> {
  await after(STAGGER_MS, undefined, { signal }).catch(() => {}); // aborted: the probes check
}

/** Resolves once the address greets as a NATS server, and always closes its socket. */
async function probe(address: ServerAddress, options: ProbeOptions): Promise<void> {
  try {
    const socket = openSocket({ host: address.host, port: address.port });
    try {
      await untilAborted(greeting(socket, address.listen, options.tlsFirst), options.signal);
    } finally {
      socket.removeAllListeners();
      socket.on("error", () => {}); // a late one has no meaning any more
      socket.destroy();
    }
  } catch (error) {
    options.signal.throwIfAborted();
    throw translateError(error, `connect to ${address.listen}`);
  }
}

function greeting(socket: Socket, listen: string, tlsFirst: boolean): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    let received = "";
    if (tlsFirst) socket.once("connect", () => resolve());
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1", 0, GREETING.length);
      if (received.startsWith(GREETING)) resolve();
      else if (!GREETING.startsWith(received)) reject(notNats(listen));
    });
    socket.on("error", reject);
    socket.on("close", () => reject(hungUp(listen)));
  });
}

function notNats(listen: string): JsflowError {
  return new JsflowError(
    "connection_timeout",
    `cannot connect to ${listen}: what answers there is no NATS server; check host and port`,
  );
}

function hungUp(listen: string): JsflowError {
  return new JsflowError(
    "connection_refused",
    `cannot connect to ${listen}: it closed the connection before a NATS server greeted; ` +
      "check that one runs there",
  );
}

/** One error for all addresses; with several codes, the one that says most about the cause wins. */
function combine(errors: readonly unknown[]): unknown {
  const [first] = errors;
  if (errors.length < 2) return first;
  const codes = errors.map((error) => error instanceof JsflowError ? error.code : "nats");
  const code = codes.includes("connection_timeout") ? "connection_timeout" : codes[0] ?? "nats";
  const lines = errors.map((error) => error instanceof Error ? error.message : String(error));
  return new JsflowError(code, lines.join("\n"), { cause: first });
}
